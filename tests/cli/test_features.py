"""`dreamvid features`: images, sheets, atlases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvid.image.io import read_image

Run = Callable[..., Any]
TINY = ("--model", "squeezenet1_1", "--weights", "random", "--size", "32", "--iterations", "1", "--device", "cpu")


def test_one_feature_is_one_image(dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid("features", "features.3:5", *TINY, "--method", "naive")
    assert (done.code, done.out) == (0, "features.3-5.png\n")
    image = read_image(tmp_path / "features.3-5.png")
    assert image.shape == (32, 32, 3)
    assert abs(image.mean() - 127.5) < 2
    assert abs(image.std() - 25.5) < 2


def test_several_are_a_sheet_and_a_layer_is_an_atlas(dreamvid: Run, tmp_path: Path) -> None:
    mixture = "features.3:5 + 0.5*features.0:2"
    assert dreamvid("features", "features.3:0-2", mixture, "-o", "sheet.png", *TINY).code == 0
    assert dreamvid("features", "features.3.squeeze", "-o", "atlas.png", *TINY).code == 0
    sheet, atlas = read_image(tmp_path / "sheet.png"), read_image(tmp_path / "atlas.png")
    assert min(sheet.shape[:2]) >= 2 * 32
    assert min(atlas.shape[:2]) >= 4 * 32  # 16 channels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("features.3:5000",), "has no channel 5000"),
        (("nolayer",), "has no layer 'nolayer'"),
        (("features.3:5", "--size", "4"), "allowed is from 16 to 4096"),
        (("features.3:5", "--iterations", "0"), "allowed is from 1 to 2000"),
        (("features.3:5", "-o", "x.txt"), "Allowed: .png"),
        (("features.3:5", "--method", "nice"), "laplacian"),
    ],
)
def test_bad_words(words: tuple[str, ...], message: str, dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid("features", *TINY[:4], "--device", "cpu", *words)
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
