"""The public functions: what they take, what they refuse in words, and their names of version 0.1."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamvid
from dreamvid import (
    Camera,
    Dreamer,
    comparison_sheet,
    dream_frames,
    dream_image,
    dream_video,
    feature_sheet,
    load_settings,
    read_frame,
    zoom_frames,
    zoom_video,
)
from dreamvid.errors import InputError, RenamedWarning
from dreamvid.image.io import write_image
from dreamvid.settings import renamed

FRAME = np.random.default_rng(3).integers(0, 256, (32, 40, 3), dtype=np.uint8)
SMALL = {"model": "squeezenet1_1", "weights": "random", "objective": "features.3", "device": "cpu"}
TINY: dict[str, Any] = {**SMALL, "octaves": 1, "iterations": 1}
PRESET = """
[network]
model = "squeezenet1_1"
weights = "random"
[dream]
objective = "features.3"
octaves = 1
iterations = 1
[video]
size = "40x32"
[render]
device = "cpu"
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(PRESET, encoding="utf-8")
    return path


@pytest.fixture
def nothing_told() -> Iterator[None]:
    before = renamed._told.copy()
    renamed._told.clear()
    yield
    renamed._told.clear()
    renamed._told.update(before)


def test_import_takes_no_library_that_is_slow_to_load() -> None:
    code = "import sys, dreamvid; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dreamvid" in done.stdout.split()
    assert not {"torch", "numpy", "pydantic", "cyclopts", "rich", "cv2", "PIL"} & set(done.stdout.split())


def test_settings_may_be_a_preset_by_file_or_by_name(preset: Path) -> None:
    dreamed = dream_image(FRAME, load_settings(preset))
    assert (dream_image(FRAME, preset) == dreamed).all()
    assert (dream_image(FRAME, str(preset)) == dreamed).all()
    (frame,) = dream_frames([FRAME], preset)
    assert (frame == dreamed).all()
    assert next(zoom_frames(FRAME, preset)).shape == FRAME.shape
    assert feature_sheet(["features.3:5"], preset, size=32, iterations=1, method="naive").shape == (32, 32, 3)
    assert Dreamer("subtle", device="cpu").cadence == load_settings("subtle").coherence.cadence_at(30)


def test_paths_are_taken_everywhere(preset: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", FRAME)
    assert (read_frame(tmp_path / "in.png") == FRAME).all()
    result = dream_video(tmp_path / "in.png", tmp_path / "out.mkv", preset)
    assert result.output == tmp_path / "out.mkv"
    result = zoom_video(tmp_path / "in.png", tmp_path / "zoom.mkv", load_settings(preset, frames="0:1"))
    assert result.frames == 1
    sheet = comparison_sheet(FRAME, "octaves=1|2", preset=preset, width=40)
    assert sheet.shape[1] >= 80
    assert load_settings(mask=tmp_path / "in.png").dream.mask == str(tmp_path / "in.png")


@pytest.mark.parametrize("fps", ["15", 15, 15.0, Fraction(15), np.float32(15), np.int64(15), "30/2"])
def test_a_frame_rate_may_be_any_number_or_text(fps: Any) -> None:
    settings = load_settings(**TINY, half_life_seconds=0.2)
    dreamer = Dreamer(settings, fps=fps)
    expected = Dreamer(settings, fps=15.0)
    for frame in (FRAME, FRAME):
        assert (dreamer.dream(frame) == expected.dream(frame)).all()


def test_numbers_may_be_text() -> None:
    settings = load_settings(**TINY, size="40x32")
    assert len(list(zoom_frames(FRAME, settings, count="2"))) == 2  # type: ignore[arg-type]
    sheet = comparison_sheet(FRAME, ["octaves=1|2"], width="40", **TINY)  # type: ignore[arg-type]
    assert sheet.shape[1] >= 80


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dream_image(FRAME, "plnts"), "'plnts'.*'plants'"),
        (lambda: dream_image(FRAME, 7), "`settings` must come from load_settings.*got 7"),
        (lambda: dream_image(FRAME, {"dream": {}}), "`settings` must come from load_settings"),
        (lambda: load_settings(7), "A preset is a name or the path of a .toml file, got 7"),
        (lambda: dream_video("demo", "out.mp4", "spiral"), "'spiral' moves a camera"),
        (lambda: Dreamer(fps=0), "`fps` must be a number above 0"),
        (lambda: Dreamer(fps="fast"), "`fps`.*30000/1001"),
        (lambda: Dreamer(fps=None), "`fps` must be a number above 0.*None"),
        (lambda: Dreamer(fps=float("nan")), "`fps` must be a number above 0.*nan"),
        (lambda: zoom_frames(count=0), "`count` must be a whole number of 1 or more, got 0"),
        (lambda: zoom_frames(count=1.5), "`count` must be a whole number.*1.5"),
        (lambda: comparison_sheet(FRAME, width="wide"), "`width` must be a whole number.*'wide'"),
        (lambda: load_settings(half_life_seconds=-1), r"`half_life_seconds` \(coherence.half_life_seconds\) got -1"),
        (lambda: load_settings(octaves=[3]), r"`octaves` \(dream.octaves\) got \[3\]"),
        (lambda: load_settings(objective=7), r"`objective` \(dream.objective\) got 7"),
    ],
)
def test_what_is_refused_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.usefixtures("nothing_told")
def test_names_of_version_0_1_work_and_are_told() -> None:
    settings = load_settings(**TINY, size="40x32")
    done: list[tuple[int, int]] = []
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: list(zoom_frames(FRAME, settings, n=1)), "'count'"),
        (lambda: dream_image(picture=FRAME, settings=settings), "'image'"),
        (lambda: comparison_sheet(FRAME, ["octaves=1"], on_picture=lambda *state: done.append(state), **TINY), "on_im"),
        (lambda: Camera(centre_x=0.25), "'center_x'"),
        (lambda: dreamvid.read_still, r"dreamvid\.read_frame now"),
    ]
    for call, message in calls:
        with pytest.warns(RenamedWarning, match=message):
            call()
    assert done == [(1, 1)]
    assert dreamvid.read_still is read_frame
    with pytest.warns(RenamedWarning, match="'on_image'"):
        feature_sheet(["features.3:5"], settings, size=32, iterations=1, on_picture=lambda *state: done.append(state))
    assert done[1:] == [(1, 1)]


@pytest.mark.usefixtures("nothing_told")
def test_a_render_takes_its_old_argument(preset: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", FRAME)
    with pytest.warns(RenamedWarning, match="'restart'"):
        dream_video(tmp_path / "in.png", tmp_path / "out.mkv", preset, fresh=True)  # type: ignore[call-arg]
