"""Names of version 0.1 keep working, and the present name is told once."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamvid.errors import InputError, RenamedWarning, SettingsError
from dreamvid.settings import Recipe, Settings, load_settings, renamed, write_recipe
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.recipe import SCHEMA_VERSION
from dreamvid.settings.renamed import RENAMED, accept_old_arguments

OLD_RECIPE = Path(__file__).parents[1] / "data" / "version-0.1" / "dream.mp4.toml"
VALUES = {
    "measure": "l2",
    "step": 0.02,
    "levels": 3,
    "normalize": "std",
    "space": "imagenet",
    "clip": "end",
    "carry": "picture",
    "reveal_iterations": 6,
    "centre_x": 0.25,
    "centre_y": 0.75,
    "follow": True,
    "path": "path.txt",
    "growth": 0.5,
}


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    before = renamed._told.copy()
    renamed._told.clear()
    yield
    renamed._told.clear()
    renamed._told.update(before)


def value(settings: Settings, name: str) -> object:
    return next(getattr(getattr(settings, group), name) for group, leaf, _ in setting_fields() if leaf == name)


def test_the_table_leads_from_names_that_are_gone_to_names_that_are_there() -> None:
    names = {name for _, name, _ in setting_fields()}
    assert set(RENAMED.values()) <= names
    assert not RENAMED.keys() & names
    assert VALUES.keys() == RENAMED.keys()


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_keyword_sets_the_setting_and_names_the_new_one(old: str) -> None:
    with pytest.warns(RenamedWarning, match=f"'{old}' is called '{RENAMED[old]}' now"):
        settings = load_settings(None, **{old: VALUES[old]})
    expected = "image" if old == "carry" else VALUES[old]
    assert value(settings, RENAMED[old]) == expected
    assert settings == load_settings(None, **{RENAMED[old]: expected})


def test_an_old_name_is_told_once_at_the_line_that_used_it() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load_settings(None, step=0.1)
        load_settings(None, step=0.2)
    assert [warning.filename for warning in told] == [__file__]
    assert issubclass(RenamedWarning, DeprecationWarning)


def test_a_program_is_told_and_one_that_imports_it_is_not() -> None:
    """Python shows a DeprecationWarning of the program itself."""
    code = "from dreamvid import load_settings\nload_settings(None, step=0.1)\nload_settings(None, step=0.1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("'step' is called 'step_size' now") == 1


def test_preset_files_and_schedules_have_old_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[dream]\nlevels = 2\n[camera]\ngrowth = "0.1 + 0.1*t"\n[schedules]\nstep = "0.01 + 0.01*t"\n')
    with pytest.warns(RenamedWarning):
        settings = load_settings(path)
    assert settings.dream.laplacian_levels == 2
    assert settings.schedules == {"dream_rate": "0.1 + 0.1*t", "step_size": "0.01 + 0.01*t"}


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match="'step_size' is given twice"), pytest.warns(RenamedWarning):
        load_settings(None, step=0.1, step_size=0.2)


def test_a_recipe_of_version_0_1_gives_the_same_settings() -> None:
    with pytest.warns(RenamedWarning):
        settings = load_settings(OLD_RECIPE)
    assert settings == load_settings(
        objective="blocks.1.0",
        reduction="l2",
        octaves=2,
        dream_height=24,
        iterations=2,
        step_size=0.02,
        laplacian_levels=3,
        octave_carry="image",
        warm_iterations=1,
        disocclusion_iterations=2,
        cadence=2,
        device="cpu",
    )


def test_a_new_recipe_has_its_version_and_no_old_name(tmp_path: Path) -> None:
    path = tmp_path / "dream.mp4.toml"
    write_recipe(Recipe(load_settings(None, step_size=0.02)), path)
    assert f"schema_version = {SCHEMA_VERSION}\n" in path.read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_settings(path).dream.step_size == 0.02


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (SCHEMA_VERSION + 1, rf"newer dreamvid \(schema_version {SCHEMA_VERSION + 1}.*pip install -U dreamvid"),
        (0, "has schema_version 0: allowed is a whole number from 1"),
        ('"two"', "has schema_version 'two'"),
        ("true", "has schema_version True"),
    ],
)
def test_a_recipe_of_another_version_is_refused(version: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "dream.mp4.toml"
    path.write_text(f"schema_version = {version}\n[dream]\noctaves = 2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        load_settings(path)


def test_a_function_takes_an_old_argument_but_not_both() -> None:
    @accept_old_arguments(n="count")
    def repeat(text: str, count: int = 1) -> str:
        return text * count

    with pytest.warns(RenamedWarning, match="'n' of .*repeat is called 'count' now"):
        assert repeat("a", n=3) == "aaa"  # type: ignore[call-arg]
    assert repeat("a", 2) == "aa"
    with pytest.raises(InputError, match="'count' twice"):
        repeat("a", count=2, n=3)  # type: ignore[call-arg]


def test_the_table_that_a_setting_was_in_before_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "_told", set())
    with pytest.warns(DeprecationWarning, match=r"'audio' is in the table \[video\] now"):
        settings = load_settings(None, {"camera": {"audio": "song.wav", "zoom": 1.5}, "video": {"fps": "24"}})
    assert (settings.video.audio, settings.video.fps, settings.camera.zoom) == ("song.wav", "24", 1.5)
