import pytest
import torch
from motion_textures import texture

from dreamvid.image.tensors import luma
from dreamvid.motion.averages import local_mean, mean_square
from dreamvid.motion.photometric import exposure, normalized_ssd, photometric_validity


def test_a_change_of_light_is_no_difference():
    image = 0.2 + 0.4 * texture(80, 120)
    slope = torch.linspace(0.6, 1.4, 120).view(1, 1, 1, 120)  # a cloud's edge: darker left, brighter right
    lit = image * slope + 0.05
    assert photometric_validity(lit, image).min() > 0.95


def test_unrelated_textures_differ_by_two_and_lose_most():
    a, b = texture(80, 120, 1, cell=3), texture(80, 120, 2, cell=3)
    assert 1.3 < float(normalized_ssd(luma(a), luma(b), 21).mean()) < 2.1
    assert photometric_validity(a, b).mean() < 0.65
    assert photometric_validity(a, b).min() >= 0.3 - 1e-6


def test_without_texture_there_is_no_evidence():
    noise = torch.randn(2, 3, 60, 90, generator=torch.Generator().manual_seed(3)) * 2 / 255
    assert photometric_validity(0.5 + noise[:1], 0.5 + noise[1:]).min() > 0.9
    assert torch.equal(
        photometric_validity(torch.full((1, 3, 9, 9), 0.2), torch.full((1, 3, 9, 9), 0.9)), torch.ones(1, 1, 9, 9)
    )


def test_only_the_place_that_changed_is_doubted():
    before = texture(96, 144, 1)
    after = before.clone()
    after[..., 30:60, 50:90] = texture(96, 144, 9, cell=3)[..., 30:60, 50:90]
    trust = photometric_validity(after, before)
    assert trust[..., 36:54, 56:84].mean() < 0.75
    assert trust[..., :24, :].min() == 1
    assert trust[..., 68:, :].min() == 1


@pytest.mark.parametrize("window", [1, 3, 9, 15])
@pytest.mark.parametrize("size", [(7, 5), (1, 1), (12, 33)])
def test_a_local_mean_is_that_of_the_pixels_inside_the_image(window: int, size: tuple[int, int]) -> None:
    x = torch.rand(2, 1, *size)
    half = window // 2
    expected = torch.empty_like(x)
    for row in range(size[0]):
        for column in range(size[1]):
            part = x[:, :, max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
            expected[:, :, row, column] = part.mean(dim=(2, 3))
    torch.testing.assert_close(local_mean(x, window), expected)


def test_exposure_is_the_factor_of_the_light_whatever_is_blown_out() -> None:
    image = torch.rand(1, 1, 40, 60, generator=torch.Generator().manual_seed(0))
    for factor in (0.8, 1.0, 1.2):
        lit = (factor * image).clamp_max(1)
        torch.testing.assert_close(exposure(lit, image), torch.full((1, 1, 1, 1), factor), atol=1e-4, rtol=0)


def test_black_has_no_exposure() -> None:
    assert exposure(torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 1e-6)) == 1


def test_nearly_flat_areas_beside_strong_texture_are_compared_without_a_nan() -> None:
    """A running sum of squares that differ by fifty powers of two ends below zero, of which there is no root."""
    image = torch.rand(1, 1, 120, 160, generator=torch.Generator().manual_seed(0))
    image[..., 80:] *= 1e-9
    assert local_mean(image.square(), 9).min() < 0
    assert mean_square(image, 9).min() >= 0
    assert torch.isfinite(normalized_ssd(image, image.flip(3), 9)).all()
