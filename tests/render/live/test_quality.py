"""The quality controller, by simulated times: it finds what fits, stays there, and follows when the machine changes."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from dreamvid.render.live.quality import QualityController, ladder
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.size import Size

HD = Size(720, 1280)


def simulate(
    controller: QualityController, seconds: float, speed: Callable[[float], float], start: float = 0.0
) -> list[tuple[float, int]]:
    """Dream frames as fast as the machine can: the time and the level of each. speed: work per second at a time."""
    now, seen = start, []
    while now < start + seconds:
        took = controller.rung.work / speed(now) * (1 + 0.05 * ((len(seen) * 7919) % 11 - 5) / 5)
        now += max(took, 1 / 30)
        controller.measure(now, took)
        seen.append((now, controller.level))
    return seen


def changes(seen: list[tuple[float, int]]) -> list[float]:
    return [after[0] for before, after in pairwise(seen) if before[1] != after[1]]


def controller_for(settings: Settings, size: Size = HD, budget: float = 1 / 15) -> QualityController:
    return QualityController(ladder(settings, size), budget)


def speed_for(settings: Settings, rung: int, size: Size = HD, budget: float = 1 / 15) -> float:
    """The speed at which a rung takes 0.85 of the budget."""
    return ladder(settings, size)[rung].work / (0.85 * budget)


def test_the_ladder_lowers_steps_first_then_the_height_then_the_cadence() -> None:
    rungs = ladder(load_settings(), HD)
    works = [rung.work for rung in rungs]
    assert works == sorted(works, reverse=True)
    assert [(rung.spread, rung.warm_iterations, rung.dream_height) for rung in rungs[:4]] == [
        (False, 3, 480),
        (True, 3, 480),
        (True, 2, 480),
        (True, 1, 480),
    ]
    heights = [rung.dream_height for rung in rungs]
    assert heights == sorted(heights, reverse=True)
    assert rungs[4].dream_height < 480
    small = ladder(load_settings(), Size(180, 320))
    cadences = [rung.cadence for rung in small]
    assert cadences == sorted(cadences)
    assert cadences[-1] > 1
    assert {rung.cadence for rung in small if rung.dream_height > 0.65 * 240} == {1, 2, 3}
    assert min(rung.dream_height for rung in small if rung.cadence == 1) > 0.65 * 240
    assert [rung.interpolated for rung in small] == [False] * len(small)
    assert any(rung.interpolated for rung in ladder(load_settings(), Size(180, 320), interpolate=True))


def test_full_quality_counts_the_steps_of_what_comes_into_view() -> None:
    """They may take as long as all others; a controller that does not know of them goes up, and down again."""
    none, some, many = (ladder(load_settings(None, disocclusion_iterations=count), HD)[0].work for count in (0, 6, 10))
    assert some > 1.5 * none
    assert many > 1.5 * some


def test_it_is_stable_within_5_seconds_of_a_start_and_begins_low() -> None:
    settings = load_settings()
    speed = speed_for(settings, 5)
    controller = controller_for(settings)
    first = controller.rung.work
    seen = simulate(controller, 30, lambda now: speed)
    assert first == min(rung.work for rung in ladder(settings, HD))
    assert max(changes(seen)) < 5
    assert abs(controller.level - 5) <= 1
    assert controller.rung.work / speed <= 1 / 15


def test_it_is_stable_again_within_5_seconds_when_half_a_core_of_two_is_taken_and_given_back() -> None:
    settings = load_settings()
    speed = speed_for(settings, 4)
    controller = controller_for(settings)
    simulate(controller, 20, lambda now: speed)
    before = controller.level
    taken = simulate(controller, 20, lambda now: 0.75 * speed, start=20)
    assert max(changes(taken)) < 25
    assert controller.level > before
    assert controller.rung.work / (0.75 * speed) <= 1.05 / 15
    back = simulate(controller, 20, lambda now: speed, start=40)
    assert max(changes(back)) < 45
    assert controller.level <= before


@pytest.mark.parametrize("share", [0.7, 0.8, 0.88, 0.95, 1.0, 1.04])
def test_it_never_takes_more_than_a_step_a_second_and_settles(share: float) -> None:
    """Wherever the frame's time lies, between two rungs too."""
    settings = load_settings()
    speed = ladder(settings, HD)[4].work / (share / 15)
    controller = controller_for(settings)
    seen = simulate(controller, 120, lambda now: speed)
    steps = changes(seen)
    assert all(after - before >= 1 for before, after in pairwise(steps))
    assert len([step for step in steps if step > 20]) <= 3


def test_what_was_too_slow_is_not_tried_again_at_once() -> None:
    """A machine on which the work of a rung is underestimated: each step up has to be taken back."""
    settings = load_settings()
    rungs = ladder(settings, HD)
    speed = rungs[5].work / (0.7 / 15)
    controller = controller_for(settings)

    def unfair(now: float) -> float:
        return speed if controller.level >= 5 else speed / 2

    steps = changes(simulate(controller, 120, unfair))
    assert len([step for step in steps if step > 60]) <= 4


def test_full_quality_is_left_alone_where_there_is_time() -> None:
    settings = load_settings()
    controller = controller_for(settings)
    simulate(controller, 10, lambda now: 100 * speed_for(settings, 0))
    assert controller.level == 0
    assert controller.state().doing == ""
    limited = controller.limit(settings)
    assert (limited.coherence.warm_iterations, limited.dream) == (settings.coherence.warm_iterations, settings.dream)


def test_a_machine_that_is_far_too_slow_ends_on_the_lowest_rung() -> None:
    settings = load_settings()
    controller = controller_for(settings)
    simulate(controller, 60, lambda now: 0.1 * speed_for(settings, len(ladder(settings, HD)) - 1))
    assert controller.rung == ladder(settings, HD)[-1]


def test_other_settings_go_on_at_the_same_work() -> None:
    settings = load_settings()
    controller = controller_for(settings)
    speed = speed_for(settings, 4)
    simulate(controller, 20, lambda now: speed)
    work = controller.rung.work
    controller.replace_ladder(ladder(load_settings(warm_iterations=6, octaves=5), HD))
    assert controller.rung.work == pytest.approx(work, rel=0.35)
    assert controller.rung.work <= 1.02 * work


def test_an_animation_has_a_ladder_too() -> None:
    settings = load_settings("infinite-zoom", frame_iterations=3)
    rungs = ladder(settings, Size(480, 640), kind="zoom")
    assert [rung.warm_iterations for rung in rungs[:3]] == [3, 2, 1]
    assert not any(rung.spread for rung in rungs)
    assert rungs[-1].dream_height < 480
    assert {rung.cadence for rung in rungs} == {1}
    controller = QualityController(rungs, 1 / 15, kind="zoom")
    assert controller.limit(settings).camera.frame_iterations == 1
