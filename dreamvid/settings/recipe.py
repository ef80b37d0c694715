"""Write the recipe of a render: its resolved settings and their provenance, as a TOML file that is also a preset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.settings.schema import Settings

SCHEMA_VERSION = 2
"""Version of the names and meanings of settings in a recipe. Recipes of dreamvid 0.1 carry none and are version 1."""

# Groups of settings that the commands of the same names take.
GROUPS_OF_KIND = {
    "run": ("network", "dream", "coherence", "composition", "video", "render"),
    "zoom": ("network", "dream", "camera", "video", "render"),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of one render and their provenance (source, fingerprint, versions: strings or numbers)."""

    settings: Settings
    kind: str = "run"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_toml(self) -> str:
        """Return TOML text that is a preset."""
        tables = used_tables(self.settings, self.kind)
        head = {
            "description": f"Recipe of {self.provenance.get('output', 'a render')}",
            "kind": self.kind,
            "schema_version": SCHEMA_VERSION,
        }
        text = tomli_w.dumps({**head, **tables, "provenance": dict(self.provenance)})
        return text.encode("utf-8", "replace").decode("utf-8")  # a file name may hold what UTF-8 cannot


def used_tables(settings: Settings, kind: str) -> dict[str, dict[str, Any]]:
    """Return the settings that a kind of render uses, as tables; without those not set, with schedules if any."""
    tables = settings.model_dump(mode="json", exclude_none=True)
    return {name: tables[name] for name in (*GROUPS_OF_KIND[kind], "schedules") if tables[name]}


def write_recipe(recipe: Recipe, path: Path, *, part: Path | None = None) -> None:
    """Write the recipe to `path`, at once or not at all; it survives a power cut. Raises OSError.

    part: the name that it has until it is whole, on the same disk; without, a hidden one next to `path`.
    """
    part = part_path(path) if part is None else part
    try:
        part.write_text(recipe.to_toml(), encoding="utf-8")
        replace_atomically(part, path)
    finally:
        part.unlink(missing_ok=True)
