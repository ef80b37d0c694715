import pytest
import torch
from motion_textures import flow_between, texture, through_a_sensor

from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.fill import color_affinity
from dreamvid.motion.static import static_mask, surround, zero_static_flow

DIS = load_estimator("dis")


def still_share(this: torch.Tensor, previous: torch.Tensor) -> float:
    return float(static_mask(this, previous, flow_between(DIS, this, previous), color_affinity(this)).float().mean())


@pytest.mark.parametrize("noise", [0.0, 1 / 255, 2 / 255])
@pytest.mark.parametrize("contrast", [0.0, 0.2, 1.0])
def test_noise_alone_is_no_motion(noise, contrast):
    image = 0.5 + contrast * (texture(96, 144) - 0.5)
    assert still_share(through_a_sensor(image, 1, noise), through_a_sensor(image, 2, noise)) == 1


@pytest.mark.parametrize("speed", [1, 3])
def test_a_pan_does_not_stand_still(speed):
    wide = texture(96, 180)
    this, previous = wide[..., 20 - speed : 164 - speed], wide[..., 20:164]
    assert still_share(through_a_sensor(this, 1), through_a_sensor(previous, 2)) < 0.02


def test_a_flat_sky_goes_with_the_ground_below_it():
    wide = texture(96, 180)
    wide[..., :48, :] = 0.8
    this, previous = wide[..., 17:161], wide[..., 20:164]
    assert still_share(through_a_sensor(this, 1), through_a_sensor(previous, 2)) < 0.1


def test_what_moves_before_a_still_ground_is_told_from_it():
    ground, thing = texture(120, 180), texture(24, 24, 5)
    this, previous = ground.clone(), ground.clone()
    previous[..., 48:72, 60:84] = thing
    this[..., 48:72, 63:87] = thing
    this, previous = through_a_sensor(this, 1), through_a_sensor(previous, 2)
    flow = flow_between(DIS, this, previous)
    still = static_mask(this, previous, flow, color_affinity(this))
    held = zero_static_flow(flow, still)
    assert not still[..., 48:72, 63:87].any()
    assert torch.equal(held[..., 48:72, 63:87], flow[..., 48:72, 63:87])
    assert held[..., 120:].abs().max() == 0
    assert held[..., :24, :].abs().max() == 0


@pytest.mark.parametrize("light", [0, 1])
def test_a_black_or_white_surround_is_told_from_the_image(light):
    this, previous = torch.full((1, 3, 96, 144), float(light)), torch.full((1, 3, 96, 144), float(light))
    wide = 0.2 + 0.6 * texture(64, 180)
    previous[:, :, 16:80], this[:, :, 16:80] = wide[..., 20:164], wide[..., 14:158]
    around = surround(through_a_sensor(this, 1, 1 / 255), through_a_sensor(previous, 2, 1 / 255))
    assert around[:, :, :16].float().mean() > 0.98
    assert around[:, :, 80:].float().mean() > 0.98
    assert not around[:, :, 16:80].any()


def test_a_black_thing_within_the_image_is_no_surround():
    this = 0.2 + 0.6 * texture(96, 144)
    this[:, :, 40:60, 60:90] = 0
    assert not surround(this, this).any()
