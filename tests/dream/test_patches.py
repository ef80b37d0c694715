"""Ascent on the places that need it."""

import numpy as np
import pytest
import torch

from dreamvid.dream.octaves import Shifts
from dreamvid.dream.patches import CELL, cover, find_corners, grow_patches, patches_pay
from dreamvid.dream.session import DreamSession
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size

SIZES = [Size(120, 160), Size(240, 320)]


def texture(height: int, width: int) -> torch.Tensor:
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def scheduled() -> DreamSession:
    return DreamSession(load_settings(None, objective="blocks.2.1", dream_height=240, octaves=2, device="cpu"))


def spot(rows: slice, columns: slice) -> torch.Tensor:
    growth = torch.zeros(1, 1, 240, 320)
    growth[:, :, rows, columns] = 1
    return growth


def found(growth: torch.Tensor, sizes: list[Size]) -> list[list[tuple[int, int]]]:
    corners, mean = find_corners(growth, sizes, 2 * growth)
    assert mean == pytest.approx(2 * float(growth.mean()), abs=1e-6)
    return corners


@pytest.mark.parametrize("where", [(0, 0), (200, 280), (100, 150)])
def test_all_that_is_missing_is_covered(where: tuple[int, int]) -> None:
    growth = spot(slice(where[0], where[0] + 40), slice(where[1], where[1] + 40))
    covered = cover(growth, found(growth, SIZES)[-1])
    assert (covered * growth).sum() > 0.75 * growth.sum(), "all but what is a sliver in its cell"
    assert covered.mean() < 0.25
    whole = torch.ones_like(growth)
    assert cover(whole, found(whole, SIZES)[-1]).min() == 1


def test_slivers_and_little_growth_need_no_patch() -> None:
    for growth in (spot(slice(0), slice(0)), 0.2 * spot(slice(None), slice(None)), spot(slice(None), slice(100, 103))):
        assert found(growth, SIZES) == [[], []]


def test_patches_pay_for_a_part_and_not_for_the_whole() -> None:
    growth = spot(slice(0, CELL), slice(0, CELL))
    part, whole = found(growth, SIZES), found(torch.ones_like(growth), SIZES)
    assert patches_pay(part, SIZES, own=6, own_coarser=7, finest=3, coarser=2)
    assert not patches_pay(whole, SIZES, own=6, own_coarser=7, finest=3, coarser=2)
    assert not patches_pay(part, SIZES, own=3, own_coarser=3, finest=3, coarser=3), "the whole takes these steps anyhow"


def test_what_lies_outside_stays_and_what_is_missing_grows(scheduled: DreamSession) -> None:
    image, growth = texture(240, 320), spot(slice(64, 128), slice(64, 128))
    carried = 0.02 * torch.randn(1, 3, 240, 320, generator=torch.Generator().manual_seed(2))
    carried = (image + carried).clamp(0, 1) - image
    ascent = scheduled.ascent
    corners = found(growth, SIZES)
    grown = grow_patches(
        ascent,
        image,
        carried,
        SIZES,
        growth,
        corners,
        iterations=3,
        coarser_iterations=3,
        whole=0.09,
        shifts=Shifts(0, 0),
    )
    change = (grown - carried).abs().mean(dim=1, keepdim=True)
    assert change[..., 72:120, 72:120].mean() > 0.02
    far = torch.ones_like(growth, dtype=torch.bool)
    far[..., 48:144, 48:144] = False
    assert change[far].max() < 1e-5


def test_patches_that_touch_grow_one_dream(scheduled: DreamSession) -> None:
    """Across the border of two cores the residual steps hardly more than it does inside of one."""
    image, growth = texture(240, 320), spot(slice(64, 128), slice(64, 192))
    nothing = torch.zeros_like(image)
    ascent = scheduled.ascent
    corners = found(growth, SIZES)
    ratios = []
    for seed in range(3):
        shifts = Shifts(seed, 0)
        grown = grow_patches(
            ascent,
            image,
            nothing,
            SIZES,
            growth,
            corners,
            iterations=6,
            coarser_iterations=6,
            whole=0.12,
            shifts=shifts,
        )
        steps = (grown[..., 70:122, 1:] - grown[..., 70:122, :-1]).abs().mean(dim=(0, 1, 2))
        mean = steps[80:176].mean()
        ratios.append((float(steps[127] / mean), float(steps[124:132].mean() / mean)))
    assert ratios[0][0] < 1.5
    assert np.mean(ratios, axis=0).max() < 1.35


def test_the_same_seed_gives_the_same_dream(scheduled: DreamSession) -> None:
    image, growth = texture(240, 320), spot(slice(64, 128), slice(64, 128))
    first, second = (
        grow_patches(
            scheduled.ascent,
            image,
            torch.zeros_like(image),
            SIZES,
            growth,
            found(growth, SIZES),
            iterations=2,
            coarser_iterations=2,
            whole=0.06,
            shifts=Shifts(0, 0),
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
