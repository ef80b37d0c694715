"""Places that are newly seen get their dream by steps of their own."""

import pytest
import torch
from known_motion import SMALL, dream_all, pan, texture

from dreamvid.coherence.disocclusion import find_region, grow_region
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.dream.octaves import Shifts
from dreamvid.settings import load_settings


def test_the_region_holds_all_that_is_missing_with_a_margin() -> None:
    growth = torch.zeros(1, 1, 240, 320)
    growth[..., 100:110, 200:230] = 1
    region = find_region(growth)
    assert region is not None
    rows, columns = region[2:]
    assert rows.start <= 68
    assert rows.stop >= 142
    assert columns.start <= 168
    assert columns.stop >= 262
    assert (rows.stop - rows.start) * (columns.stop - columns.start) <= 240 * 320 / 4, "and little else"


@pytest.mark.parametrize("where", [(0, 0), (239, 319), (0, 160), (239, 0)])
def test_a_region_stays_inside(where: tuple[int, int]) -> None:
    growth = torch.zeros(1, 1, 240, 320)
    row, column = min(where[0], 232), min(where[1], 312)
    growth[..., row : row + 8, column : column + 8] = 1
    region = find_region(growth)
    assert region is not None
    assert growth[region].sum() == 64
    assert 32 <= growth[region].shape[2] <= 240


def test_specks_have_no_region_and_all_of_a_new_image_has() -> None:
    assert find_region(torch.zeros(1, 1, 96, 128)) is None
    assert find_region(torch.full((1, 1, 96, 128), 0.01)) is None
    specks = torch.zeros(1, 1, 96, 128)
    specks[..., ::24, ::24] = 1
    assert find_region(specks) is None
    everywhere = find_region(torch.ones(1, 1, 95, 129))
    assert everywhere is not None
    assert everywhere[2:] == (slice(0, 95), slice(0, 129))


def test_what_lies_outside_stays_as_it_is() -> None:
    dreamer = FrameDreamer(load_settings(None, **SMALL))
    image, growth = texture(96, 192), torch.zeros(1, 1, 96, 192)
    growth[..., 40:60, 20:40] = 0.5
    carried = 0.02 * torch.randn(1, 3, 96, 192, generator=torch.Generator().manual_seed(2))
    carried = (image + carried).clamp(0, 1) - image
    region = find_region(growth)
    assert region is not None
    sizes, step = [(69, 137), (96, 192)], 0.03 * growth
    grown = grow_region(dreamer.ascent, image, carried, sizes, region, iterations=2, step=step, shifts=Shifts(0, 0))
    change = (grown - carried).abs().amax(1, keepdim=True)
    assert change[..., 44:56, 24:36].mean() > 0.01
    far = torch.ones_like(growth, dtype=torch.bool)
    far[..., 28:72, 8:52] = False
    assert change[far].max() < 1e-5


def test_what_comes_in_is_dreamed_sooner() -> None:
    frames = pan(5, speed=2)
    options = {**SMALL, "iterations": 8, "half_life_seconds": 100.0}
    meter = FrameDreamer(load_settings(None, **SMALL))._scheduled
    got = {0: 0.0, 4: 0.0}
    for seed in range(3):  # the strength of one dream on eight columns depends on its random shifts
        for steps in got:
            settings = load_settings(None, disocclusion_iterations=steps, seed=seed, **options)
            dreamed = dream_all(FrameDreamer(settings), frames)
            without = load_settings(None, seed=seed, **options)
            assert torch.equal(dreamed[0], dream_all(FrameDreamer(without), frames[:1])[0])
            density = torch.nn.functional.interpolate(meter.density(dreamed[4]), (96, 128), mode="bilinear")
            got[steps] += float(density[..., :8].mean())
    assert got[4] > got[0]
