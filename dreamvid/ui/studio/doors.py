"""Check what a browser asks for: every file that settings name has to be one of the workspace.

On the command line the user may name any file, and ffmpeg's filter graphs. What comes from a page may not: it could ask
for `lavfi:movie=/etc/passwd`, `guide("/home/…")`, or an address inside the network. Recipes that others wrote come
through the same door.
"""

import re
from collections.abc import Mapping
from typing import Any

from dreamvid.errors import SettingsError
from dreamvid.settings import Settings, find_preset, list_presets, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.schema import flag_name
from dreamvid.ui.studio.workspace import RECIPES, RESULTS, SOURCES, Workspace, WorkspaceError, shown

NOISE = "noise"
_MOMENT = re.compile(r"(.+)(@\d{1,6}(?:\.\d{1,6})?)", re.ASCII)

# Settings that are text and name no file. Every other text names one, so that a new setting is closed until it is here.
_WORDS: Mapping[str, re.Pattern[str]] = {
    "model": re.compile(r"[\w.-]+(:[\w.-]+)?", re.ASCII),
    "text_model": re.compile(r"[\w.-]+(:[\w.-]+)?", re.ASCII),
    "flow": re.compile(r"\w[\w-]*", re.ASCII),
    "frames": re.compile(r"\d*:\d*", re.ASCII),
    "size": re.compile(r"\d+x\d+", re.ASCII),
    "fps": re.compile(r"[\d./]+", re.ASCII),
    "input_fps": re.compile(r"[\d./]+", re.ASCII),
    "codec": re.compile(r"\w[\w-]*", re.ASCII),
    "hwaccel": re.compile(r"\w+", re.ASCII),
    "device": re.compile(r"\w+(:\d+)?", re.ASCII),
}
_OBJECTIVE = "objective"
# Settings that are a word or a file: words of letters only, which no file of the workspace is called.
_WORDS_OR_FILES: Mapping[str, re.Pattern[str]] = {
    "audio": re.compile("source"),
    "palette": re.compile(r"[a-z]+"),
    "mask": re.compile(r"[a-z]+"),
}
# `NAME("…")` of an objective reads a file, unless NAME is one of these.
_QUOTED = re.compile(r'(\w*)(\s*\(\s*)"([^"]*)"')
_WITHOUT_FILE = ("text",)


def text_settings() -> list[tuple[str, str]]:
    """List (group, name) of the settings whose value is any text: where a file could be named."""
    return [(group, name) for group, name, field in setting_fields() if _takes_text(field.annotation)]


def _takes_text(annotation: Any) -> bool:
    kinds = getattr(annotation, "__args__", (annotation,))
    return str in kinds or any(
        _takes_text(kind) for kind in kinds if kind is not annotation and hasattr(kind, "__args__")
    )


def source_from_browser(name: object, workspace: Workspace, *, animation: bool = False) -> str:
    """Check a source: a file in sources/ or results/. Raises WorkspaceError.

    animation: `noise`, and `NAME@SECONDS` for a frame of a video, are allowed too.
    """
    if not animation or not isinstance(name, str):
        return workspace.name(workspace.file(name, SOURCES, RESULTS))
    if name == NOISE:
        return NOISE
    file, moment = (match[1], match[2]) if (match := _MOMENT.fullmatch(name)) else (name, "")
    return workspace.name(workspace.file(file, SOURCES, RESULTS)) + moment


def preset_from_browser(name: object, workspace: Workspace) -> str:
    """Check a preset: a shipped one by its name, or a file in recipes/, results/ or queue/. Raises WorkspaceError.

    Returns what `--preset` takes, relative to the workspace.
    """
    if isinstance(name, str) and name in {preset.name for preset in list_presets()}:
        return name
    path = workspace.file(name)
    if path.suffix != ".toml":
        raise WorkspaceError(f"{shown(name)} is not a recipe. Allowed: a shipped preset, or recipes/NAME.toml.")
    return workspace.name(path)


def settings_from_browser(preset: object, overrides: Mapping[str, object], workspace: Workspace) -> Settings:
    """Resolve settings that a page asks for. Raises WorkspaceError or SettingsError.

    preset: as for `preset_from_browser`. overrides: values or texts by name. Paths stay relative to the workspace,
    which is the folder in which renders run.
    """
    chosen = preset_from_browser(preset, workspace)
    given = {}
    for name, value in overrides.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float | bool | None):
            raise SettingsError(
                f"The setting {shown(name)} got {shown(value)}: allowed are texts, numbers, yes and no."
            )
        given[name] = value
    path = chosen if "/" not in chosen else workspace.root / chosen
    settings = load_settings(path, **given)
    check_settings(settings, workspace)
    return settings


def kind_of_preset(preset: str, workspace: Workspace) -> str:
    """Tell whether a preset dreams on a video ("run") or moves a camera ("zoom"). Raises as `preset_from_browser`."""
    chosen = preset_from_browser(preset, workspace)
    return find_preset(chosen if "/" not in chosen else workspace.root / chosen).kind


def check_settings(settings: Settings, workspace: Workspace) -> None:
    """Raise WorkspaceError if settings name anything but files of the workspace."""
    for group, name in text_settings():
        value = getattr(getattr(settings, group), name)
        if value is None:
            continue
        try:
            _check(name, str(value), workspace)
        except WorkspaceError as error:
            raise WorkspaceError(f"`{name}`: {error}") from None


def _check(name: str, value: str, workspace: Workspace) -> None:
    if name == _OBJECTIVE:
        check_objective(value, workspace)
    elif name in _WORDS:
        if not _WORDS[name].fullmatch(value):
            raise WorkspaceError(f"{shown(value)} is not allowed in the studio; {flag_name(name)} can take it.")
    elif not (name in _WORDS_OR_FILES and _WORDS_OR_FILES[name].fullmatch(value)):
        workspace.file(value, SOURCES, RESULTS, RECIPES)


def check_objective(text: str, workspace: Workspace) -> None:
    """Raise WorkspaceError if an objective reads a file outside of sources/ and results/."""
    for term, _, quoted in _QUOTED.findall(text):
        if term not in _WITHOUT_FILE:
            workspace.file(quoted, SOURCES, RESULTS)
    # A quote that is still there is a class's name, or belongs to a form of text that is not known here.
    rest = _QUOTED.sub("", text)
    if '"' in re.sub(r'class\s*:\s*"[^"]*"', "", rest):
        raise WorkspaceError(f"the quotes in {shown(text)} are not understood.")
