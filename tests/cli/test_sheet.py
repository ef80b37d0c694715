"""`dreamvid sheet`: what is on it, and that its labels say how to get it."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvid.api import dream_image
from dreamvid.figures import comparison as compare
from dreamvid.image.io import read_image
from dreamvid.settings import load_settings
from dreamvid.video.still import read_frame

Run = Callable[..., Any]
FAST = ("--octaves", "1", "--iterations", "1", "--device", "cpu")


def contains(sheet: np.ndarray, image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    corners = sheet[: sheet.shape[0] - height + 1, : sheet.shape[1] - width + 1]
    places = np.argwhere((corners == image[0, 0]).all(-1))
    return any((sheet[y : y + height, x : x + width] == image).all() for y, x in places)


def test_the_flags_of_a_label_give_its_image(
    dreamvid: Run, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    draw = compare.contact_sheet

    def keep_labels(cells: list[tuple[np.ndarray, str]], **options: object) -> np.ndarray:
        labels.extend(label for _, label in cells)
        return draw(cells, **options)

    monkeypatch.setattr(compare, "contact_sheet", keep_labels)
    done = dreamvid(
        *("sheet", clips / "image.png", "--model", "squeezenet1_1", "--weights", "random", *FAST),
        *("--vary", "objective=features.3|features.4:3", "--vary", "step-size=0.02|0.05"),
    )
    assert (done.code, done.out) == (0, "image.sheet.png\n")
    sheet = read_image(tmp_path / "image.sheet.png")
    assert len(labels) == 4
    assert "--objective features.4:3 --step-size 0.05" in labels[3]
    for number, label in enumerate(labels[::3]):
        assert dreamvid("image", clips / "image.png", "-o", f"{number}.png", *shlex.split(label)).code == 0
        assert contains(sheet, read_image(tmp_path / f"{number}.png"))


def test_without_an_axis_it_shows_the_presets_of_the_network(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    assert dreamvid("sheet", clips / "clip.mp4@0.2", "-o", "sheet.png", *FAST, "--dream-height", "48").code == 0
    sheet, frame = read_image(tmp_path / "sheet.png"), read_frame(f"{clips}/clip.mp4@0.2")
    settings = load_settings("plants", octaves=1, iterations=1, device="cpu", dream_height=48)
    assert contains(sheet, dream_image(frame, settings))


def test_stars_stand_for_layers_and_channels() -> None:
    frame = np.full((32, 40, 3), 99, np.uint8)
    seen: list[str] = []

    def dream(image: np.ndarray, settings: object) -> np.ndarray:
        seen.append(settings.dream.objective)  # type: ignore[attr-defined]
        return image

    given = {"model": "squeezenet1_1", "weights": "random"}
    compare.comparison_sheet(frame, given, ["objective=features.*.squeeze|features.3.squeeze:*"], dream=dream)
    layers = [name for name in seen if ":" not in name]
    assert layers == [f"features.{block}.squeeze" for block in (3, 4, 6, 7, 9, 10, 11, 12)]
    assert seen[len(layers) :] == [f"features.3.squeeze:{channel}" for channel in range(16)]


def test_objectives_over_time_and_quoted_bars_are_one_value() -> None:
    frame = np.full((32, 40, 3), 99, np.uint8)
    seen: list[str] = []

    def dream(image: np.ndarray, settings: object) -> np.ndarray:
        seen.append(settings.dream.objective)  # type: ignore[attr-defined]
        return image

    values = ["features.3; features.4 @ 5s", "features.5", 'guide("a|b.png")@features.3']
    given = {"model": "squeezenet1_1", "weights": "random"}
    compare.comparison_sheet(frame, given, ["objective=" + "|".join(values)], dream=dream)
    assert seen == values


def test_a_frame_of_a_video_is_the_one_that_is_shown(clips: Path) -> None:
    """long.mp4 has 10 frames a second, each another image."""
    frames = [read_frame(f"{clips}/long.mp4@{time}") for time in ("0", "1.0", "1.09", "0:01.1", "0:00:02.9", "2.95")]
    first, at, until, later, last, end = frames
    assert (first == read_frame(str(clips / "long.mp4"))).all()
    assert (at == until).all()
    assert (at != later).any()
    assert (last == end).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("image.png", "--vary", "color=red"), "no setting 'color'"),
        (("image.png", "--vary", "step-size"), "lacks values"),
        (("image.png", "--vary", "step-size=0.1|9"), "--step-size"),
        (("image.png", "--vary", "objective=nolayer.*"), "no layer of 'efficientnet_lite2' matches"),
        (("image.png", "--size", "3"), "from 16 to 4096"),
        (("long.mp4@99",), "has no frame at 99 s"),
        (("absent.mp4@1",), "absent.mp4"),
    ],
)
def test_bad_words(words: tuple[str, ...], message: str, dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    done = dreamvid("sheet", f"{clips}/{words[0]}", *words[1:], *FAST)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
