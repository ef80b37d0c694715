"""What is carried: less of it in a dissolve, with an even strength, no grain, and the spectrum it began with."""

from itertools import pairwise

import pytest
import torch
from motion_textures import motion_between, texture

from dreamvid.coherence.residual import (
    EVEN_ENOUGH,
    STRONGER,
    decay_on_scene_change,
    even_strength,
    hold_spectrum,
    limit_grain,
    measure_spectrum,
    reference_image,
)
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.warp import warp

DIS = load_estimator("dis")


def left_at_the_end(frames: list[torch.Tensor], decay: float = 1.0) -> torch.Tensor:
    """How much of the first frame's dream is carried to the last frame, (1, 1, H, W)."""
    reference = reference_image(frames[0])
    weight = torch.ones_like(reference)
    for previous, this in pairwise(frames):
        flow, validity, _ = motion_between(DIS, this, previous)
        kept, reference = decay_on_scene_change(reference, reference_image(this), flow, validity, decay)
        weight = decay * kept * warp(weight, flow, mode="bilinear")
    return weight


def scene(seed: int) -> torch.Tensor:
    return 0.7 * texture(96, 144, seed, cell=24) + 0.3 * texture(96, 144, seed + 1)


@pytest.mark.parametrize("count", [6, 12, 25])
def test_a_dissolve_takes_the_old_dream_along(count):
    mix = torch.linspace(0, 1, count)
    frames = [(1 - share) * scene(1) + share * scene(5) for share in mix]
    left = left_at_the_end([*frames, *frames[-1:] * 5])
    assert left.mean() < 0.35


def test_what_stays_and_what_only_gets_darker_is_carried_whole():
    frames = [scene(1) * (0.5 + 0.5 * light) for light in torch.linspace(1, 0, 12)]
    assert left_at_the_end(frames).mean() > 0.95


def test_a_pan_keeps_the_dream_of_what_stays_in_view():
    wide = 0.7 * texture(96, 240, 1, cell=24) + 0.3 * texture(96, 240, 2)
    frames = [wide[..., 60 - 2 * i : 204 - 2 * i] for i in range(20)]
    left = left_at_the_end(frames)
    assert left[..., 8:-8, 44:-4].mean() > 0.9
    assert left[..., :36].mean() < 0.1


def test_ripples_on_a_scene_keep_its_dream():
    """Fine texture that nothing follows, as on water, over a scene that stays."""
    frames = [0.8 * scene(1) + 0.2 * texture(96, 144, 50 + i, cell=3) for i in range(10)]
    reference = reference_image(frames[0])
    for frame in frames[1:]:
        still = torch.zeros(1, 2, 96, 144)
        kept, reference = decay_on_scene_change(
            reference, reference_image(frame), still, torch.ones(1, 1, 96, 144), 0.97
        )
        assert kept.mean() > 0.97


def test_another_image_is_let_go_whatever_the_flow_says():
    still, sure = torch.zeros(1, 2, 96, 144), torch.ones(1, 1, 96, 144)
    reference, weight = reference_image(scene(1)), sure
    for _ in range(5):
        kept, reference = decay_on_scene_change(reference, reference_image(scene(5)), still, sure, 1.0)
        weight = kept * weight
    assert weight.mean() < 0.5


def noise(strength: float = 1.0) -> torch.Tensor:
    return strength * torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))


def test_strengths_that_are_far_from_what_is_wanted_come_closer():
    residual = noise(0.1)
    residual[..., 64:] *= 1.3
    wanted = torch.full((1, 1, 96, 128), 0.1)
    evened, power = even_strength(residual, wanted, 0.5)
    assert float(power[..., :48].mean()) == pytest.approx(1, abs=0.05)
    assert float(power[..., 80:].mean()) == pytest.approx(1.69, abs=0.05)
    left, right = (evened[..., part].square().mean().sqrt() for part in (slice(0, 48), slice(80, 128)))
    assert left.item() == pytest.approx(0.1, rel=0.02)
    assert right.item() == pytest.approx(0.1 * 1.3 * (1.69 / EVEN_ENOUGH) ** -0.25, rel=0.02)
    flat, _ = even_strength(0 * residual, wanted, 1.0)
    assert flat.abs().max() == 0
    strong, _ = even_strength(5 * residual, wanted, 1.0)
    torch.testing.assert_close(strong, 5 * residual / STRONGER)


def test_only_strong_grain_is_weakened():
    coarse = 0.3 * texture(96, 128, 3, cell=24)
    grainy = coarse.clone()
    grainy[..., 32:64, 32:64] += noise(0.5)[..., 32:64, 32:64]
    torch.testing.assert_close(limit_grain(coarse, 0.1), coarse)
    limited = limit_grain(grainy, 0.1)
    torch.testing.assert_close(limited[..., :24, :], coarse[..., :24, :])
    left = (limited - coarse)[..., 36:60, 36:60].square().mean().sqrt()
    assert left < 0.5 * (grainy - coarse)[..., 36:60, 36:60].square().mean().sqrt()


def test_the_spectrum_goes_back_to_what_it_was():
    whole = torch.ones(1, 1, 96, 128)
    first = noise(0.05) + 0.3 * (texture(96, 128, 4, cell=32) - 0.5)
    wanted = measure_spectrum(first, whole)
    changed = 0.7 * noise(0.05) + 0.5 * (texture(96, 128, 4, cell=32) - 0.5)
    before = measure_spectrum(changed, whole)
    for _ in range(20):
        changed = hold_spectrum(changed, whole, wanted, 0.5)
    after = measure_spectrum(changed, whole)
    assert before[1] < 0.8 * wanted[1]
    assert before[2] > 1.3 * wanted[2]
    torch.testing.assert_close(after[1:], wanted[1:], rtol=0.05, atol=0)
    torch.testing.assert_close(hold_spectrum(first, whole, wanted, 1.0), first)
