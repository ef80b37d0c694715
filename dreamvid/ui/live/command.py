"""Write what a session has become as a command line that starts it so."""

import shlex
from collections.abc import Sequence

from dreamvid.render.live.controls import Controls
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, Settings, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schema import flag_name

_DIAL = "coherence"  # stands for other settings, which are written themselves


def as_command(words: Sequence[str], session: Settings, controls: Controls) -> str:
    """Write a command: the session's own words, the preset that was chosen last, and every setting that differs.

    words: those that started the session, without those of settings and of the preset. session: its settings at the
    start, which hold for what cannot change.
    """
    now = controls.values()
    preset = controls.preset_name
    base = load_settings(preset or (DEFAULT_ZOOM_PRESET if controls.kind == "zoom" else DEFAULT_PRESET))
    flags = [] if preset is None else ["--preset", preset]
    for group, name, _ in setting_fields():
        value = now[name] if name in now else getattr(getattr(session, group), name)
        before = base.schedules.get(name, getattr(getattr(base, group), name))
        if group not in GROUPS_OF_KIND[controls.kind] or value is None or value == before or name == _DIAL:
            continue
        flag = flag_name(name)
        if isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            flags += [flag, f"{value:.7g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *flags])
