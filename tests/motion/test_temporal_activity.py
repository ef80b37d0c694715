import torch
from motion_textures import texture, through_a_sensor

from dreamvid.motion.photometric import temporal_activity


def ripples(seed: int) -> torch.Tensor:
    return 0.4 + 0.3 * (texture(96, 144, seed, cell=6) - 0.5)


def test_what_changes_by_itself_is_restless():
    assert temporal_activity(ripples(1), ripples(2)).mean() > 0.8


def test_what_stays_is_calm():
    assert temporal_activity(ripples(1), ripples(1)).max() == 0


def test_light_that_changes_is_calm():
    assert temporal_activity(0.87 * ripples(1), ripples(1)).mean() < 0.05


def test_noise_is_calm():
    grain = 8 / 255
    assert (
        temporal_activity(through_a_sensor(ripples(1), 1, grain), through_a_sensor(ripples(1), 2, grain)).mean() < 0.4
    )


def test_a_sharp_texture_that_is_carried_half_a_pixel_wrong_is_calmer_than_water():
    wide = 0.4 + 0.3 * (texture(96, 145, cell=2) - 0.5)
    whole, half = wide[..., :144], 0.5 * (wide[..., :144] + wide[..., 1:])
    assert temporal_activity(half, whole).mean() < 0.4 * temporal_activity(ripples(1), ripples(2)).mean()
