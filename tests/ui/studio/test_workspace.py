"""The workspace is the only door to files: what a browser can name, and what uploads may be."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import clips
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvid.image.io import write_image
from dreamvid.ui.studio.uploads import UploadError, clean_up, receive
from dreamvid.ui.studio.workspace import Workspace, WorkspaceError, is_plain_name, plain_name

HOSTILE = (
    "",
    "film.mp4",
    "/etc/passwd",
    "sources",
    "sources/",
    "sources/../secret.txt",
    "sources/../../etc/passwd",
    "sources/..",
    "sources/.",
    "sources//film.mp4",
    "sources/sub/film.mp4",
    "sources\\film.mp4",
    "sources/..\\secret.txt",
    "./sources/film.mp4",
    "../sources/film.mp4",
    "sources/film.mp4\0.png",
    "sources/\0",
    "sources/film.mp4\n",
    "sources/.hidden",
    "sources/-o",
    "sources/link.mp4",
    "sources/folder",
    "sources/%66ilm.mp4",
    "sources/film%2emp4",
    "sources/f_%04d.png",
    "sources/*.mp4",
    "sources/film.mp4@1",
    "sources/film.mp4 ",
    "sources/film.mp4.",
    "sources/CON",
    "sources/nul.mp4",
    "sources/film.mp4:stream",
    ".cache/x.json",
    "SOURCES/film.mp4",
    "file:/etc/passwd",
    "file:sources/film.mp4",
    "sources/file:film.mp4",
    "concat:sources/film.mp4|/etc/passwd",
    "lavfi:movie=/etc/passwd",
    "http://127.0.0.1/film.mp4",
    "https://example.org/a.png",
    "\\\\server\\share\\film.mp4",
    "//server/share/film.mp4",
    "C:\\film.mp4",
    "C:/film.mp4",
    "-",
    "demo",
    "~/film.mp4",
    "sources/~root",
    "sources/$HOME",
    "sources/`id`",
    "sources/\u202efilm.mp4",
    "sources/" + "a" * 300,
    None,
    7,
    ["sources/film.mp4"],
    {"path": "/etc/passwd"},
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "secret.txt").write_text("secret")
    opened = Workspace.open(tmp_path / "studio")
    (opened.root / "sources" / "film.mp4").write_bytes(b"film")
    (opened.root / "sources" / "folder").mkdir()
    (opened.root / "sources" / "link.mp4").symlink_to(tmp_path / "secret.txt")
    (opened.root / "sources" / ".hidden").write_text("hidden")
    return opened


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:40])
def test_a_hostile_name_leads_nowhere(workspace: Workspace, name: object) -> None:
    with pytest.raises(WorkspaceError):
        workspace.file(name)


@given(st.text(max_size=40) | st.text(alphabet="./\\:%~-sourcefilm\0 @|", max_size=40))
def test_no_text_names_a_file_outside(text: str) -> None:
    root = Path("/nowhere/studio")
    for name in (text, f"sources/{text}"):
        try:
            path = Workspace(root).target(name)
        except WorkspaceError:
            continue
        assert path.parent.parent == root
        assert os.path.normpath(path) == str(path)
        assert not path.name.startswith((".", "-"))


@given(st.text(max_size=80))
def test_any_text_becomes_a_plain_name(text: str) -> None:
    assert is_plain_name(plain_name(text))


def test_a_plain_name_is_kept() -> None:
    assert plain_name("C:\\Users\\me\\Road at night (2).mp4") == "Road at night (2).mp4"


def test_a_folder_that_becomes_a_link_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_text("other")
    (workspace.root / "results").rmdir()
    (workspace.root / "results").symlink_to(elsewhere)
    with pytest.raises(WorkspaceError):
        workspace.file("results/film.mp4")
    with pytest.raises(WorkspaceError, match="link"):
        Workspace.open(workspace.root)


def test_links_and_hidden_files_are_not_listed(workspace: Workspace) -> None:
    assert [path.name for path in workspace.files("sources")] == ["film.mp4"]


def test_a_result_is_deleted_with_what_belongs_to_it(workspace: Workspace) -> None:
    results = workspace.root / "results"
    for name in ("a.mp4", "a.mp4.toml", "a.score.json", "b.mp4"):
        (results / name).write_text("x")
    workspace.delete("results/a.mp4")
    assert [path.name for path in results.iterdir()] == ["b.mp4"]


def test_the_cache_stays_small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamvid.ui.studio import studio

    monkeypatch.setattr(studio, "_CACHE_FILES", 3)
    monkeypatch.setattr(studio, "_CACHE_BYTES", 1000)
    cache = workspace.cache
    (cache / "atlas-x").mkdir()
    for age, (name, size) in enumerate({"new": 10, "large": 900, "third": 200, "old": 1}.items()):
        path = cache / "atlas-x" / f"{name}.jpg"
        path.write_bytes(bytes(size))
        os.utime(path, (1e9 - age, 1e9 - age))
    (cache / ".being-written.part").write_bytes(b"x")
    (cache / ".of-a-crash.part").write_bytes(b"x")
    os.utime(cache / ".of-a-crash.part", (1e9 + 1, 1e9 + 1))
    studio.trim_cache(cache)
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {".being-written.part", "new.jpg", "large.jpg"}
    for path in (cache / "atlas-x").iterdir():
        path.unlink()
    studio.trim_cache(cache)
    assert not (cache / "atlas-x").exists()


async def _chunks(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def upload(
    workspace: Workspace, name: str, data: bytes, *, limit: int = 1 << 24, recipe: bool = False, left_free: int = 0
) -> str:
    """Receive an upload, by default however little is free on the disk of the machine that runs the tests."""
    return asyncio.run(receive(_chunks(data), name, workspace, limit=limit, recipe=recipe, left_free=left_free))


def left(workspace: Workspace) -> set[str]:
    names = {path.name for folder in ("sources", "recipes") for path in (workspace.root / folder).iterdir()}
    return names - {"film.mp4", "folder", "link.mp4", ".hidden"}


def test_an_image_is_received_and_never_replaces_another(workspace: Workspace, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((40, 60, 3), np.uint8))
    data = (tmp_path / "a.png").read_bytes()
    assert upload(workspace, "../../a.png", data) == "sources/a.png"
    assert upload(workspace, "a.png", data) == "sources/a-2.png"
    assert (workspace.root / "sources" / "a-2.png").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("film.mp4", b"no film" * 100, "film.mp4"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "list.mp4"),
        ("list.mp4", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "list.mp4"),
        ("page.html", b"<script>", "Allowed"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "Allowed"),
        ("weights.pth", b"x", "Allowed"),
        ("nothing.png", b"", "nothing.png"),
        ("big.png", b"\x89PNG" + bytes(1 << 20), "larger"),
    ],
)
def test_what_is_not_media_is_refused_and_leaves_nothing(
    workspace: Workspace, name: str, data: bytes, reason: str
) -> None:
    before = left(workspace)
    with pytest.raises(UploadError, match=reason) as caught:
        upload(workspace, name, data, limit=1 << 20)
    assert left(workspace) == before
    assert ".upload-" not in str(caught.value)


def test_an_upload_that_would_fill_the_disk_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(UploadError, match=r"nearly full; 'a\.png' is not kept"):
        upload(workspace, "a.png", (tmp_path / "a.png").read_bytes(), left_free=1 << 60)
    assert left(workspace) == set()


def test_an_upload_that_breaks_off_leaves_nothing(workspace: Workspace) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise EOFError

    with pytest.raises(EOFError):
        asyncio.run(receive(broken(), "film.mp4", workspace, limit=100, left_free=0))
    (workspace.root / "sources" / ".upload-0.mp4").write_text("of a power cut")
    clean_up(workspace)
    assert left(workspace) == set()


def test_a_film_is_received_whole(workspace: Workspace, tmp_path: Path) -> None:
    path = clips.ZOO[next(iter(clips.ZOO))].build(tmp_path / next(iter(clips.ZOO)))
    suffix = path.suffix if path.suffix in (".mp4", ".mkv", ".webm") else ".mp4"
    name = upload(workspace, f"clip{suffix}", path.read_bytes())
    assert (workspace.root / name).read_bytes() == path.read_bytes()


def test_a_recipe_that_names_other_files_is_refused(workspace: Workspace) -> None:
    assert upload(workspace, "calm.toml", b"[dream]\noctaves = 3\n", recipe=True) == "recipes/calm.toml"
    with pytest.raises(UploadError, match="mask"):
        upload(workspace, "bad.toml", b'[dream]\nmask = "/etc/passwd"\n', recipe=True)
    assert left(workspace) == {"calm.toml"}
