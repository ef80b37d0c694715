"""Convolutions fused with their activation compute what the plain ones do, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.networks.network import Network
from dreamvid.networks.program import fused_conv
from dreamvid.networks.program.fused_conv import FusedConvolution
from dreamvid.networks.same_padding import Conv2dSame


class Branching(nn.Module):
    """What can go wrong when gradients are overwritten: a result that is read twice, added, joined, and asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.left = nn.Conv2d(8, 8, 1)
        self.right = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.narrow = nn.Conv2d(16, 6, (1, 3), stride=(1, 2), bias=False)
        self.last = nn.Conv2d(6, 5, 1)
        self.relu, self.relu6 = nn.ReLU(), nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, 5, h, w)."""
        stem = self.relu6(self.stem(x))
        left = self.relu(self.left(stem)) + stem
        right = F.relu(self.right(left))
        return self.last(self.relu6(self.narrow(torch.cat([left, right], 1))))


def _gradient(module: nn.Module, x: Tensor, layers: tuple[str, ...]) -> Tensor:
    x = x.clone(memory_format=torch.channels_last).requires_grad_(True)
    activations = module(x)
    sum((index + 1) * activations[layer].square().sum() for index, layer in enumerate(layers)).backward()
    return x.grad


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", [("last",), ("stem", "last"), ("relu6", "right", "last"), ("narrow", "relu")])
def test_gradients_equal_those_of_the_plain_network_in_double_precision(layers: tuple[str, ...], threads: int) -> None:
    torch.manual_seed(0)
    network = Network("branching", Branching())
    module = network.truncate(layers)
    assert any(isinstance(part, FusedConvolution) for part in module.modules())
    x = torch.rand(2, 3, 17, 22)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        single = _gradient(module, x, layers)
    finally:
        torch.set_num_threads(before)
    # In double precision PyTorch's own operators are at work, and no gradient is overwritten.
    double = _gradient(network.truncate(layers).double(), x.double(), layers)
    assert (single - double).norm() <= 1e-5 * double.norm()


@pytest.mark.parametrize("ceiling", [None, 6.0, float("inf")])
def test_the_plain_network_is_left_alone_and_nothing_saved_is_overwritten(ceiling: float | None) -> None:
    torch.manual_seed(1)
    plain = nn.Conv2d(3, 4, 3, padding=1)
    weight = plain.weight.clone()
    fused = FusedConvolution(plain, same=False, ceiling=ceiling).requires_grad_(False)
    x = 4 * torch.randn(1, 3, 9, 10)
    expected = plain(x) if ceiling is None else plain(x).clamp(0, ceiling)
    argument = x.clone().requires_grad_(True)
    y = fused(argument)
    (first,) = torch.autograd.grad(y.sum(), argument, retain_graph=True)
    (second,) = torch.autograd.grad(y.sum(), argument)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(first, second)
    assert torch.equal(argument, x)
    assert torch.equal(plain.weight, weight)


@pytest.mark.parametrize("size", [(17, 22), (18, 21)])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"),
    [(3, 3, 2, 0), (3, 3, 2, 1), (3, 7, 2, 3), (3, (2, 5), 2, (0, 2)), (1, 4, 4, 0), (1, 2, 3, 1), (4, 1, 2, 0)],
)
def test_gradient_of_a_strided_convolution_of_few_channels(
    channels: int,
    kernel: int | tuple[int, int],
    stride: int,
    padding: int | tuple[int, int],
    same: bool,
    size: tuple[int, int],
) -> None:
    torch.manual_seed(2)
    kind = Conv2dSame if same else nn.Conv2d
    plain = kind(channels, 5, kernel, stride, 0 if same else padding)
    x = torch.randn(2, channels, *size).requires_grad_(True)
    y = FusedConvolution(plain, same=same)(x)
    weight = torch.randn_like(y)
    (gradient,) = torch.autograd.grad((y * weight).sum(), x)
    reference = x.detach().double().requires_grad_(True)
    (expected,) = torch.autograd.grad((plain.double()(reference) * weight).sum(), reference)
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-5, atol=1e-5)


def another_signature(*_: object) -> Tensor:
    raise RuntimeError("_convolution_pointwise() is missing value for argument 'algorithm'")


def another_result(x: Tensor, kernel: Tensor, *_: object) -> Tensor:
    return 2 * F.conv2d(x, kernel)


@pytest.mark.parametrize("operator", [None, another_signature, another_result])
@pytest.mark.parametrize("same", [False, True])
def test_without_pytorchs_private_operator_the_gradient_is_the_same(
    operator: object, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first = Conv2dSame(3, 8, 3, 2) if same else nn.Conv2d(3, 8, 3, 2, 1)
            self.layers = nn.Sequential(first, nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    torch.manual_seed(3)
    module, x = Network("stack", Stack()).truncate(("layers",)), torch.rand(1, 3, 21, 24)
    expected = _gradient(module, x, ("layers",))
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", operator)
    fused_conv.fuses_on_cpu.cache_clear()
    try:
        assert not fused_conv.fuses_on_cpu()
        found = _gradient(module, x, ("layers",))
    finally:
        fused_conv.fuses_on_cpu.cache_clear()
    assert (found - expected).norm() <= 1e-5 * expected.norm()
