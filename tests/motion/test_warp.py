import math

import pytest
import torch

from dreamvid.motion.warp import follow, resize_flow, warp


def constant_flow(dx: float, dy: float, height: int, width: int) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(1, 2, height, width)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, -2), (-5, 4)])
def test_backward_flow_says_where_a_pixel_was(dx, dy, mode):
    """What lay at p + flow(p) before lies at p now: a whole number of pixels moves exactly."""
    before = torch.rand(1, 3, 24, 32)
    now = warp(before, constant_flow(dx, dy, 24, 32), mode=mode)
    rows = torch.arange(24).add(dy).clamp(0, 23)
    columns = torch.arange(32).add(dx).clamp(0, 31)
    torch.testing.assert_close(now, before[:, :, rows][:, :, :, columns], atol=2e-5, rtol=0)


def test_a_fraction_of_a_pixel_shifts_a_wave_by_its_phase():
    x = torch.arange(64.0)
    wave, dx = 2 * math.pi / 16, 0.37
    before = torch.sin(wave * x).view(1, 1, 1, 64).expand(1, 1, 8, 64)
    expected = torch.sin(wave * (x + dx))
    now = warp(before, constant_flow(dx, 0, 8, 64))
    assert (now[0, 0, 4, 4:-4] - expected[4:-4]).abs().max() < 0.02


def test_resized_flow_points_to_the_same_place():
    flow = resize_flow(constant_flow(4, -6, 60, 80), (30, 20))
    torch.testing.assert_close(flow, constant_flow(1, -3, 30, 20))


def test_what_does_not_move_is_not_resampled():
    before = torch.rand(1, 3, 37, 53)
    flow = constant_flow(0, 0, 37, 53).clone()
    flow[..., :20] = 0.5
    assert torch.equal(warp(before, flow)[..., 20:], before[..., 20:])
    assert not torch.equal(warp(before, flow)[..., :20], before[..., :20])


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("channels", [1, 3])
def test_around_all_motion_nothing_is_sampled(mode, channels):
    before = torch.rand(2, channels, 37, 53)
    flow = torch.zeros(2, 2, 37, 53)
    flow[0, :, 10:20, 5:30] = torch.randn(2, 10, 25) * 4  # the second image stands still
    followed = follow(before, flow, mode=mode)
    torch.testing.assert_close(followed, warp(before, flow, mode=mode), atol=0.03, rtol=0)
    around = torch.ones(37, 53, dtype=torch.bool)
    around[10:20, 5:30] = False
    assert torch.equal(followed[0, :, around], before[0, :, around])
    assert torch.equal(followed[1], before[1])
    assert not torch.equal(followed[0], before[0])
