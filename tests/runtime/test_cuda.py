"""Recorded steps give what called ones give; without a CUDA device everything is called."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.image.tensors import upload
from dreamvid.networks.network import load_network
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.runtime.device import synchronize
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
    called = _residual(ascent, image)  # the first calls of each shape are not replayed
    replayed = [_residual(ascent, image, frame) for frame in (0, 1, 0)]
    assert torch.equal(replayed[0], called)
    assert torch.equal(replayed[2], called)
    assert (replayed[1] - called).norm() > 0.1 * called.norm()  # other shifts, another dream


@pytest.mark.gpu
@needs_gpu
def test_threads_record_beside_each_other() -> None:
    """Both threads upload, wait for their streams and record, as motion and the dream do."""
    device = torch.device("cuda")
    failures: list[BaseException] = []

    def work(factor: float) -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream(device)):
                for side in range(8, 32):
                    recorded = CudaGraphCache(lambda x: (x * factor).cumsum(0) + x.sin())
                    for _ in range(4):
                        x = upload(np.full((side, side, 3), side, np.uint8), device).float()
                        result = recorded(x)
                        synchronize(device)
                        expected = (x * factor).cumsum(0) + x.sin()
                        torch.testing.assert_close(result, expected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(factor,)) for factor in (2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.gpu
@needs_gpu
def test_several_results_and_missing_arguments_are_recorded() -> None:
    def both(x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x + 1, x * 2) if y is None else (x + y, x * y)

    recorded = CudaGraphCache(both)
    x = torch.arange(3.0, device="cuda")
    for _ in range(5):
        assert [each.tolist() for each in recorded(x, None)] == [[1, 2, 3], [0, 2, 4]]
        assert [each.tolist() for each in recorded(x, x)] == [[0, 2, 4], [0, 1, 4]]


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
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
