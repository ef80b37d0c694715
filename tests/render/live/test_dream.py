"""Dreams that go on frame by frame: changes of size, a longer cadence, and sending frames out evenly."""

import time

import numpy as np
import pytest
from live_sessions import QUICK

from dreamvid import dream_frames
from dreamvid.render.live.dream import NO_THRIFT, FootageDream, Moment, Thrift
from dreamvid.render.live.outlet import Outlet
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.settings import Settings, load_settings

RATE = 10


def footage(count: int, speed: int = 2) -> list[np.ndarray]:
    """Colored noise that moves to the right."""
    wide = np.random.default_rng(0).integers(40, 215, (16, 60, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(wide[:128, speed * (count - n) : speed * (count - n) + 192]) for n in range(count)]


def quick(**more: object) -> Settings:
    return load_settings(None, **{**QUICK, "dream_height": 128, **more})


def gradients(dream: FootageDream) -> int:
    return sum(dream._dreamer.ascent.gradient.evaluated.values())


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


def test_what_comes_into_view_can_grow_over_several_frames_without_steps_of_its_own() -> None:
    """A stripe of new things at each frame: it takes no gradient more, and is as dreamed as the rest in the end."""
    frames = footage(16, speed=12)
    settings = quick(cadence=1, iterations=10, disocclusion_iterations=5, half_life_seconds=5.0)
    counts, strengths = [], []
    for thrift in (NO_THRIFT, Thrift(spread=True)):
        dream = FootageDream(settings)
        dream.update(settings, thrift)
        feed(dream, frames[:8])
        before = gradients(dream)
        dreamed = [image for _, image in feed(dream, frames[8:], first=8)]
        counts.append(gradients(dream) - before)
        grown = [image.astype(float) - frame for image, frame in zip(dreamed, frames[8:], strict=True)]
        strengths.append(np.sqrt(np.square(grown[-1]).mean(axis=(0, 2))))
    own, spread = strengths
    assert counts[1] == 8 * 2  # a step at each of two octaves
    assert counts[0] > counts[1]
    came = slice(0, 48)  # the columns that have come into view in the last four frames
    assert spread[came].mean() > 0.5 * own[came].mean()
    assert spread[came].mean() < 1.3 * own[came].mean()
    assert spread[48:].mean() == pytest.approx(own[48:].mean(), rel=0.2)


def test_a_dream_that_is_only_carried_takes_no_step_and_keeps_its_strength() -> None:
    frames = footage(24)
    settings = quick(cadence=1, iterations=8, half_life_seconds=1.0)
    every, third = FootageDream(settings), FootageDream(settings)
    third.update(settings, Thrift(spread=True, carried=2))
    always = added(frames, feed(every, frames))
    before = gradients(third)
    seldom = added(frames, feed(third, frames))
    assert gradients(third) - before == 8 * 2 + 7 * 2  # the first frame, and then every third of 23
    assert np.mean(seldom[-6:]) == pytest.approx(np.mean(always[-6:]), rel=0.2)


def test_a_steady_dream_changes_less_from_frame_to_frame_and_is_as_strong() -> None:
    frames = footage(14)
    settings = quick(cadence=1, iterations=8, half_life_seconds=0.5)

    def unrest(found: list[tuple[int, np.ndarray]]) -> float:
        dreams = [image.astype(float) - frame for (_, image), frame in zip(found, frames, strict=True)][4:]
        moved = [np.roll(a, 2, axis=1) for a in dreams]  # as the footage does
        return float(np.mean([np.square(b - a)[:, 8:].mean() for a, b in zip(moved[:-1], dreams[1:], strict=True)]))

    plain, steady = (feed(FootageDream(settings, steady_seconds=seconds), frames) for seconds in (0.0, 0.2))
    assert unrest(steady) < 0.5 * unrest(plain)
    assert np.mean(added(frames, steady)[4:]) == pytest.approx(np.mean(added(frames, plain)[4:]), rel=0.1)


def test_a_steady_dream_shows_a_reset_at_once() -> None:
    frames = footage(8)
    dream = FootageDream(quick(cadence=1), steady_seconds=10.0)
    feed(dream, frames[:6])
    dream.reset()
    alone = FootageDream(quick(cadence=1))
    assert np.array_equal(feed(dream, frames[6:7], first=6)[0][1], feed(alone, frames[6:7], first=6)[0][1])


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
