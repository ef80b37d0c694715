"""Flags of version 0.1, and the same error by the parameter in Python and by the flag in the command line."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvid import dream_image, dream_video, load_settings
from dreamvid.errors import DreamvidError
from dreamvid.settings import renamed
from dreamvid.settings.renamed import RENAMED
from dreamvid.ui.console import with_flags

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    before = renamed._told.copy()
    renamed._told.clear()
    yield
    renamed._told.clear()
    renamed._told.update(before)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_every_old_flag_is_the_new_one(old: str, new: str, dreamvid: Run) -> None:
    """A value that every setting refuses shows which one it was given to."""
    flag, new_flag = ("--" + name.replace("_", "-") for name in (old, new))
    command = "run" if new in ("disocclusion_iterations",) else "zoom"
    told = dreamvid(command, "nowhere.png", f"{flag}=nonsense(")
    assert told.code == 2
    assert told.err.startswith(f"warning: {flag} is called {new_flag} now.\n")
    assert new_flag in told.err.partition("\n")[2] or "nowhere.png" in told.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("run", "x.mp4", "--reveal-iterations", "101"),
            "--reveal-iterations is called --disocclusion-iterations now.",
        ),
        (("zoom", "x.png", "--no-follow"), "--no-follow is called --no-track-objective now."),
        (("run", "x.mp4", "--fresh"), "--fresh is called --restart now."),
        (("sheet", "x.png", "--vary", "step=0.1|0.2"), "'step' is called 'step_size' now."),
    ],
)
def test_old_names_are_told_once(words: tuple[str, ...], told: str, dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes((clips / "image.png").read_bytes())
    fast = ("--octaves", "1", "--iterations", "1", "--dream-height", "48") if words[0] == "sheet" else ("--crf", "99")
    err = dreamvid(*words, *fast).err
    assert err.count("is called") == 1
    assert told in err


def test_an_old_name_in_a_preset_file_is_told_and_quiet_is_quiet(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[dream]\nlevels = 2\n", encoding="utf-8")
    words = ("image", clips / "image.png", "--preset", "mine.toml", "--iterations", "1", "--octaves", "1")
    done = dreamvid(*words, "-o", "a.png", "--quiet", "--step", "0.02")
    assert (done.code, done.out, done.err) == (0, "", "")
    renamed._told.clear()
    done = dreamvid(*words, "-o", "b.png")
    assert (done.code, done.err) == (0, "warning: The setting 'levels' is called 'laplacian_levels' now.\n")


@pytest.mark.parametrize(
    ("words", "settings", "parameter", "flag"),
    [
        (("--half-life", "-1"), {"half_life_seconds": -1}, "`half_life_seconds` (", "--half-life ("),
        (("--octaves", "99"), {"octaves": 99}, "`octaves` (", "--octaves ("),
        (("--coherence", "2"), {"coherence": 2}, "`coherence` (", "--coherence ("),
    ],
)
def test_python_names_the_parameter_and_the_command_line_the_flag(
    words: tuple[str, ...], settings: dict[str, object], parameter: str, flag: str, dreamvid: Run
) -> None:
    with pytest.raises(DreamvidError, match=re.escape(parameter)) as caught:
        load_settings(None, **settings)
    assert "--" not in str(caught.value)
    told = dreamvid("run", "x.mp4", *words).err
    assert flag in told
    assert "`" not in told


def test_an_output_that_exists_says_how_to_replace_it_in_both_ways(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_text("precious", encoding="utf-8")
    with pytest.raises(DreamvidError, match="Add `overwrite=True` to replace it, or give another `output`"):
        dream_video(clips / "clip.mp4", tmp_path / "out.mp4")
    told = dreamvid("run", clips / "clip.mp4", "-o", "out.mp4").err
    assert "Add --overwrite to replace it, or give another --output." in told


def test_a_schedule_of_audio_is_advised_what_the_command_has(dreamvid: Run, clips: Path) -> None:
    words = ("run", clips / "clip.mp4", "-o", "out.mp4", "--step-size", "0.01+0.02*beat")
    told = dreamvid(*words)
    assert told.code == 2
    assert "--audio" in told.err
    assert "--audio" in dreamvid("run", "--help-all").out


def test_a_command_is_not_advised_a_flag_that_it_lacks(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    words = (clips / "image.png", "--step-size", "0.01+0.02*beat", "--iterations", "1", "--octaves", "1")
    told = dreamvid("image", *words, "-o", "out.png")
    assert told.code == 2
    assert "'beat'" in told.err
    assert "--audio" not in told.err
    with pytest.raises(DreamvidError, match="'beat'"):
        dream_image(np.zeros((48, 64, 3), np.uint8), load_settings(step_size="0.01+0.02*beat", device="cpu"))
    told = dreamvid("zoom", clips / "image.png", "--preview-every", "0", "-o", "out.mp4")
    assert "--preview-every must be greater than 0, got 0" in told.err


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`half_life_seconds` got 1", "--half-life got 1"),
        ("use `device='cpu'` or `tile=512`", "use --device cpu or --tile 512"),
        ("`overwrite=True`, `loop=False`", "--overwrite, --no-loop"),
        ("`output='a b.mp4'`", "--output 'a b.mp4'"),
        ("`unknown_name` and `dreamvid layers vgg16`", "`unknown_name` and `dreamvid layers vgg16`"),
    ],
)
def test_flags_of_parameters(message: str, expected: str) -> None:
    names = ("device", "tile", "overwrite", "loop", "output")
    flags = {"half_life_seconds": "--half-life", **{name: f"--{name}" for name in names}}
    assert with_flags(message, flags) == expected


def test_every_command_knows_its_flags(dreamvid: Run, clips: Path) -> None:
    told = dreamvid("sheet", clips / "image.png", "--size", "3")
    assert (told.code, told.err) == (2, "error: --size got 3: allowed is from 16 to 4096 pixels.\n")
    for words in (("`tile`",), ("presets", "`tile`"), ("presets", "show", "`tile`")):
        told = dreamvid(*words)
        assert (told.code, "`tile`" in told.err) == (2, True)
