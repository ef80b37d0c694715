"""Frames that are dreamed, and those between them that are not."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from known_motion import SMALL, dream_all, pan, texture
from renders import CUT, frames_of, segments_done, start_render, tiny

from dreamvid import Dreamer, dream_frames
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import Blend, Cadence, InbetweenFrame, Keyframe, in_display_order
from dreamvid.coherence.pace import PACE_HEIGHT, Pace
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.errors import InputError
from dreamvid.motion.carry import FlowWithValidity
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import MotionField
from dreamvid.render.engine import render_video
from dreamvid.render.plan import SEGMENT_SECONDS, choose_keyframes, cut_segments
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.size import Size

FFV1 = {"codec": "ffv1"}
NOTHING = WorkingFrame(torch.zeros(1, 3, 4, 4), Size(4, 4), load_estimator("none"))
Step = Keyframe[int] | InbetweenFrame[int]


def still(now: WorkingFrame, before: WorkingFrame) -> tuple[MotionField, FlowWithValidity]:
    flow, whole = torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)
    return MotionField(flow, whole, 0 * whole), FlowWithValidity(flow, whole)


def no_image() -> np.ndarray:
    raise AssertionError("a fixed cadence looks at no image")


def sort(every: int, shots: list[int], seconds: list[float]) -> list[Step]:
    cadence: Cadence[int] = Cadence(lambda now, before: still(now, before)[0], still)
    pace = Pace(every, every)
    steps: list[Step] = []
    index = 0
    for shot in shots:
        for place in range(shot):
            key = pace.add(no_image, key=place in (0, shot - 1))
            steps += cadence.add(index, NOTHING, seconds[index], new_shot=place == 0, key=key)
            index += 1
    return steps


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 24), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_keys_are_the_first_every_nth_and_the_last_of_a_shot(every: int, shots: list[int]) -> None:
    steps = sort(every, shots, [0.04] * sum(shots))
    expected, start = set(), 0
    for shot in shots:
        expected |= {*range(start, start + shot, every), start + shot - 1}
        start += shot
    assert {step.item for step in steps if isinstance(step, Keyframe)} == expected
    images = in_display_order(steps, lambda key: torch.tensor(key.item), lambda between: torch.tensor(between.item))
    assert [(item, int(image)) for item, image in images] == [(i, i) for i in range(sum(shots))]
    starts = [step.item for step in steps if isinstance(step, Keyframe) and step.motion is None]
    assert starts == [sum(shots[:i]) for i in range(len(shots))]


def test_the_share_is_of_the_time_that_has_passed() -> None:
    steps = sort(3, [4], [1.0, 0.1, 0.3, 0.6])
    key = steps[1]
    assert isinstance(key, Keyframe)
    assert key.motion is not None
    assert (key.motion.frames, key.elapsed_seconds) == (3, pytest.approx(1.0))
    assert [step.share for step in steps if isinstance(step, InbetweenFrame)] == pytest.approx([0.1, 0.4])


@settings(deadline=None)
@given(st.data())
def test_segments_end_with_a_key(data: st.DataObject) -> None:
    count, every = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 24))
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=6)) - {count})
    rate = data.draw(st.integers(1, 60))
    segments = cut_segments(count, cuts, rate, keyframes=choose_keyframes(count, cuts, every))
    assert [frame for segment in segments for frame in range(segment.start, segment.stop)] == list(range(count))
    assert [segment.start for segment in segments if segment.new_shot] == [0, *cuts]
    shot = 0
    for segment, following in pairwise(segments):
        shot = segment.start if segment.new_shot else shot
        assert following.new_shot or (segment.stop - 1 - shot) % every == 0
        assert segment.count <= SEGMENT_SECONDS * rate + every


def dream_sparsely(
    chosen: Settings, frames: list[torch.Tensor], masks: list[torch.Tensor] | None = None
) -> list[torch.Tensor]:
    dreamer = FrameDreamer(chosen)
    cadence, pace = dreamer.cadence(), Pace(*chosen.coherence.cadence_range(30))
    steps: list[Step] = []
    for i, frame in enumerate(frames):
        working = dreamer.frame(frame)
        key = pace.add(partial(working.small, PACE_HEIGHT), key=i in (0, len(frames) - 1))
        steps += cadence.add(i, working, 1 / 25, new_shot=i == 0, key=key)

    def mask(i: int) -> torch.Tensor | None:
        return None if masks is None else masks[i]

    images = in_display_order(
        steps,
        lambda key: dreamer.dream(
            dreamer.frame(frames[key.item]),
            key.motion,
            index=key.item,
            elapsed_seconds=key.elapsed_seconds,
            mask=mask(key.item),
        ),
        lambda between: dreamer.interpolate(
            dreamer.frame(frames[between.item]), between, index=between.item, mask=mask(between.item)
        ),
    )
    return [image for _, image in images]


def test_between_lies_what_the_keys_have_moved_along() -> None:
    speed, frames = 3, pan(4, speed=3)
    chosen = load_settings(None, cadence=3, warm_iterations=0, half_life_seconds=1000.0, **SMALL)
    dreamed = dream_sparsely(chosen, frames)
    first = dreamed[0] - frames[0]
    for i in (1, 2):
        residual = dreamed[i] - frames[i]
        # What was at x in the first frame is at x + 3 i; a border wide enough for the motion to be known is left out.
        moved = first[..., 8:-8, 16 : 112 - speed * i]
        here = residual[..., 8:-8, 16 + speed * i : 112]
        assert (here - moved).abs().mean() < 0.15 * moved.abs().mean()
        assert float(torch.corrcoef(torch.stack((here.flatten(), moved.flatten())))[0, 1]) > 0.97


def test_what_comes_in_is_there_between_because_the_next_key_has_it() -> None:
    frames = pan(4, speed=8)
    chosen = load_settings(None, cadence=3, half_life_seconds=1000.0, **SMALL)
    dreamed = dream_sparsely(chosen, frames)
    entering = [(dreamed[i] - frames[i])[..., : 8 * i].abs().mean() for i in (1, 2, 3)]
    assert min(entering[:2]) > 0.5 * entering[2]


def test_the_strength_is_that_of_every_frame_dreamed() -> None:
    frames = pan(10, speed=2)
    amounts = {}
    for cadence in (1, 3):
        dreamed = dream_sparsely(load_settings(None, cadence=cadence, **SMALL), frames)
        amounts[cadence] = [float((d - f).abs().mean()) for d, f in zip(dreamed, frames, strict=True)]
    assert np.mean(amounts[3][4:]) == pytest.approx(np.mean(amounts[1][4:]), rel=0.2)
    assert np.ptp(amounts[3][4:]) < 0.25 * np.mean(amounts[3][4:]), "keys do not stand out"


@settings(deadline=None, max_examples=30)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 0.95))
def test_no_place_between_two_dreams_is_bare(valid: float, valid_after: float, share: float) -> None:
    """However little the flows hold, it is as strong as the dreams before and after; those here have nothing alike."""
    generator = torch.Generator().manual_seed(0)
    before, after = (0.1 * torch.randn(1, 3, 48, 64, generator=generator) for _ in range(2))
    flow, whole = torch.zeros(1, 2, 48, 64), torch.ones(1, 1, 48, 64)
    place = InbetweenFrame(0, *(FlowWithValidity(flow, part * whole) for part in (valid, valid_after)), share)
    cells = F.avg_pool2d(Blend()(before, after, place).square().mean(1, keepdim=True), 8).sqrt()
    assert cells.min() > 0.08
    assert cells.max() < 0.12


def test_one_dream_before_and_after_is_that_dream_between() -> None:
    dream = 0.1 * torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    side = FlowWithValidity(torch.zeros(1, 2, 48, 64), torch.ones(1, 1, 48, 64))
    torch.testing.assert_close(Blend()(dream, dream, InbetweenFrame(0, side, side, 0.3)), dream)


def test_a_mask_holds_between_too() -> None:
    frames = [texture(96, 128)] * 4
    mask = torch.zeros(1, 1, 96, 128)
    mask[..., :64] = 1
    moving = [mask.roll(-16 * i, 3) for i in range(4)]
    dreamed = dream_sparsely(load_settings(None, cadence=3, **SMALL), frames, moving)
    for i, (frame, shown) in enumerate(zip(dreamed, moving, strict=True)):
        assert torch.equal(frame * (shown == 0), frames[i] * (shown == 0))
        assert ((frame - frames[i]).abs() * shown).sum() > 0.01 * shown.sum()


def test_one_is_every_frame_from_the_one_before() -> None:
    frames = pan(4, speed=3)
    chosen = load_settings(None, cadence=1, **SMALL)
    pairs = zip(dream_sparsely(chosen, frames), dream_all(FrameDreamer(chosen), frames), strict=True)
    assert all(torch.equal(sorted_out, plain) for sorted_out, plain in pairs)


def test_the_recipe_says_how_many_frames_were_dreamed(third: Path) -> None:
    """0, 3, … 15 of the first shot; 16, 19, 22 and the last one of the second."""
    assert "dreamed_frames = 10\n" in third.with_name("dream.mkv.toml").read_text()


@pytest.fixture(scope="module")
def third(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("third") / "dream.mkv"
    render_video(film, output, tiny(cadence=3, **FFV1))
    return output


def test_the_frames_api_gives_what_the_render_gives(film: Path, third: Path) -> None:
    """The first shot, by itself: its last frame is a key in both, so no frame after it counts."""
    source = frames_of(film)[:CUT]
    pulled = 0

    def feed():
        nonlocal pulled
        for frame in source:
            pulled += 1
            yield frame

    dreams = dream_frames(feed(), tiny(cadence=3), fps=2.5)
    first = next(dreams)
    assert pulled <= 4, "no more is taken in than is needed"
    assert (np.stack([first, *dreams]) == frames_of(third)[:CUT]).all()


def test_another_size_begins_anew_behind_a_key(film: Path) -> None:
    frames = frames_of(film)[:5]
    small = [frame[:48, :64] for frame in frames]
    chosen = tiny(cadence=3)
    together = list(dream_frames([*frames, *small], chosen, fps=2.5))
    assert [image.shape for image in together] == [frame.shape for frame in (*frames, *small)]
    alone = list(dream_frames(frames, chosen, fps=2.5))
    assert all((a == b).all() for a, b in zip(alone, together, strict=False))
    assert list(dream_frames([], chosen)) == []
    for bad in ([[1], [2]], [*frames[:2], None]):
        with pytest.raises(InputError, match="frame has to be"):
            list(dream_frames(bad, chosen))


def test_frames_that_are_fed_one_by_one_are_all_dreamed(film: Path) -> None:
    frames = frames_of(film)[:3]
    sparse, every = Dreamer(tiny(cadence=3), fps=2.5), Dreamer(tiny(), fps=2.5)
    assert all((sparse.dream(frame) == every.dream(frame)).all() for frame in frames)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="kills by SIGKILL, looks into /proc")
def test_killed_in_the_middle_of_a_shot_it_ends_in_the_same_frames(film: Path, third: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    process = start_render(film, output, tiny(cadence=3, **FFV1))
    while segments_done(output) < 1 and process.is_alive():
        process.join(0.001)
    process.kill()
    process.join()
    assert render_video(film, output, tiny(cadence=3, **FFV1)).resumed_from > 0
    assert (frames_of(output) == frames_of(third)).all()


def test_without_memory_one_dream_turns_into_the_next() -> None:
    frames = pan(6, speed=2)
    chosen = {**SMALL, "half_life_seconds": 0.0}
    alone = dream_sparsely(load_settings(None, **chosen), frames)
    sparse = dream_sparsely(load_settings(None, cadence=3, **chosen), frames)
    assert [i for i in range(6) if torch.equal(sparse[i], alone[i])] == [0, 3, 5]
    # InbetweenFrame two dreams there is some of both, the more of the nearer one.
    moved = [(sparse[i] - frames[i])[..., 24:-24, 24 + 2 * i : 104 + 2 * (i - 3)] for i in range(4)]
    likeness = torch.corrcoef(torch.stack([part.flatten() for part in moved]))
    assert likeness[0, 1] > likeness[0, 2] > likeness[0, 3]
    assert likeness[3, 2] > likeness[3, 1] > likeness[3, 0]
