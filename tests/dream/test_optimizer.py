"""Steps by Adam and against roughness, against PyTorch's own Adam and autograd."""

import pytest
import torch
from torch import Tensor

from dreamvid.dream import laplacian as pyramid
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.dream.optimizer import UpdateRule, total_variation_gradient
from dreamvid.dream.tiles import TiledGradient
from dreamvid.networks.network import load_network

SIZE = (37, 42)


def image(seed: int = 1) -> Tensor:
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def gradient() -> TiledGradient:
    network = load_network("squeezenet1_1", "random")
    objective = parse_objective("features.4").resolve(network.table)
    return TiledGradient(network.truncate(objective.layers).double(), objective, tile=64)


def rule(**fields: object) -> UpdateRule:
    return UpdateRule(
        **{"laplacian_levels": 0, "gradient_norm": "none", "color_space": "rgb", "clamp": "end", **fields}
    )  # type: ignore[arg-type]


def torch_adam(x: Tensor, gradients: object, steps: list[tuple[int, int]], rate: float, clip: bool) -> Tensor:
    variable = x.clone().requires_grad_()
    adam = torch.optim.Adam([variable], lr=rate, maximize=True)
    for shift in steps:
        variable.grad = gradients(variable.detach(), shift).double()  # type: ignore[operator]
        adam.step()
        if clip:
            variable.data.clamp_(0, 1)
    return variable.detach()


@pytest.mark.parametrize("clip", ["step", "end"])
@pytest.mark.parametrize(("levels", "normalize"), [(0, "none"), (0, "mean"), (2, "std")])
def test_adam_is_pytorchs(gradient: TiledGradient, clip: str, levels: int, normalize: str) -> None:
    """Over steps whose images are rolled by different shifts: the moments stay with their pixels."""
    way = rule(optimizer="adam", clamp=clip, laplacian_levels=levels, gradient_norm=normalize)
    shifts = [(0, 0), (5, 31), (17, 2), (3, 3)]

    def normalized(x: Tensor, shift: tuple[int, int]) -> Tensor:
        return pyramid.normalize(gradient(x, shift), levels, normalize)  # type: ignore[arg-type]

    expected = torch_adam(image(), normalized, shifts, 0.03, clip == "step")
    x, moments = image(), way.moments()
    for shift in shifts:
        x = way(x, gradient(x, shift), 0.03, moments)
    torch.testing.assert_close(x, expected, rtol=0, atol=3e-6)


def test_adam_starts_anew_in_every_octave_and_frame(gradient: TiledGradient) -> None:
    ascent = OctaveAscent(gradient, rule(optimizer="adam"), octave_carry="residual")

    def grow(sizes: list[tuple[int, int]]) -> Tensor:
        return ascent.grow(image(), None, sizes, iterations=3, step=0.01, shifts=Shifts(0, 0))

    shifts = Shifts(0, 0).draw(0, 3, (32, 32))
    expected = torch_adam(image(), gradient, shifts, 0.01, False).clamp(0, 1) - image()
    for _ in range(2):
        torch.testing.assert_close(grow([SIZE]), expected, rtol=0, atol=3e-6)


def test_adam_with_a_map_of_steps_and_the_sources_colors(gradient: TiledGradient) -> None:
    step = torch.zeros(1, 1, *SIZE, dtype=torch.float64)
    step[..., :20, :] = 0.02
    way = rule(optimizer="adam", keep_color=True)
    ascent = OctaveAscent(gradient, way, octave_carry="residual")
    residual = ascent.grow(0.5 + 0 * image(), None, [SIZE], iterations=3, step=step, shifts=Shifts(0, 0))
    assert (residual[..., 20:, :] == 0).all()
    assert residual[..., :20, :].abs().mean() > 0.005
    torch.testing.assert_close(residual, residual.mean(1, keepdim=True).expand_as(residual))


def test_the_gradient_of_total_variation_is_autograds() -> None:
    x = image().requires_grad_()
    value = torch.zeros((), dtype=torch.float64)
    for channel in range(3):
        for row in range(SIZE[0]):
            here = x[0, channel, row]
            right = torch.cat([here[1:] - here[:-1], here.new_zeros(1)])
            down = x[0, channel, row + 1] - here if row + 1 < SIZE[0] else torch.zeros_like(here)
            value = value + (right**2 + down**2 + 1e-4).sqrt().sum()
    (expected,) = torch.autograd.grad(value, x)
    torch.testing.assert_close(total_variation_gradient(x.detach()), expected)


@pytest.mark.parametrize(
    "fields",
    [{"gradient_norm": "mean"}, {"gradient_norm": "std", "laplacian_levels": 3}, {}, {"color_space": "imagenet"}],
)
def test_the_weight_of_variation_is_a_ratio_of_sizes(gradient: TiledGradient, fields: dict[str, object]) -> None:
    """Whatever the size of the gradient is: what is taken away is `weight` times as large as what is added."""
    x = image()
    g = gradient(x)
    for scale in (1.0, 1e4):
        plain, weighted = rule(**fields), rule(**fields, total_variation=0.3)
        ascent = plain(x, scale * g, 0.01) - x
        taken = ascent - (weighted(x, scale * g, 0.01) - x)
        rough = total_variation_gradient(x)
        if "color_space" in fields:
            unit = torch.tensor([0.229, 0.224, 0.225]).double().view(1, 3, 1, 1)
            ascent, taken, rough = ascent / unit, taken / unit, rough * unit
        torch.testing.assert_close(taken.abs().mean(), 0.3 * ascent.abs().mean(), rtol=1e-5, atol=0)
        torch.testing.assert_close(taken / taken.abs().mean(), rough / rough.abs().mean(), rtol=0, atol=1e-5)


def test_variation_calms_an_image_and_leaves_a_flat_one(gradient: TiledGradient) -> None:
    noisy = 0.5 + 0.1 * (image() - 0.5)
    way = rule(gradient_norm="mean", total_variation=1.0)
    x = noisy
    for _ in range(10):
        x = way(x, torch.zeros_like(x) + 1e-9, 0.001)
    assert (x[:, :, 1:] - x[:, :, :-1]).abs().sum() < 0.8 * (noisy[:, :, 1:] - noisy[:, :, :-1]).abs().sum()
    flat = torch.full_like(noisy, 0.5)
    assert (total_variation_gradient(flat) == 0).all()
    assert torch.isfinite(way(flat, torch.ones_like(flat), 0.01)).all()
