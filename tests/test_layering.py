"""Which part of the package may know which other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dreamvid"
_BASE = {"errors", "settings"}
# What a part may import of dreamvid beside itself.
ALLOWED = {
    "errors": set(),
    "settings": {"errors"},
    "audio": _BASE,
    "video": _BASE,
    "motion": _BASE,
    "dream": _BASE,
    "pipeline": {*_BASE, "audio", "video", "motion", "dream"},
    "api": {*_BASE, "audio", "video", "motion", "dream", "pipeline"},
    "cli": {*_BASE, "audio", "video", "motion", "dream", "pipeline", "api"},
    "notebook": {*_BASE, "video", "pipeline", "cli"},
    "__main__": {*_BASE, "cli"},
    "__init__": {*_BASE, "motion", "api", "pipeline", "notebook"},
}


def part_of(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix(".py")


def imported_parts(source: str, module: list[str]) -> Iterator[str]:
    """Name the parts of dreamvid that a file imports, wherever in it; `module`: its own name, in words."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module[: len(module) - node.level] if node.level else []
            stem = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[0] == "dreamvid" and len(words) > 1:
                yield words[1]


def violations(root: Path) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        part = part_of(path, root)
        module = ["dreamvid", *path.relative_to(root).with_suffix("").parts]
        allowed = ALLOWED[part] | {part, "__version__"}
        bad = sorted(set(imported_parts(path.read_text(encoding="utf-8"), module)) - allowed)
        found += [f"{path.relative_to(root)} imports dreamvid.{name}" for name in bad]
    return found


def test_parts_import_only_what_lies_below_them() -> None:
    assert violations(PACKAGE) == []


def test_every_part_is_there() -> None:
    parts = {part_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert {"video", "motion", "dream", "pipeline", "cli", "settings"} <= parts <= set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "import dreamvid.dream.tiles",
        "from dreamvid.dream import tiles",
        "from dreamvid import dream",
        "from ..dream import tiles",
        "from .. import dream",
        "def late() -> None:\n    from dreamvid.dream.tiles import TiledGradient",
    ],
)
def test_a_forbidden_import_is_noticed(line: str, tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "decode.py").write_text(line, encoding="utf-8")
    assert violations(tmp_path) == ["video/decode.py imports dreamvid.dream"]
