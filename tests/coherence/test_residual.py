"""What a dissolve leaves of the old image's dream, by the weight with which it is carried."""

from itertools import pairwise

import pytest
import torch
from motion_textures import motion_between, texture

from dreamvid.coherence.residual import decay_on_scene_change, reference_image
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
