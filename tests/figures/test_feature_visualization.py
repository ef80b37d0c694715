"""Images of features, against transcriptions of the TensorFlow notebook's three ways."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import Shifts
from dreamvid.dream.tiles import TiledGradient
from dreamvid.figures.feature_visualization import Method, for_display, visualize
from dreamvid.networks.network import Network
from dreamvid.settings.size import Size


@pytest.fixture(scope="module")
def gradient() -> TiledGradient:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.Softplus(), nn.Conv2d(6, 4, 3, padding=1))
    network = Network("tiny", module.double(), std=[1 / 255] * 3)
    objective = parse_objective("2:1").resolve(network.table)
    return TiledGradient(network.truncate(objective.layers).double(), objective, tile=512)


def slope(gradient: TiledGradient, img: Tensor, shift: tuple[int, int]) -> Tensor:
    """d(mean activation)/d(img) for an image from 0 to 255 that is rolled and rolled back."""
    img = img.detach().roll(shift, (2, 3)).requires_grad_()
    score = gradient.network((img / 255).double())["2"][:, 1].mean()
    return torch.autograd.grad(score, img)[0].roll((-shift[0], -shift[1]), (2, 3))


def noise(side: int, seed: int) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) + 100.0


K5 = torch.outer(torch.tensor([1.0, 4, 6, 4, 1]), torch.tensor([1.0, 4, 6, 4, 1]))
K5 = torch.einsum("ij,kl->klij", K5 / K5.sum(), torch.eye(3))


def lap_normalize(img: Tensor, levels: int) -> Tensor:
    """The notebook's, with TensorFlow's SAME padding of a stride of 2: 1 zero before an even axis, 2 before an odd."""
    highs = []
    for _ in range(levels):
        h, w = img.shape[2:]
        top, left = 1 + h % 2, 1 + w % 2
        low = F.conv2d(F.pad(img, (left, 2, top, 2)), K5, stride=2)
        up = F.conv_transpose2d(low, 4 * K5, stride=2)[:, :, top : top + h, left : left + w]
        highs.append(img - F.pad(up, (0, w - up.shape[3], 0, h - up.shape[2])))
        img = low
    bands = [band / band.square().mean().sqrt().clamp_min(1e-10) for band in (*highs, img)]
    out = bands.pop()
    while bands:
        high = bands.pop()
        h, w = high.shape[2:]
        top, left = 1 + h % 2, 1 + w % 2
        up = F.conv_transpose2d(out, 4 * K5, stride=2)[:, :, top : top + h, left : left + w]
        out = high + F.pad(up, (0, w - up.shape[3], 0, h - up.shape[2]))
    return out


def test_naive(gradient: TiledGradient) -> None:
    """`g /= g.std() + 1e-8; img += g * 1.0`, from noise of 100 to 101."""
    img = noise(40, seed=3)
    for _ in range(2):
        g = slope(gradient, img, (0, 0))
        img = img + g / (g.std(correction=0) + 1e-8)
    got = visualize(gradient, "naive", size=Size(40, 40), iterations=2, seed=3)
    torch.testing.assert_close(255 * got, img, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["multiscale", "laplacian"])
def test_growing_sizes(method: Method, gradient: TiledGradient) -> None:
    """One step at each of 3 sizes 1.4 apart, the image enlarged between them."""
    img = noise(20, seed=1)
    for octave, side in enumerate((20, 29, 40)):
        img = F.interpolate(img, (side, side), mode="bicubic", align_corners=False) if octave else img
        (shift,) = Shifts(1, 0).draw(octave, 1, (side, side))
        g = slope(gradient, img, shift)
        img = img + (g / (g.std(correction=0) + 1e-8) if method == "multiscale" else lap_normalize(g, 4))
    got = visualize(gradient, method, size=Size(40, 40), iterations=1, seed=1)
    assert (255 * got - img).abs().max() <= 1e-4 * (img - 100).abs().max()


@pytest.mark.parametrize(("method", "steps"), [("naive", 20), ("multiscale", 10), ("laplacian", 10)])
def test_without_a_number_of_steps_it_is_the_notebooks(method: Method, steps: int, gradient: TiledGradient) -> None:
    first, second = (visualize(gradient, method, size=Size(24, 24), iterations=number) for number in (None, steps))
    assert torch.equal(first, second)
    other, fewer = (visualize(gradient, method, size=Size(24, 24), iterations=1, seed=seed) for seed in (1, 0))
    assert not torch.equal(other, fewer)
    values = [float(gradient.network(image.double())["2"][:, 1].mean()) for image in (first, fewer)]
    assert values[0] > values[1]


def test_display_has_the_notebooks_mean_and_deviation() -> None:
    x = 7 + 3 * torch.randn(1, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    shown = for_display(x)
    assert shown.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert shown.std().item() == pytest.approx(0.1, abs=1e-3)
    a = x.numpy()
    np.testing.assert_allclose(shown, np.clip((a - a.mean()) / max(a.std(), 1e-4) * 0.1 + 0.5, 0, 1), atol=1e-5)
    assert (for_display(torch.full((1, 3, 4, 4), 0.3)) == 0.5).all()
