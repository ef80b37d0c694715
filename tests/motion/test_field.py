from itertools import pairwise

import pytest
import torch
from motion_textures import motion_between, texture, through_a_sensor

from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.warp import warp

DIS = load_estimator("dis")


def test_a_still_shot_with_sensor_noise_carries_everything_bit_for_bit():
    image = texture(96, 144)
    residual = 0.2 * torch.randn(1, 3, 96, 144, generator=torch.Generator().manual_seed(7))
    carried = residual
    for i in range(1, 5):
        flow, trust, _ = motion_between(DIS, through_a_sensor(image, i), through_a_sensor(image, i - 1))
        carried = trust * warp(carried, flow)
    assert torch.equal(carried, residual)


def test_what_stands_still_in_flickering_light_is_carried_bit_for_bit():
    image = 0.1 + 0.6 * texture(120, 160)
    image[:, :, :60] = torch.linspace(0.5, 0.8, 160)  # a sky
    residual = 0.2 * torch.randn(1, 3, 120, 160, generator=torch.Generator().manual_seed(7))
    frames = []
    for number, gain in enumerate((1, 1.13, 1.05, 0.9, 1.02)):
        frame = image.clone()
        frame[:, :, 84:100, 20 + 4 * number : 44 + 4 * number] = texture(16, 24, 5)  # something drives by
        frames.append(through_a_sensor(gain * frame, number))
    carried = residual
    for previous, this in pairwise(frames):
        flow, trust, restless = motion_between(DIS, this, previous)
        carried = trust * warp(carried, flow)
        assert restless.mean() < 0.3
    assert torch.equal(carried[:, :, :30], residual[:, :, :30])
    assert torch.equal(carried[..., 100:], residual[..., 100:])


def test_a_pan_is_carried_whole_but_for_what_comes_in():
    wide = texture(96, 200)
    flow, trust, _ = motion_between(DIS, wide[..., 17:161], wide[..., 20:164])
    assert (flow[:, 0, 16:-16, 16:-16] + 3).abs().mean() < 0.2
    assert trust[..., 8:-8, 8:-8].mean() > 0.97
    assert trust[..., 0].max() == 0


def test_a_pan_through_changing_light_is_carried_too():
    wide = 0.1 + 0.5 * texture(96, 200)
    _, trust, _ = motion_between(DIS, 1.05 * wide[..., 17:161], wide[..., 20:164])
    assert trust[..., 8:-8, 8:-8].mean() > 0.9


def test_a_missed_cut_is_carried_little():
    _, trust, _ = motion_between(DIS, texture(96, 144, 1), texture(96, 144, 2))
    assert trust.mean() < 0.2


def test_bars_stand_still_beside_a_pan():
    frames = torch.zeros(2, 3, 240, 320)
    frames[:, :, 60:180] = torch.cat([texture(120, 400)[..., start : start + 320] for start in (34, 40)])
    flow, trust, _ = motion_between(DIS, frames[:1], frames[1:])
    assert flow[:, :, :58].abs().max() == 0
    assert flow[:, :, 182:].abs().max() == 0
    assert trust[:, :, :50].min() == 1
    assert float(flow[:, 0, 80:160, 20:-20].median()) == pytest.approx(-6, abs=0.1)


def roof(number: int) -> torch.Tensor:
    """A white thing with hardly a texture and two marks slides down by 8 pixels a frame over a still ground."""
    frame = 0.2 + 0.4 * texture(160, 320)
    frame[..., 120:200] = 0.84 + 0.02 * texture(200, 80, 3)[:, :, 32 - 8 * number : 192 - 8 * number]
    for row in (10, 100):
        frame[..., row + 8 * number : row + 30 + 8 * number, 145:175] = 0.4
    return frame


def test_a_thing_with_hardly_a_texture_slides_with_its_marks():
    flow, trust, _ = motion_between(DIS, through_a_sensor(roof(2), 2), through_a_sensor(roof(1), 1))
    inside = flow[:, :, 30:130, 126:194]
    assert ((inside[:, 1] + 8).abs() < 1.5).float().mean() > 0.8
    assert (inside[:, 1] == 0).float().mean() < 0.1, "no place of it is held still"
    assert trust[:, :, 30:130, 126:194].mean() > 0.95
    assert flow[..., :90].abs().max() == 0


def test_without_flow_everything_stays_where_it_was():
    flow, trust, _ = motion_between(load_estimator("none"), *[through_a_sensor(texture(96, 144), i) for i in (1, 2)])
    assert flow.abs().max() == 0
    assert trust.min() == 1


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (33, 34)])
def test_any_size_has_a_motion(size):
    flow, trust, _ = motion_between(DIS, torch.rand(1, 3, *size), torch.rand(1, 3, *size))
    assert flow.shape == (1, 2, *size)
    assert trust.shape == (1, 1, *size)
    assert torch.isfinite(flow).all()
    assert 0 <= float(trust.min()) <= float(trust.max()) <= 1
