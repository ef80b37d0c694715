"""Coherence on motion that is known."""

import numpy as np
import pytest
import torch
from known_motion import SMALL, dream_all, pan, texture

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.image.tensors import resize
from dreamvid.settings import load_settings


def shift_between(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """How far b is moved against a (right, down), to a fraction of a pixel, by phase correlation."""
    window = np.outer(np.hanning(a.shape[0]), np.hanning(a.shape[1]))
    product = np.fft.fft2(b * window) * np.conj(np.fft.fft2(a * window))
    peak = np.abs(np.fft.ifft2(product / (np.abs(product) + 1e-9)))
    y, x = np.unravel_index(peak.argmax(), peak.shape)

    def refine(before: float, at: float, after: float) -> float:
        return 0.5 * (after - before) / (2 * at - before - after)

    h, w = peak.shape
    fx = refine(peak[y, x - 1], peak[y, x], peak[y, (x + 1) % w])
    fy = refine(peak[y - 1, x], peak[y, x], peak[(y + 1) % h, x])
    return (x + w // 2) % w - w // 2 + fx, (y + h // 2) % h - h // 2 + fy


@pytest.mark.parametrize("dream_height", [96, 192], ids=["at its own size", "enlarged"])
def test_the_residual_rides_on_a_pan(dream_height: int):
    frames = pan(6, speed=3)
    settings = {**SMALL, "dream_height": dream_height, "warm_iterations": 0, "half_life_seconds": 100.0}
    dreamer = FrameDreamer(load_settings(None, **settings))
    dreamed = dream_all(dreamer, frames)
    first = (dreamed[0] - frames[0])[0].mean(0).numpy()
    last = (dreamed[5] - frames[5])[0].mean(0).numpy()
    right, down = shift_between(first, last)
    assert right == pytest.approx(15, abs=0.5)
    assert down == pytest.approx(0, abs=0.5)


def test_a_small_frame_is_dreamed_enlarged_and_its_residual_is_reduced():
    small = texture(96, 128)
    large = resize(small, (192, 256)).clamp(0, 1)
    settings = {**SMALL, "dream_height": 192}
    dreamer = FrameDreamer(load_settings(None, **settings))
    added, added_large = (
        dreamer.dream(dreamer.frame(image), None, index=0, elapsed_seconds=0) - image for image in (small, large)
    )
    assert added.shape == small.shape
    assert added.abs().mean() > 0.01
    expected = (small + resize(added_large, (96, 128))).clamp(0, 1) - small
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=0)


def test_a_small_frame_without_steps_stays_as_it_is():
    edges = (texture(96, 128) > 0.5).float()  # enlarged, they overshoot
    dreamer = FrameDreamer(load_settings(None, **{**SMALL, "dream_height": 192, "iterations": 0}))
    dreamed = dreamer.dream(dreamer.frame(edges), None, index=0, elapsed_seconds=0)
    torch.testing.assert_close(dreamed, edges, atol=1e-6, rtol=0)


def test_what_comes_into_view_has_most_of_its_dream_at_once_and_settles():
    """Ten columns a frame come in from the left: they are dreamed when first seen, and change less and less."""
    frames = pan(4, speed=10)
    dreamed = dream_all(FrameDreamer(load_settings(None, half_life_seconds=100.0, **SMALL)), frames)
    residuals = [dream - frame for dream, frame in zip(dreamed, frames, strict=True)]
    new, next_, last = (residuals[1 + age][..., 1 + 10 * age : 9 + 10 * age] for age in range(3))
    size = new.abs().mean()
    assert size > 0.4 * residuals[1][..., 20:].abs().mean()
    assert (last - next_).abs().mean() < (next_ - new).abs().mean() < 0.5 * size


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_comes_into_view_is_as_strong_as_the_rest_at_once(seed):
    frames = pan(2, speed=10)
    dreamed = dream_all(FrameDreamer(load_settings(None, half_life_seconds=100.0, seed=seed, **SMALL)), frames)
    residual = dreamed[1] - frames[1]
    new, rest = (part.square().mean().sqrt() for part in (residual[..., 1:9], residual[..., 20:]))
    assert 0.88 * rest < new < 1.15 * rest


def test_where_nothing_moves_light_takes_four_half_lives_to_fade_by_half_and_color_twice_as_long():
    still = texture(96, 128)
    dreamer = FrameDreamer(load_settings(None, warm_iterations=0, half_life_seconds=0.2, **SMALL))
    first = dreamer.dream(dreamer.frame(still), None, index=0, elapsed_seconds=0) - still
    second = (
        dreamer.dream(
            dreamer.frame(still),
            dreamer.motion(dreamer.frame(still), dreamer.frame(still)),
            index=1,
            elapsed_seconds=0.8,
        )
        - still
    )

    light, light_before = second.mean(dim=1), first.mean(dim=1)
    torch.testing.assert_close(light, light_before / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(second - light[:, None], (first - light_before[:, None]) / 2**0.5, atol=1e-5, rtol=0)


def test_without_memory_each_frame_is_dreamed_alone():
    frames = pan(3, speed=2)
    dreamer = FrameDreamer(load_settings(None, half_life_seconds=0.0, **SMALL))
    together = dream_all(dreamer, frames)
    for i, frame in enumerate(frames):
        dreamer.reset()
        alone = dreamer.dream(dreamer.frame(frame), None, index=i, elapsed_seconds=1 / 25)
        assert torch.equal(alone, together[i])


def test_a_cut_begins_anew():
    dreamer = FrameDreamer(load_settings(None, **SMALL))
    dream_all(dreamer, pan(3, speed=2))
    other = texture(96, 128).flip(3)
    after_cut = dreamer.dream(dreamer.frame(other), None, index=7, elapsed_seconds=1 / 25)
    dreamer.reset()
    assert torch.equal(after_cut, dreamer.dream(dreamer.frame(other), None, index=7, elapsed_seconds=1 / 25))


def test_the_state_is_all_that_is_carried():
    frames = pan(6, speed=2)
    settings = load_settings(None, **SMALL)
    dreamer = FrameDreamer(settings)
    undisturbed = dream_all(dreamer, frames)
    dreamer.reset()
    dream_all(dreamer, frames[:4])
    state = dreamer.state()
    resumed = FrameDreamer(settings)
    resumed.load_state(state)
    for i in (4, 5):
        motion = resumed.motion(resumed.frame(frames[i]), resumed.frame(frames[i - 1]))
        dreamed = resumed.dream(resumed.frame(frames[i]), motion, index=i, elapsed_seconds=1 / 25)
        assert torch.equal(dreamed, undisturbed[i])


def test_a_frame_keeps_its_own_detail_above_the_dream_height():
    """The residual is smooth at the frame's size: what is finer than the dream comes from the source alone."""
    frame = (torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4).contiguous()
    dreamer = FrameDreamer(load_settings(None, **{**SMALL, "dream_height": 96}))
    residual = dreamer.dream(dreamer.frame(frame), None, index=0, elapsed_seconds=0.04) - frame
    spectrum = torch.fft.rfft2(residual.mean(1)).abs().square()[0]
    assert spectrum[100:284, 100:].sum() < 0.01 * spectrum.sum()
    assert residual.abs().mean() > 0.01


def test_the_strength_is_the_same_at_every_frame_rate():
    """A pan over a second and a half: what the last half second adds on average."""
    wide = texture(96, 240)
    dreamer = FrameDreamer(load_settings(None, **SMALL))
    strength = {}
    for rate in (8, 24):
        dreamer.reset()
        amounts, previous = [], None
        for i in range(3 * rate // 2):
            start = 96 - 48 * i // rate
            frame = wide[..., start : start + 128]
            motion = None if previous is None else dreamer.motion(dreamer.frame(frame), dreamer.frame(previous))
            residual = dreamer.dream(dreamer.frame(frame), motion, index=i, elapsed_seconds=1 / rate) - frame
            amounts.append(float(residual.abs().mean()))
            previous = frame
        strength[rate] = np.mean(amounts[rate:])
    assert strength[24] == pytest.approx(strength[8], rel=0.15)
