"""Read preset files: TOML, shipped in the wheel and found by name, or given as a path."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.merge import merge, to_tables
from dreamvid.settings.recipe import SCHEMA_VERSION
from dreamvid.settings.schema import Settings, VideoSettings

DEFAULT_PRESET = "animals"
TAGS = ("creatures", "plants", "architecture", "ornament", "texture", "painting", "light", "subtle")
"""What looks are grouped by, in the order in which they are listed."""
DEFAULT_ZOOM_PRESET = "infinite-zoom"
_LIST = "List them: dreamvid presets"

# What a video already has and an animation from one image needs.
DEFAULT_ANIMATION_FORMAT = VideoSettings(frames="0:300", size="640x480", fps="30")


@dataclass(frozen=True)
class Preset:
    """A named layer of settings. tables: as in the file, {'dream': {'octaves': 3}, …}. tags: what it looks like."""

    name: str
    description: str
    kind: str
    tables: Mapping[str, Any]
    tags: tuple[str, ...] = ()


def preset_folder() -> Path:
    """Return the folder of the shipped presets: inside the wheel, or next to the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def list_presets(kind: str | None = None) -> list[Preset]:
    """Read the shipped presets of a kind ('run' or 'zoom'; None: all), by name, the default one first."""
    found = [_read(path) for path in preset_folder().glob("*.toml")]
    return sorted(
        (preset for preset in found if kind in (None, preset.kind)),
        key=lambda preset: (preset.name != DEFAULT_PRESET, preset.kind, preset.name),
    )


def presets_tagged(tag: str) -> list[Preset]:
    """Read the shipped looks with a tag. Raises SettingsError for an unknown one."""
    if tag not in TAGS:
        raise SettingsError(f"There is no tag {tag!r}.{nearest(tag, TAGS)} Allowed: {', '.join(TAGS)}.")
    return [preset for preset in list_presets("run") if tag in preset.tags]


def find_preset(name: str | Path) -> Preset:
    """Read a preset by its shipped name, or from a TOML file (a preset or the recipe of a render).

    Raises SettingsError for an unknown name (with the nearest ones), an unreadable or malformed file, and a recipe of a
    newer version.
    """
    if not isinstance(name, str | Path):
        raise SettingsError(f"A preset is a name or the path of a .toml file, got {_shown(name)}. {_LIST}")
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - unlike Path's it never fails
    if path.suffix == ".toml":
        if not os.path.isfile(path):  # noqa: PTH113 - unlike Path's it takes every name
            raise SettingsError(f"There is no preset file {str(path)!r}. Shipped presets: {_shipped()}.")
        return _read(path)
    shipped = preset_folder() / f"{name}.toml"
    if path.name != str(name) or not os.path.isfile(shipped):  # noqa: PTH113
        names = [preset.name for preset in list_presets()]
        raise SettingsError(
            f"There is no preset {str(name)!r}.{nearest(str(name), names)} "
            f"Allowed: {_shipped()}, or a .toml file. {_LIST}"
        )
    return _read(shipped)


def load_settings(
    preset: str | Path | None = None, /, *layers: Settings | Mapping[str, Any], **overrides: Any
) -> Settings:
    """Resolve settings: default < preset < layers < overrides by name.

    `load_settings("plants", octaves=3, half_life_seconds=2.0)`. Numbers may be text: `octaves="3"`. An override that is
    None counts as not given. Raises SettingsError.
    """
    chosen = find_preset(preset if preset is not None else DEFAULT_PRESET)
    base = merge(chosen.tables, origin=f"preset {chosen.name}")
    given = {name: _plain(value) for name, value in overrides.items() if value is not None}
    return merge(base, *layers, to_tables(given))


def as_settings(given: Settings | str | Path | None, default: str = DEFAULT_PRESET, *, kind: str = "") -> Settings:
    """Return settings given as such, as a preset's name or file, or as None for the default preset.

    kind: "run" where a preset that moves a camera has no meaning. Raises SettingsError for anything else.
    """
    if isinstance(given, Settings):
        return given
    if given is not None and not isinstance(given, str | Path):
        raise SettingsError(
            f"`settings` must come from load_settings, or be a preset's name or file, got {_shown(given)}. {_LIST}"
        )
    if kind == "run":
        reject_zoom_preset(given)
    return load_settings(default if given is None else given)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"


def reject_zoom_preset(preset: str | Path | None) -> None:
    """Raise SettingsError for a preset that moves a camera, where a video is to be dreamed on."""
    if preset is not None and find_preset(preset).kind == "zoom":
        looks = ", ".join(look.name for look in list_presets("run"))
        raise SettingsError(
            f"The preset {str(preset)!r} moves a camera through one image: dreamvid zoom --preset {preset}. "
            f"For a video choose one of: {looks}."
        )


def _shipped() -> str:
    return ", ".join(preset.name for preset in list_presets())


def _plain(value: Any) -> Any:
    """Return a path or a fraction as text, which is how settings hold them."""
    return str(value) if isinstance(value, PurePath | Fraction) else value


def _check_version(version: object, path: Path) -> None:
    """Refuse a recipe whose settings may mean something else."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise SettingsError(
            f"The preset file {str(path)!r} has schema_version {version!r}: allowed is a whole number from 1 to "
            f"{SCHEMA_VERSION}."
        )
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"The preset file {str(path)!r} was written by a newer dreamvid (schema_version {version}; this one reads "
            f"up to {SCHEMA_VERSION}). Update dreamvid: pip install -U dreamvid"
        )


def _read(path: Path) -> Preset:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The preset file {str(path)!r} cannot be read: {error}.") from None
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits and deep brackets
        raise SettingsError(f"The preset file {str(path)!r} is not valid TOML: {error}.") from None
    description = str(tables.pop("description", ""))
    kind = str(tables.pop("kind", "run"))
    tags = tables.pop("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise SettingsError(f"The preset file {str(path)!r} has `tags` {tags!r}: allowed is a list of texts.")
    tables.pop("provenance", None)  # a recipe says where it came from; that sets nothing
    _check_version(tables.pop("schema_version", 1), path)
    return Preset(name=path.stem, description=description, kind=kind, tables=tables, tags=tuple(tags))
