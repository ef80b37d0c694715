"""Recorded steps give what called ones give; without a CUDA device everything is called."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.networks.network import load_network
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings import load_settings

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SIZES = [(72, 96), (96, 128)]


def _square() -> tuple[Callable[[Tensor], Tensor], list[int]]:
    calls: list[int] = []

    def square(x: Tensor) -> Tensor:
        calls.append(1)
        return x * x

    return square, calls


def test_on_the_cpu_the_function_is_called_each_time() -> None:
    function, calls = _square()
    replay = CudaGraphCache(function)
    for value in range(6):
        assert replay(torch.tensor([float(value)])).item() == value**2
    assert len(calls) == 6


def _ascent(device: str, precision: torch.dtype = torch.float32) -> OctaveAscent:
    settings = load_settings(None)
    network = load_network(device=device)
    objective = parse_objective(settings.dream.objective).resolve(network.table)
    gradient = TiledGradient(network.truncate(objective.layers).to(precision), objective, tile=1024)
    return OctaveAscent(gradient, UpdateRule.from_settings(settings.dream), octave_carry="residual")


def _residual(ascent: OctaveAscent, image: Tensor, frame: int = 0) -> Tensor:
    return ascent.grow(image, None, SIZES, iterations=5, step=0.01, shifts=Shifts(0, frame))


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_the_recorded_function_is_not_called_again_and_results_are_new() -> None:
    function, calls = _square()
    replay = CudaGraphCache(function)
    results = [replay(torch.full((3,), float(value), device="cuda")) for value in range(8)]
    assert [result[0].item() for result in results] == [value**2 for value in range(8)]
    assert len(calls) < 8


@pytest.mark.gpu
@needs_gpu
def test_replayed_ascent_equals_called_ascent_on_a_gpu() -> None:
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0)).cuda()
    ascent = _ascent("cuda")
    called = [_residual(ascent, image, frame) for frame in (0,)]  # the first calls of each shape are not replayed
    replayed = [_residual(ascent, image, frame) for frame in (0, 1, 0)]
    assert (replayed[0] - called[0]).norm() <= 0.05 * called[0].norm()
    assert (replayed[2] - replayed[0]).norm() <= 0.05 * replayed[0].norm()
    assert (replayed[1] - replayed[0]).norm() > 0.1 * replayed[0].norm()  # other shifts, another dream


@pytest.mark.gpu
@needs_gpu
# ReLU6 cuts off where activations differ a little, so that a gradient differs much: on a CPU the cosine to float32's is
# 0.97 for float16 and 0.76 for bfloat16, with dreams of the same strength. cuDNN's float32 rounds factors to TF32.
@pytest.mark.parametrize(("precision", "cosine"), [(torch.float32, 0.95), (torch.bfloat16, 0.7)])
def test_gradients_on_a_gpu_agree_with_those_of_the_cpu(precision: torch.dtype, cosine: float) -> None:
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    here, there = _ascent("cpu").gradient, _ascent("cuda", precision).gradient
    expected = here(image, (3, 5)).flatten()
    for _ in range(5):  # called, then replayed
        got = there(image.cuda(), (3, 5)).cpu().flatten()
        assert torch.nn.functional.cosine_similarity(expected, got, dim=0) >= cosine


@pytest.mark.gpu
@needs_gpu
def test_what_cannot_be_recorded_is_called_with_a_warning() -> None:
    def waits(x: Tensor) -> Tensor:
        return x * float(x.sum())

    replay = CudaGraphCache(waits)
    x = torch.ones(2, device="cuda")
    with pytest.warns(UserWarning, match="cannot be recorded"):
        results = [replay(x) for _ in range(5)]
    assert all(torch.equal(result, 2 * x) for result in results)
