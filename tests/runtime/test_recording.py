"""Operators that were recorded compute what the function does, from new arguments, without calling it."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.runtime.recording import RecordedCalls


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Counted:
    """A function of tensors that counts its calls."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.calls = 0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Map (N, 3, H, W) and (1, 3, 1, 1) to (N, 3, h, w) by operators with every kind of argument and result."""
        self.calls += 1
        first, rest = torch.split(F.pad(x * y, (1, 0, 0, 2), mode="replicate"), [1, 2], dim=1)
        joined = torch.cat((rest, first), dim=1).contiguous(memory_format=torch.channels_last)
        joined.clamp_(0.1, 0.9)
        leaf = joined.detach().requires_grad_()
        with torch.enable_grad():
            objective = F.conv2d(leaf, self.weight, None, 2, (1, 0)).square().mean()
        (gradient,) = torch.autograd.grad(objective, leaf)
        return gradient.amax(dim=(2, 3), keepdim=True) - gradient.to(torch.float64).cumsum(2).float()


def images(seed: int, count: int = 2, side: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, side, side + 2, generator=generator), torch.rand(1, 3, 1, 1, generator=generator)


def test_a_replay_gives_the_bits_of_a_call_for_new_arguments() -> None:
    function, plain = (Counted(torch.linspace(-1, 1, 5 * 3 * 9).view(5, 3, 3, 3)) for _ in range(2))
    recorded = RecordedCalls(function, lambda: [function.weight])
    with no_warning():
        for seed in range(6):
            assert torch.equal(recorded(*images(seed)), plain(*images(seed)))
    assert function.calls == 2  # the first, and the one that was recorded


def test_each_shape_and_order_of_memory_is_recorded_by_itself() -> None:
    function, plain = (Counted(torch.linspace(-1, 1, 5 * 3 * 9).view(5, 3, 3, 3)) for _ in range(2))
    recorded = RecordedCalls(function, lambda: [function.weight])
    for seed in range(4):
        for count, side in ((1, 9), (2, 9), (2, 14)):
            x, y = images(seed, count, side)
            assert torch.equal(recorded(x, y), plain(x, y))
        x, y = images(seed)
        turned = x.transpose(2, 3)
        assert torch.equal(recorded(turned, y), plain(turned, y))
    assert function.calls == 2 * 4


def test_an_argument_is_neither_changed_nor_kept() -> None:
    recorded = RecordedCalls(lambda x: x * 2, list)
    x = torch.ones(3)
    results = [recorded(x) for _ in range(4)]
    x += 1
    assert [result.tolist() for result in results] == [[2, 2, 2]] * 4
    assert recorded(x).tolist() == [4, 4, 4]


def test_what_a_function_reads_besides_its_arguments_is_never_frozen() -> None:
    read = [torch.ones(3)]
    recorded = RecordedCalls(lambda x: x + read[0], list)
    recorded(torch.zeros(3))
    with pytest.warns(UserWarning, match="cannot be recorded .*from elsewhere"):
        recorded(torch.zeros(3))
    read[0] = torch.full((3,), 5.0)
    assert recorded(torch.zeros(3)).tolist() == [5, 5, 5]


def test_a_function_that_looks_at_values_is_called_each_time() -> None:
    recorded = RecordedCalls(lambda x: x * 2 if float(x.sum()) > 0 else x * 3, list)
    recorded(torch.ones(3))
    with pytest.warns(UserWarning, match="cannot be recorded"):
        recorded(torch.ones(3))
    assert recorded(-torch.ones(3)).tolist() == [-3, -3, -3]


def test_a_failure_of_the_function_is_raised_as_it_is() -> None:
    def fails(x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    recorded = RecordedCalls(fails, list)
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            recorded(torch.ones(3))


def test_without_the_parts_of_pytorch_that_it_takes_the_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_create_function_from_graph")
    recorded = RecordedCalls(lambda x: x + 1, list)
    recorded(torch.zeros(2))
    with pytest.warns(UserWarning, match="slower"):
        recorded(torch.zeros(2))
    with no_warning():
        assert recorded(torch.ones(2)).tolist() == [2, 2]


def test_recording_does_not_import_the_compiler() -> None:
    """It takes 1.3 seconds and 150 MB."""
    program = """
import sys, torch
from dreamvid.runtime.recording import RecordedCalls
recorded = RecordedCalls(lambda x: x * 2, lambda: [])
for _ in range(4):
    recorded(torch.ones(3))
print(recorded._works, "torch._dynamo" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]
