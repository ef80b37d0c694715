"""Preset files: TOML found by name, shipped in the wheel, or given as a path."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.merge import merge, to_tables
from dreamvid.settings.schema import Settings, VideoSettings

DEFAULT_PRESET = "animals"
DEFAULT_ZOOM_PRESET = "infinite-zoom"

# What footage says by itself, and a journey from one image cannot.
DEFAULT_ANIMATION_FORMAT = VideoSettings(frames="0:300", size="640x480", fps="30")


@dataclass(frozen=True)
class Preset:
    """A named layer of settings. `tables` is as in the file: {'dream': {'octaves': 3}, …}."""

    name: str
    description: str
    kind: str
    tables: Mapping[str, Any]


def preset_folder() -> Path:
    """Folder of the shipped presets: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def list_presets(kind: str | None = None) -> list[Preset]:
    """Read every shipped preset of a kind ('run' or 'zoom'; None: all), by name, the default one first."""
    found = [_read(path) for path in preset_folder().glob("*.toml")]
    return sorted(
        (preset for preset in found if kind in (None, preset.kind)),
        key=lambda preset: (preset.name != DEFAULT_PRESET, preset.kind, preset.name),
    )


def find_preset(name: str | Path) -> Preset:
    """Read a preset by its shipped name, or from a TOML file (a preset or the recipe of a render).

    Raises SettingsError for an unknown name (with the nearest ones), an unreadable or malformed file.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not os.path.isfile(path):  # noqa: PTH113 - unlike Path's it knows no name that cannot be asked for
            raise SettingsError(f"There is no preset file {str(path)!r}. Shipped presets: {_shipped()}.")
        return _read(path)
    shipped = preset_folder() / f"{name}.toml"
    if path.name != str(name) or not os.path.isfile(shipped):  # noqa: PTH113
        names = [preset.name for preset in list_presets()]
        raise SettingsError(
            f"There is no preset {str(name)!r}.{nearest(str(name), names)} "
            f"Allowed: {_shipped()}, or a .toml file. See: dreamvid presets"
        )
    return _read(shipped)


def load_settings(
    preset: str | Path | None = None, /, *layers: Settings | Mapping[str, Any], **overrides: Any
) -> Settings:
    """Resolve settings: default < preset < layers < overrides by leaf name.

    `load_settings("plants", octaves=3, half_life_seconds=2.0)`. Overrides that are None count as not given.
    Raises SettingsError.
    """
    chosen = find_preset(preset if preset is not None else DEFAULT_PRESET)
    base = merge(chosen.tables, origin=f"preset {chosen.name}")
    given = {name: value for name, value in overrides.items() if value is not None}
    return merge(base, *layers, to_tables(given))


def reject_zoom_preset(preset: str | Path | None) -> None:
    """Raise SettingsError for a preset that moves a camera, where footage is to be dreamed on."""
    if preset is not None and find_preset(preset).kind == "zoom":
        looks = ", ".join(look.name for look in list_presets("run"))
        raise SettingsError(
            f"The preset {str(preset)!r} moves a camera through one image: dreamvid zoom --preset {preset}. "
            f"For a film choose one of: {looks}."
        )


def _shipped() -> str:
    return ", ".join(preset.name for preset in list_presets())


def _read(path: Path) -> Preset:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The preset file {str(path)!r} cannot be read: {error}.") from None
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, or deep brackets
        raise SettingsError(f"The preset file {str(path)!r} is not valid TOML: {error}.") from None
    description = str(tables.pop("description", ""))
    kind = str(tables.pop("kind", "run"))
    tables.pop("provenance", None)  # a recipe says where it came from; that sets nothing
    return Preset(name=path.stem, description=description, kind=kind, tables=tables)
