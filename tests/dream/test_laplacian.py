import numpy as np
import pytest
import torch

from dreamvid.dream import laplacian as pyramid

SIZES = [(1, 1), (2, 3), (5, 5), (33, 77), (64, 64), (97, 41), (120, 161)]


def image(size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def reference_reduce(x: np.ndarray) -> np.ndarray:
    """TensorFlow's SAME 5×5 binomial convolution with stride 2, written out for one channel."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    h, w = x.shape
    out = np.zeros((-(-h // 2), -(-w // 2)))
    top = max((out.shape[0] - 1) * 2 + 5 - h, 0) // 2
    left = max((out.shape[1] - 1) * 2 + 5 - w, 0) // 2
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for di in range(5):
                for dj in range(5):
                    y, z = 2 * i + di - top, 2 * j + dj - left
                    if 0 <= y < h and 0 <= z < w:
                        out[i, j] += kernel[di, dj] * x[y, z]
    return out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [0, 1, 4])
def test_merge_undoes_split(size, levels):
    x = image(size)
    assert (pyramid.merge(pyramid.split(x, levels)) - x).abs().max() <= 1e-5


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (13, 7)])
def test_reduce_is_the_same_padded_convolution(size):
    x = image(size)
    for channel in range(3):
        expected = reference_reduce(x[0, channel].double().numpy())
        np.testing.assert_allclose(pyramid.reduce(x)[0, channel].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (13, 7)])
def test_expand_is_four_times_the_transpose_of_reduce(size):
    x = image(size)
    y = image((-(-size[0] // 2), -(-size[1] // 2)), seed=1)
    forward = (pyramid.reduce(x) * y).sum()
    backward = (x * pyramid.expand(y, size)).sum() / 4
    assert float(forward) == pytest.approx(float(backward), abs=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_many_images_are_split_as_each_by_itself(size):
    """Few images go through OpenCV, many through PyTorch's operators."""
    images = torch.cat([image(size, seed) for seed in range(6)])
    for together, *alone in zip(
        pyramid.split(images, 3), *(pyramid.split(one, 3) for one in images.split(1)), strict=True
    ):
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


def fine_share(x: torch.Tensor) -> float:
    """Share of the energy in waves shorter than four pixels, by Fourier transform."""
    energy = torch.fft.fft2(x).abs().square().sum(dim=(0, 1))
    frequency = torch.fft.fftfreq(x.shape[2]).abs()
    fine = (frequency[:, None] > 0.25) | (frequency[None, :] > 0.25)
    return float(energy[fine].sum() / energy.sum())


def test_every_scale_gets_the_same_say():
    """Fine noise a thousandth as strong as what is coarse counts for much more than it did; plain scaling leaves it."""
    window = torch.hann_window(128)[:, None] * torch.hann_window(128)
    coarse = torch.nn.functional.interpolate(image((8, 8)), (128, 128), mode="bicubic")
    gradient = window * (coarse + 1e-3 * image((128, 128), seed=1))
    assert fine_share(pyramid.normalize(gradient, 0)) == pytest.approx(fine_share(gradient), rel=1e-3)
    assert fine_share(pyramid.normalize(gradient, 5)) > 20 * fine_share(gradient)


@pytest.mark.parametrize("levels", [0, 4])
def test_mean_size_of_a_normalised_gradient_is_one(levels):
    x = image((50, 70)) * 1e-7
    assert float(pyramid.normalize(x, levels).abs().mean()) == pytest.approx(1, rel=1e-4)


def test_plain_normalisation_keeps_the_direction():
    x = image((20, 30))
    torch.testing.assert_close(pyramid.normalize(x, 0), x / x.abs().mean())


@pytest.mark.parametrize("levels", [0, 3])
def test_a_gradient_of_zeros_stays_zero(levels):
    assert pyramid.normalize(torch.zeros(1, 3, 9, 9), levels).abs().max() == 0
