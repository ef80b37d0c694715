"""Settings from a browser name files of the workspace and nothing else."""

from pathlib import Path

import pytest

from dreamvid.errors import InputError
from dreamvid.settings.merge import setting_fields
from dreamvid.ui.studio.doors import _WORDS, settings_from_browser, source_from_browser, text_settings
from dreamvid.ui.studio.workspace import Workspace, WorkspaceError

OUTSIDE = (
    "/etc/passwd",
    "../secret.png",
    "sources/../../secret.png",
    "~/secret.png",
    "file:/etc/passwd",
    "lavfi:movie=/etc/passwd",
    "concat:sources/mask.png|/etc/passwd",
    "http://127.0.0.1:8000/a.png",
    "https://example.org/a.png",
    "\\\\server\\share\\a.png",
    "//server/share/a.png",
    "sources/link.png",
    "sources/mask.png\0",
    "sources/*.png",
    "sources/m%02d.png",
    "-",
    "random/../../x",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    opened = Workspace.open(tmp_path / "studio")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (opened.root / "sources" / "mask.png").write_bytes(b"x")
    (opened.root / "sources" / "link.png").symlink_to(tmp_path / "secret.png")
    return opened


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize("name", ["weights", "text_weights", "mask", "palette", "flow_weights", "camera_path", "audio"])
def test_no_setting_reads_a_file_outside(workspace: Workspace, name: str, value: str) -> None:
    with pytest.raises(InputError, match=name):
        settings_from_browser("animals", {name: value}, workspace)


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize(
    "form",
    [
        'guide("{}")@blocks.3.2',
        'blocks.3.2 + 0.5*guide( "{}" )@blocks.3.2',
        'blocks.4.1 | guide("{}")@blocks.3.2 @ 5s',
        'guide ("{}")@blocks.3.2',
        'like("{}")',
    ],
)
def test_no_objective_reads_a_file_outside(workspace: Workspace, form: str, value: str) -> None:
    with pytest.raises(InputError):
        settings_from_browser("animals", {"objective": form.format(value)}, workspace)


@pytest.mark.parametrize("name", ["mask", "audio", "weights", "palette"])
def test_files_of_the_workspace_are_taken(workspace: Workspace, name: str) -> None:
    settings = settings_from_browser("animals", {name: "sources/mask.png"}, workspace)
    assert "sources/mask.png" in str(settings)


def test_objectives_of_the_workspace_are_taken(workspace: Workspace) -> None:
    for objective in (
        'guide("sources/mask.png")@blocks.3.2',
        'class:"golden retriever"',
        "0.5*blocks.3.2 + blocks.4.1:7",
    ):
        assert settings_from_browser("animals", {"objective": objective}, workspace).dream.objective == objective


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "hf_hub:someone/evil"),
        ("model", "hf-hub:someone/evil"),
        ("model", "/tmp/model"),
        ("model", "local-dir:/tmp"),
        ("codec", "libx264 -vf movie=/etc/passwd"),
        ("preset", "x"),
        ("__class__", "x"),
    ],
)
def test_words_are_words(workspace: Workspace, name: str, value: str) -> None:
    with pytest.raises(InputError):
        settings_from_browser("animals", {name: value}, workspace)


def test_a_stranger_s_recipe_goes_through_the_same_door(workspace: Workspace) -> None:
    recipe = workspace.root / "recipes" / "evil.toml"
    recipe.write_text("[dream]\nobjective = 'guide(\"/etc/passwd\")@blocks.3.2'\n")
    with pytest.raises(WorkspaceError, match="objective"):
        settings_from_browser("recipes/evil.toml", {}, workspace)
    for name in ("/etc/passwd", "../evil.toml", "recipes/../../evil.toml", "recipes/none.toml", "sources/mask.png"):
        with pytest.raises(InputError):
            settings_from_browser(name, {}, workspace)


def test_sources_are_files_of_the_workspace(workspace: Workspace) -> None:
    assert source_from_browser("sources/mask.png", workspace) == "sources/mask.png"
    assert source_from_browser("noise", workspace, animation=True) == "noise"
    (workspace.root / "sources" / "film.mp4").write_bytes(b"x")
    assert source_from_browser("sources/film.mp4@1.50", workspace, animation=True) == "sources/film.mp4@1.50"
    for name in (*OUTSIDE, "noise", "sources/film.mp4@1.5", "recipes/x.toml"):
        with pytest.raises(WorkspaceError):
            source_from_browser(name, workspace)
    for name in (*OUTSIDE, "/etc/passwd@1", "sources/film.mp4@-1", "sources/film.mp4@1@2", "sources/../x@1"):
        with pytest.raises(WorkspaceError):
            source_from_browser(name, workspace, animation=True)


def test_every_setting_that_takes_text_is_closed_or_known() -> None:
    """A new setting that takes text is treated as a file's name until `doors` says that it is a word."""
    names = {name for _, name in text_settings()}
    assert names - set(_WORDS) == {
        "weights",
        "text_weights",
        "objective",
        "mask",
        "palette",
        "flow_weights",
        "camera_path",
        "audio",
    }
    assert set(_WORDS) <= {name for _, name, _ in setting_fields()}
