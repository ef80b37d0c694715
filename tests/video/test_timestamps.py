"""Time stamps that are damaged are told by their neighbors; gaps are kept."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvid.video.probing.timestamps import correction_filter, describe_damage, mend

BASE = Fraction(1, 90_000)
STEADY = [3003 * index for index in range(60)]
SECOND = 90_000


@given(
    frame=st.integers(0, 59),
    ticks=st.integers(-(2**33), 2**33).filter(lambda ticks: abs(ticks) > 4 * 3003),
    length=st.integers(30, 60),
)
def test_one_wrong_time_stamp_is_mended(frame: int, ticks: int, length: int) -> None:
    frame = min(frame, length - 1)
    stamps: list[int | None] = list(STEADY[:length])
    stamps[frame] = STEADY[frame] + ticks
    at_an_end = (frame == 0 and ticks < 0) or (frame == length - 1 and ticks > 0)
    if at_an_end and abs(ticks) < 0.4 * SECOND:
        return  # a short pause at either end may be meant
    mended = mend(stamps, BASE, strays=True)
    assert mended.damaged == (frame,)
    assert all(abs(got - true) <= 1 for got, true in zip(mended.pts, STEADY, strict=False))


@pytest.mark.parametrize("length", [2, 7, 20])
@pytest.mark.parametrize("ticks", [5 * SECOND, -3 * SECOND])
def test_several_wrong_ones_in_a_row_are_mended(length: int, ticks: int) -> None:
    true = [3003 * index for index in range(100)]
    stamps = [stamp + (ticks if 25 <= index < 25 + length else 0) for index, stamp in enumerate(true)]
    mended = mend(stamps, BASE)
    assert mended.damaged == tuple(range(25, 25 + length))
    assert mended.pts == tuple(true)


@pytest.mark.parametrize("wrap", [-(2**33), 2**33])
@pytest.mark.parametrize("frame", [1, 30, 58])
def test_a_clock_that_wraps_goes_on(wrap: int, frame: int) -> None:
    stamps = [stamp + (wrap if index >= frame else 0) for index, stamp in enumerate(STEADY)]
    pts = mend(stamps, BASE).pts
    steps = {second - first for first, second in pairwise(pts)}
    assert max(steps) - min(steps) <= 2


def test_a_clock_that_wraps_in_a_long_video_goes_on() -> None:
    true = [3600 * index for index in range(1000)]
    stamps = [stamp - (2**33 if index >= 400 else 0) for index, stamp in enumerate(true)]
    assert mend(stamps, BASE).pts == tuple(true)


@pytest.mark.parametrize("seconds", [1, 5, 600])
def test_a_gap_that_lasts_is_kept(seconds: int) -> None:
    stamps = [stamp + (seconds * SECOND if index >= 25 else 0) for index, stamp in enumerate(STEADY)]
    assert mend(stamps, BASE, strays=True) == mend(stamps, BASE)
    assert mend(stamps, BASE).pts == tuple(stamps)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=60))
def test_what_rises_is_kept(steps: list[int]) -> None:
    stamps = [sum(steps[:index]) for index in range(len(steps) + 1)]
    assert mend(stamps, BASE) == mend(stamps, BASE, strays=False)
    assert mend(stamps, BASE).pts == tuple(stamps)


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=80), st.booleans())
def test_whatever_comes_the_result_rises(stamps: list[int | None], strays: bool) -> None:
    pts = mend(stamps, BASE, strays=strays).pts
    assert len(pts) == len(stamps)
    assert all(first < second for first, second in pairwise(pts))


def test_repeated_and_missing_time_stamps_lie_between_their_neighbors() -> None:
    assert mend([0, 0, 200, 200, 400, 400, 600, 600], BASE).pts == (0, 100, 200, 300, 400, 500, 600, 700)
    assert mend([0, None, 200, None, None, 500], BASE).pts == (0, 100, 200, 300, 400, 500)
    assert mend([None, None, 200, 300, 400], BASE).pts == (0, 100, 200, 300, 400)


def test_damage_is_described() -> None:
    stamps: list[int | None] = list(STEADY)
    stamps[20] = STEADY[20] + 5 * SECOND
    words = describe_damage(stamps, mend(stamps, BASE), BASE)
    assert words.startswith("frame 20 has a wrong time stamp: 5.667 s in place of 0.667 s")
    assert describe_damage(STEADY, mend(STEADY, BASE), BASE) == ""


def test_corrections_become_a_filter() -> None:
    assert correction_filter({}) == ""
    text = correction_filter({3: -7, 4: -7, 9: 5})
    assert text == r"setpts=PTS+between(N\,3\,4)*-7+between(N\,9\,9)*5"
