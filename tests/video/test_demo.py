"""The film that is made on the spot."""

from fractions import Fraction

import numpy as np
import pytest

from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import VideoInfo, probe
from dreamvid.video.source import open_source


@pytest.fixture(scope="module")
def demo() -> tuple[VideoInfo, np.ndarray]:
    source = open_source("demo")
    info = probe(source)
    with FrameReader(source, info) as reader:
        return info, np.stack([frame.pixels for frame in reader])


def test_it_takes_two_seconds(demo: tuple[VideoInfo, np.ndarray]) -> None:
    info, frames = demo
    assert info.frame_rate == Fraction(24)
    assert frames.shape == (48, 360, 480, 3)


@pytest.mark.parametrize(("row", "speed"), [(345, 4), (262, 2)])
def test_ridges_pass_to_the_right_the_nearer_the_faster(
    demo: tuple[VideoInfo, np.ndarray], row: int, speed: int
) -> None:
    """In a row that lies on one ridge alone, far enough from where others hide it."""
    _, frames = demo
    for before, after in zip(frames[:8, row], frames[1:9, row], strict=True):
        np.testing.assert_array_equal(after[speed:], before[:-speed])
    assert len(np.unique(frames[0, row], axis=0)) > 20  # there is a texture to be followed


def test_clouds_drift_and_change(demo: tuple[VideoInfo, np.ndarray]) -> None:
    _, frames = demo
    sky = frames[:, 20:120].astype(np.float32).mean(axis=3)

    def difference(shift: int) -> float:
        return float(np.abs(sky[1:, :, 20:440] - sky[:-1, :, 20 + shift : 440 + shift]).mean())

    assert min(range(-4, 5), key=difference) == 1
    assert difference(1) > 0.1
