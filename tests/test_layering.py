"""Which folder of the package may import which other: one ordered list, and no folder that holds too much."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dreamvid"
# A folder may import only those before it. The order is that of a frame's way, over a ground floor that knows no dream.
ORDER = (
    "errors",
    "runtime",
    "settings",
    "image",
    "networks",
    "motion",
    "video",
    "audio",
    "dream",
    "coherence",
    "camera",
    "metrics",
    "render",
    "figures",
    "api",
    "ui",
    "cli",
    "__main__",
)
MOST_MODULES = 14


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
        if part == "__init__":  # the public names, loaded when they are first used
            continue
        module = ["dreamvid", *path.relative_to(root).with_suffix("").parts]
        allowed = {*ORDER[: ORDER.index(part) + 1], "__version__"}
        bad = sorted(set(imported_parts(path.read_text(encoding="utf-8"), module)) - allowed)
        found += [f"{path.relative_to(root)} imports dreamvid.{name}" for name in bad]
    return found


def modules(root: Path) -> dict[str, set[str]]:
    """Name the modules of a package, each with those that it imports while it is imported itself."""
    names = {".".join(("dreamvid", *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = set()
        for node in tree.body:  # not inside functions, nor under `if TYPE_CHECKING`
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    graph[name].add(full if full in names else node.module)
            elif isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
        graph[name] &= names.keys()
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Find circular imports: what is left when modules that import nothing of the rest are removed."""
    left = {name: set(imports) for name, imports in graph.items()}
    while free := {name for name, imports in left.items() if not imports & left.keys()}:
        left = {name: imports for name, imports in left.items() if name not in free}
    return [sorted(left)] if left else []


def test_folders_import_only_those_before_them() -> None:
    assert violations(PACKAGE) == []


def test_every_folder_is_in_the_order() -> None:
    parts = {part_of(path, PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert parts - {"__init__"} == set(ORDER)


def test_no_import_is_circular() -> None:
    assert cycles(modules(PACKAGE)) == []


def test_a_circular_import_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from dreamvid.b import x", encoding="utf-8")
    (tmp_path / "b.py").write_text("from dreamvid.a import y", encoding="utf-8")
    (tmp_path / "c.py").write_text("from dreamvid.a import y", encoding="utf-8")
    assert cycles(modules(tmp_path)) == [["dreamvid.a", "dreamvid.b", "dreamvid.c"]]


def test_no_folder_holds_too_many_modules() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    counts = {str(f.relative_to(PACKAGE)): len([p for p in f.glob("*.py") if p.name != "__init__.py"]) for f in folders}
    assert {name: count for name, count in counts.items() if count > MOST_MODULES} == {}


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
