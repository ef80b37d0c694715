import dataclasses

import pytest
import torch

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts, enlarged_size, octave_sizes
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.image.tensors import resize
from dreamvid.metrics.score import ObjectiveMeter
from dreamvid.networks.network import load_network

RULE = UpdateRule(laplacian_levels=3, gradient_norm="mean", color_space="rgb", clamp="step")


@pytest.fixture(scope="module")
def ascent() -> OctaveAscent:
    network = load_network()
    objective = parse_objective("blocks.2.1").resolve(network.table)
    return OctaveAscent(
        TiledGradient(network.truncate(objective.layers), objective, tile=1024), RULE, octave_carry="residual"
    )


def texture(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(3))
    return resize(coarse, (height, width)).clamp(0.1, 0.9)


def test_the_ladder_hangs_from_the_dream_height():
    sizes = octave_sizes(480, 640, dream_height=480, octaves=3, octave_scale=1.5)
    assert sizes == [(213, 284), (320, 427), (480, 640)]


def test_the_same_octaves_at_every_frame_size():
    ladder = dict(dream_height=480, octaves=4, octave_scale=1.4)
    small, large = octave_sizes(480, 640, **ladder), octave_sizes(2160, 2880, **ladder)
    assert small == large


def test_octaves_above_the_frame_are_left_out():
    sizes = octave_sizes(240, 320, dream_height=480, octaves=4, octave_scale=2)
    assert sizes == [(60, 80), (120, 160), (240, 320)]


def test_an_octave_that_is_hardly_larger_works_at_the_frames_own_size():
    sizes = octave_sizes(240, 320, dream_height=480, octaves=4, octave_scale=1.4)  # 480, 343, 245, 175
    assert sizes == [(175, 233), (240, 320)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 77), (16, 4000)])
def test_a_tiny_frame_is_dreamed_at_its_own_size(height, width):
    ladder = dict(dream_height=480, octaves=2, octave_scale=1.4)
    assert octave_sizes(height, width, **ladder) == [(height, width)]


def test_a_small_frame_is_enlarged_to_240_lines_and_a_larger_one_not():
    assert enlarged_size(144, 176, dream_height=480) == (240, 293)
    assert enlarged_size(240, 320, dream_height=480) == (240, 320)
    assert enlarged_size(1080, 1920, dream_height=480) == (1080, 1920)


def test_a_small_frame_is_enlarged_no_further_than_the_dream_height():
    assert enlarged_size(64, 96, dream_height=128) == (128, 192)
    assert enlarged_size(64, 96, dream_height=48) == (64, 96)


def test_a_wide_strip_is_enlarged_to_a_bounded_number_of_pixels():
    height, width = enlarged_size(120, 640, dream_height=480)
    assert 0.98 * 240 * 427 < height * width < 1.02 * 240 * 427
    assert width / height == pytest.approx(640 / 120, rel=0.01)
    assert enlarged_size(100, 1920, dream_height=480) == (100, 1920)


def test_the_objective_rises(ascent):
    image = texture(64, 96)
    sizes = octave_sizes(64, 96, dream_height=64, octaves=2, octave_scale=1.4)
    meter = ObjectiveMeter("blocks.2.1", "efficientnet_lite2")
    values = [meter.value(image)]
    for iterations in (2, 6):
        residual = ascent.grow(image, None, sizes, iterations=iterations, step=0.01, shifts=Shifts(0, 0))
        values.append(meter.value(image + residual))
    assert values[1] > 1.1 * values[0]
    assert values[2] > 1.1 * values[1]


def test_equal_seeds_equal_pixels(ascent):
    image, sizes = texture(64, 96), [(46, 69), (64, 96)]

    def grow(seed: int, frame: int) -> torch.Tensor:
        return ascent.grow(image, None, sizes, iterations=3, step=0.01, shifts=Shifts(seed, frame))

    first = grow(1, 5)
    assert torch.equal(first, grow(1, 5))
    assert not torch.equal(first, grow(2, 5))
    assert not torch.equal(first, grow(1, 6))


def test_the_dream_stays_in_range(ascent):
    image = (texture(64, 96) > 0.5).float()
    residual = ascent.grow(image, None, [(64, 96)], iterations=3, step=0.2, shifts=Shifts(0, 0))
    dreamed = image + residual
    assert dreamed.min() >= 0
    assert dreamed.max() <= 1


def test_what_is_carried_is_kept(ascent):
    image = texture(64, 96)
    carried = 0.1 * torch.randn(1, 3, 64, 96)
    residual = ascent.grow(image, carried, [(46, 69), (64, 96)], iterations=0, step=0.01, shifts=Shifts(0, 0))
    torch.testing.assert_close(image + residual, (image + carried).clamp(0, 1))


def test_a_step_map_confines_the_growth(ascent):
    image = texture(64, 96)
    where = torch.zeros(1, 1, 64, 96)
    where[..., 48:] = 0.01
    residual = ascent.grow(image, None, [(64, 96)], iterations=2, step=where, shifts=Shifts(0, 0))
    assert residual[..., :48].abs().max() < 1e-6
    assert residual[..., 48:].abs().mean() > 0.005


def test_resize_is_identity_at_the_same_size_and_keeps_a_constant():
    image = torch.full((1, 3, 30, 50), 0.3)
    assert resize(image, (30, 50)) is image
    for size in [(7, 9), (61, 33)]:
        torch.testing.assert_close(resize(image, size), torch.full((1, 3, *size), 0.3))


def test_schedules_of_the_rule_need_no_new_recording_on_a_gpu(ascent):
    """On a GPU a step is recorded once; what is recorded has to give the same pixels for every value."""
    before = ascent.rule
    x, gradient = torch.rand(1, 3, 20, 24), torch.randn(1, 3, 20, 24)
    step = torch.full((1, 1, 1, 1), 0.03)
    seen = []
    try:
        for weight in (0.1, 0.25, 0.7):
            ascent.rule = dataclasses.replace(RULE, total_variation=weight)
            seen.append(ascent.recording())
            stepped = seen[-1].function(x, gradient, step, torch.full((1, 1, 1, 1), weight))
            assert torch.equal(stepped, ascent.rule(x, gradient, 0.03))
        assert seen[0] is seen[1] is seen[2]
        for levels in (2, 3, 4, 3, 2):
            ascent.rule = dataclasses.replace(RULE, laplacian_levels=levels)
            seen.append(ascent.recording())
            assert torch.equal(seen[-1].function(x, gradient, step), ascent.rule(x, gradient, 0.03))
        assert seen[4] is seen[6]
        assert seen[3] is seen[7]
        assert len(set(map(id, seen))) == 4
        for levels in range(20):
            ascent.rule = dataclasses.replace(RULE, laplacian_levels=levels)
            ascent.recording()
        assert len(ascent._recordings) <= 8
    finally:
        ascent.rule = before
