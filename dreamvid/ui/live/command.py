"""Write what a session has become as a command line that starts it so."""

import shlex
from collections.abc import Sequence

from dreamvid.render.live.controls import Controls
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, load_settings
from dreamvid.settings.schema import flag_name


def as_command(words: Sequence[str], controls: Controls) -> str:
    """Write a command: the session's own words, the preset that was chosen last, and every setting that differs.

    words: those that started the session, without those of settings and of the preset.
    """
    values = controls.values()
    preset = controls.preset_name
    base = load_settings(preset or (DEFAULT_ZOOM_PRESET if controls.kind == "zoom" else DEFAULT_PRESET))
    flags = [] if preset is None else ["--preset", preset]
    for control in controls.inventory():
        value = values[control.name]
        before = base.schedules.get(control.name, getattr(getattr(base, control.group), control.name))
        if value is None or value == before or control.name == "coherence":
            continue
        flag = flag_name(control.name)
        if control.kind == "switch":
            flags.append(flag if value else f"--no-{flag.removeprefix('--')}")
        else:
            flags += [flag, f"{value:.7g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *flags])
