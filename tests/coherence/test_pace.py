"""Calm footage is dreamed seldom, fast footage often."""

from fractions import Fraction

import numpy as np
import pytest

from dreamvid.coherence.pace import Pace, Small
from dreamvid.render.plan import make_plan
from dreamvid.settings import load_settings
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

HEIGHT, WIDTH = 90, 160


def wide_texture(width: int) -> Small:
    """Draw blotches of many sizes, as landscapes have them."""
    random = np.random.default_rng(0)
    image = np.zeros((HEIGHT, width, 3))
    for cell in (5, 15, 45):
        blotches = random.uniform(0, 80, (HEIGHT // cell, -(-width // cell), 3))
        image += np.kron(blotches, np.ones((cell, cell, 1)))[:, :width]
    return image.astype(np.uint8)


def pan(count: int, speed: int) -> list[Small]:
    wide = wide_texture(WIDTH + count * speed)
    return [wide[:, speed * i : speed * i + WIDTH] for i in range(count)]


def keyframes(pace: Pace, frames: list[Small]) -> list[int]:
    return [index for index, frame in enumerate(frames) if pace.add(lambda frame=frame: frame)]


def test_what_stands_still_is_dreamed_as_seldom_as_allowed() -> None:
    assert keyframes(Pace(1, 4), pan(13, 0)) == [0, 4, 8, 12]
    assert keyframes(Pace(2, 3), pan(10, 0)) == [0, 3, 6, 9]


def test_the_faster_the_footage_the_more_frames_are_dreamed() -> None:
    counts = [len(keyframes(Pace(1, 8), pan(25, speed))) for speed in (0, 1, 4, 12)]
    assert counts == sorted(counts)
    assert counts[0] == 4
    assert counts[-1] == 25


def test_never_more_often_than_allowed() -> None:
    assert keyframes(Pace(3, 8), pan(13, 12)) == [0, 3, 6, 9, 12]


def test_ripples_in_place_and_a_little_less_light_are_calm() -> None:
    still = wide_texture(WIDTH).astype(np.float32)
    random = np.random.default_rng(1)
    noisy = [(0.99**i * still + random.normal(0, 6, still.shape)).clip(0, 255).astype(np.uint8) for i in range(9)]
    assert keyframes(Pace(1, 4), noisy) == [0, 4, 8]


def test_something_that_appears_is_a_keyframe() -> None:
    frames = [wide_texture(WIDTH).copy() for _ in range(9)]
    for frame in frames[2:]:
        frame[20:70, 50:110] = 250
    assert keyframes(Pace(1, 8), frames) == [0, 2]


def test_a_frame_that_is_a_keyframe_anyway_begins_the_count() -> None:
    pace, frames = Pace(1, 4), pan(9, 0)
    assert [pace.add(lambda frame=frame: frame, key=i == 2) for i, frame in enumerate(frames)].count(True) == 3


@pytest.mark.parametrize("size", [(1, 1), (20, 200), (33, 8)])
def test_images_may_be_small(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    assert keyframes(Pace(1, 4), [image] * 5) == [0, 4]


def test_a_fixed_cadence_looks_at_no_image() -> None:
    def no_image() -> Small:
        raise AssertionError

    pace = Pace(3, 3)
    assert [pace.add(no_image, key=i == 0) for i in range(7)] == [True, False, False, True, False, False, True]


@pytest.mark.parametrize(("rate", "most"), [(30, 4), (60, 8), (Fraction(24000, 1001), 3)])
def test_a_plan_has_the_keyframes(rate: Fraction, most: int) -> None:
    """A still second: every `most` frames, and the last one."""
    source = open_source(f"lavfi:color=teal:s=64x64:r={rate}:d=1")
    plan = make_plan(source, probe(source), load_settings(None))
    assert plan.keyframes == tuple(sorted({*range(0, plan.count, most), plan.count - 1}))
