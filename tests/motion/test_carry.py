"""Fine detail and coarse structure move each by its own flow; checked against waves that are moved by mathematics."""

import math

import pytest
import torch
from torch import Tensor

from dreamvid.motion.averages import binomial
from dreamvid.motion.carry import carry
from dreamvid.motion.warp import follow, warp

HEIGHT, WIDTH = 64, 160
INSIDE = (..., slice(8, -8), slice(16, -16))  # at the border, pixels are repeated


def waves(length: float, right: float) -> Tensor:
    """Vertical waves of a length in pixels, `right` pixels further right."""
    x = torch.arange(WIDTH, dtype=torch.float32) - right
    return (2 * math.pi * x / length).sin().expand(1, 3, HEIGHT, WIDTH).contiguous()


def from_left(pixels: float, part: int = 1) -> Tensor:
    """The backward flow of what moves right, at a part of the size."""
    flow = torch.zeros(1, 2, HEIGHT // part, WIDTH // part)
    flow[:, 0] = -pixels / part
    return flow


@pytest.mark.parametrize("move", [warp, follow])
@pytest.mark.parametrize("part", [1, 2, 4])
def test_coarse_waves_follow_the_coarse_flow_and_ripples_the_full_one(move, part):
    residual = waves(32, 0) + 0.5 * waves(2.1, 0)
    wanted = waves(32, 5) + 0.5 * waves(2.1, -1)
    fine, coarse = from_left(-1), from_left(5, part)
    got = carry(residual, fine, coarse, move=move)

    def error(image: Tensor) -> float:
        return float((image - wanted)[INSIDE].square().mean().sqrt())

    assert error(got) < 0.1
    assert error(move(residual, fine, mode="bicubic")) > 0.5, "the waves stay behind"
    assert error(move(residual, from_left(5), mode="bicubic")) > 0.3, "the ripples are torn along"


def test_one_flow_for_both_moves_all_as_it_says():
    residual = 0.1 * torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(carry(residual, from_left(2.3), None), warp(residual, from_left(2.3)))
    for part in (1, 2):  # split, but no less sharp
        split = carry(residual, from_left(2.3), from_left(2.3, part))
        torch.testing.assert_close(split, warp(residual, from_left(2.3)), atol=1e-5, rtol=0)


def test_what_stands_still_stays_as_it_is_for_hundreds_of_frames():
    residual = start = 0.1 * torch.randn(1, 3, 45, 61, generator=torch.Generator().manual_seed(0))  # odd sides
    for _ in range(300):
        residual = carry(residual, torch.zeros(1, 2, 45, 61), torch.zeros(1, 2, 22, 30))
    torch.testing.assert_close(residual, start, atol=1e-5, rtol=0)


def test_smoothing_leaves_half_of_short_waves_by_opencv_and_by_pytorch():
    x = torch.rand(1, 3, 21, 34, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(binomial(x).double(), binomial(x.double()), atol=1e-6, rtol=0)
    short = waves(4, 0.5)
    torch.testing.assert_close(binomial(short)[INSIDE], 0.5 * short[INSIDE])
