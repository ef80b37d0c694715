"""Write what a page would run as a command for a shell and as a Python script: both give the same frames."""

import shlex
from pathlib import Path
from typing import Any

from dreamvid.settings import Settings, load_settings
from dreamvid.settings.merge import expand_coherence
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schema import Settings as Model
from dreamvid.settings.schema import SettingsGroup, flag_name
from dreamvid.ui.studio.controls import changed
from dreamvid.ui.studio.workspace import Workspace


def differences(preset: str, settings: Settings, kind: str, workspace: Workspace) -> dict[str, Any]:
    """Name the settings in which `settings` differs from a preset, with their values."""
    base = load_settings(preset if "/" not in preset else workspace.root / preset)
    found = changed(settings, base, _names(kind))
    if "coherence" in found and found["coherence"] is not None:
        # The dial sets others; those that are as it sets them need not be written.
        implied = expand_coherence({"coherence": found["coherence"]})
        for name in implied.keys() - {"coherence"}:
            if getattr(settings.coherence, name) == implied[name] and name not in settings.schedules:
                found.pop(name, None)
            else:
                found[name] = settings.schedules.get(name, getattr(settings.coherence, name))
    return found


def _names(kind: str) -> dict[str, str]:
    tables = {group: field.annotation for group, field in Model.model_fields.items() if group in GROUPS_OF_KIND[kind]}
    return {
        name: group
        for group, table in tables.items()
        if isinstance(table, type) and issubclass(table, SettingsGroup)
        for name in table.model_fields
    }


def arguments(kind: str, source: str, output: str, preset: str, settings: Settings, workspace: Workspace) -> list[str]:
    """List the arguments of `dreamvid` for a render. Paths are relative to the workspace."""
    words = [kind, source, "-o", output, "--preset", preset]
    for name, value in differences(preset, settings, kind, workspace).items():
        flag = flag_name(name)
        if value is True or value is False:
            words.append(flag if value else f"--no-{flag.removeprefix('--')}")
        elif value is not None:
            words.append(f"{flag}={_text(value)}")  # one word: a value may begin with a minus
    return words


def command(kind: str, source: str, output: str, preset: str, settings: Settings, workspace: Workspace) -> str:
    """Write the command for a shell, which first goes to the workspace."""
    words = arguments(kind, source, output, preset, settings, workspace)
    return f"cd {shlex.quote(str(workspace.root))} && {shlex.join(['dreamvid', *words])}"


def python(kind: str, source: str, output: str, preset: str, settings: Settings, workspace: Workspace) -> str:
    """Write the same as a Python script."""
    call = "dream_video" if kind == "run" else "zoom_video"
    given = "".join(
        f"    {name}={_value(value)},\n" for name, value in differences(preset, settings, kind, workspace).items()
    )
    return (
        f"import os\n\nfrom dreamvid import {call}, load_settings\n\n"
        f"os.chdir({str(Path(workspace.root))!r})\n"
        f"settings = load_settings(\n    {preset!r},\n{given})\n"
        f"{call}({source!r}, {output!r}, settings)\n"
    )


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _value(value: Any) -> str:
    return repr(value)
