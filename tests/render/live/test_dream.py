"""Dreams that go on frame by frame: changes of size, a longer cadence, and sending frames out evenly."""

import time

import numpy as np
import pytest
from live_sessions import QUICK

from dreamvid import dream_frames
from dreamvid.render.live.dream import FootageDream, Moment
from dreamvid.render.live.outlet import Outlet
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.settings import Settings, load_settings

RATE = 10


def footage(count: int) -> list[np.ndarray]:
    """Colored noise that moves to the right."""
    wide = np.random.default_rng(0).integers(40, 215, (16, 60, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(wide[:128, 2 * (count - n) : 2 * (count - n) + 192]) for n in range(count)]


def quick(**more: object) -> Settings:
    return load_settings(None, **{**QUICK, "dream_height": 128, **more})


def feed(dream: FootageDream, frames: list[np.ndarray], first: int = 0) -> list[tuple[int, np.ndarray]]:
    found = []
    for number, pixels in enumerate(frames, first):
        moment = Moment(number, number / RATE, {})
        for shown, dreamed in dream.dream(LiveFrame(pixels, number, float(number)), moment):
            found.append((shown.number, dreamed))
    return found


def added(frames: list[np.ndarray], dreamed: list[tuple[int, np.ndarray]]) -> list[float]:
    """How much the dream changed each frame: the RMS, in levels."""
    return [float(np.sqrt(np.square(image.astype(float) - frames[number]).mean())) for number, image in dreamed]


def test_a_live_dream_is_the_dream_of_the_frame_api() -> None:
    frames = footage(5)
    live = [image for _, image in feed(FootageDream(quick(cadence=1)), frames)]
    same = list(dream_frames(frames, quick(cadence=1), fps=RATE))
    assert all(np.array_equal(a, b) for a, b in zip(live, same, strict=True))


def test_with_a_longer_cadence_every_frame_comes_out_in_its_order_a_frame_behind() -> None:
    frames = footage(7)
    dream = FootageDream(quick(cadence=2))
    found = feed(dream, frames)
    assert [number for number, _ in found] == list(range(7))
    same = list(dream_frames(frames, quick(cadence=2), fps=RATE))
    assert all(np.array_equal(image, same[number]) for number, image in found)


@pytest.mark.parametrize("height", [80, 176])
def test_another_dream_height_keeps_the_carried_dream(height: int) -> None:
    """If it were lost, the frame after the change would have the dream of a single small step."""
    frames = footage(12)
    settings = quick(iterations=8, warm_iterations=1, half_life_seconds=100.0)
    dream = FootageDream(settings)
    before = added(frames, feed(dream, frames[:6]))
    dream.update(load_settings(None, settings, dream_height=height))
    after = added(frames, feed(dream, frames[6:], first=6))
    assert min(after) > 0.75 * before[-1]
    assert max(after) < 1.3 * before[-1]


def test_the_cadence_can_change_between_frames() -> None:
    frames = footage(12)
    dream = FootageDream(quick(cadence=1))
    found = feed(dream, frames[:4])
    dream.update(quick(cadence=3))
    found += feed(dream, frames[4:9], first=4)
    dream.update(quick(cadence=1))
    found += feed(dream, frames[9:], first=9)
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert numbers[:7] == list(range(7))
    assert numbers[-3:] == [9, 10, 11]


def test_another_objective_is_dreamed_at_once_and_one_that_is_unknown_changes_nothing() -> None:
    frames = footage(6)
    dream = FootageDream(quick(cadence=1))
    feed(dream, frames[:2])
    with pytest.raises(Exception, match="blocks"):
        dream.update(quick(cadence=1, objective="blocks.99"))
    dream.update(quick(cadence=1, objective="blocks.2.1:3 | blocks.1.0 @ 1s"))
    assert len(feed(dream, frames[2:], first=2)) == 4


def test_frames_that_are_finished_together_are_sent_out_one_after_another() -> None:
    slot = LatestFrame()
    reader = slot.subscribe()
    got: list[tuple[float, int]] = []
    with Outlet(slot) as outlet:
        for number in range(0, 6, 2):
            for place in range(2):
                frame = LiveFrame(np.zeros((2, 2, 3), np.uint8), number + place, 0.0)
                outlet.send(frame, place, 2)
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                if (seen := reader.get(0.005)) is not None:
                    got.append((time.monotonic(), seen.number))
    assert [number for _, number in got][-4:] == [2, 3, 4, 5]
    gaps = np.diff([at for at, _ in got[-4:]])
    assert gaps.min() > 0.02
