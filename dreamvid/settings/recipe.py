"""The recipe of a render: its resolved settings and where they came from, as a TOML file that is a preset again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.settings.schema import Settings

# Groups of settings that the commands of the same names take.
GROUPS_OF_KIND = {
    "run": ("network", "dream", "coherence", "video", "render"),
    "zoom": ("network", "dream", "camera", "video", "render"),
}


@dataclass(frozen=True)
class Recipe:
    """Settings of one render with its provenance (source, fingerprint, versions: all strings or numbers)."""

    settings: Settings
    kind: str = "run"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_toml(self) -> str:
        """Write as TOML text; `--preset FILE` takes it back."""
        tables = used_tables(self.settings, self.kind)
        head = {"description": f"Recipe of {self.provenance.get('output', 'a render')}", "kind": self.kind}
        text = tomli_w.dumps({**head, **tables, "provenance": dict(self.provenance)})
        return text.encode("utf-8", "replace").decode("utf-8")  # a file's name may hold what no UTF-8 can


def used_tables(settings: Settings, kind: str) -> dict[str, dict[str, Any]]:
    """The settings that a kind of film is made by, as tables without what is not set; schedules if there are any."""
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
