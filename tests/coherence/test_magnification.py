"""What a magnified image lacks, against the area by which it was magnified."""

import pytest
import torch
from torch import Tensor

from dreamvid.coherence.residual import detail_retention
from dreamvid.motion.warp import pixel_grid


def zoom(factor: tuple[float, float], size: tuple[int, int] = (120, 160)) -> Tensor:
    """Backward flow of an image magnified about its middle."""
    grid = pixel_grid(*size, torch.zeros(1))
    middle = torch.tensor([size[1] / 2, size[0] / 2]).view(1, 2, 1, 1)
    return (grid - middle) * (1 / torch.tensor(factor).view(1, 2, 1, 1) - 1)


@pytest.mark.parametrize("factor", [(1.05, 1.05), (1.2, 1.0), (1.02, 1.1)])
def test_a_magnified_place_keeps_the_detail_of_its_former_area(factor: tuple[float, float]) -> None:
    left = detail_retention(zoom(factor))
    assert left.shape == (1, 1, 120, 160)
    inner = left[..., 16:-16, 16:-16]  # at the border the difference is one-sided
    torch.testing.assert_close(inner, torch.full_like(inner, 1 / (factor[0] * factor[1])), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("flow", [zoom((0.9, 0.9)), torch.full((1, 2, 120, 160), 3.5)], ids=["shrinks", "pans"])
def test_what_is_not_magnified_keeps_all(flow: Tensor) -> None:
    assert (detail_retention(flow) == 1).all()


def test_a_turn_keeps_the_area() -> None:
    angle = torch.tensor(0.1)
    x, y = (pixel_grid(120, 160, angle) - torch.tensor([80.0, 60.0]).view(1, 2, 1, 1)).unbind(1)
    turned = torch.stack((x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()), 1)
    left = detail_retention(turned - torch.stack((x, y), 1))
    assert (left[..., 16:-16, 16:-16] > 1 - 1e-4).all()
    assert (left >= 0.5).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (41, 2)])
def test_small_frames(size: tuple[int, int]) -> None:
    assert detail_retention(torch.zeros(1, 2, *size)).shape == (1, 1, *size)
