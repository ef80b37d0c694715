"""A network as a program computes what PyTorch does, forward and backward, with the same bits for any threads."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from dreamvid.networks.network import Network, load_network
from dreamvid.networks.program.program import Program, compile_program
from dreamvid.networks.same_padding import Conv2dSame
from dreamvid.networks.truncate import Truncated


class Bottlenecks(nn.Module):
    """Residual blocks with every kind of sum: of a convolution, a clamped one, two convolutions, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2dSame(3, 8, 3, stride=2)
        self.expand, self.project = nn.Conv2d(8, 24, 1), nn.Conv2d(24, 8, 1)
        self.depthwise = nn.Conv2d(24, 24, 5, padding=2, groups=24)
        self.narrow = Conv2dSame(8, 8, 3, stride=2, groups=8, bias=False)
        self.beside, self.wide = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.act, self.relu = nn.ReLU6(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, 8, h, w)."""
        x = self.act(self.stem(x))
        x = x + self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        x = x + self.relu(self.wide(x))
        x = self.narrow(x)
        x = self.beside(x) + self.wide(x)
        return x + x


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _gradient(module: nn.Module, x: Tensor, layers: tuple[str, ...]) -> Tensor:
    x = x.clone().requires_grad_(True)
    activations = module(x)
    assert all(activations[layer].shape[0] == len(x) for layer in layers)
    total = sum((index + 1) * activations[layer].square().sum() for index, layer in enumerate(layers))
    (gradient,) = torch.autograd.grad(total, x, retain_graph=True)
    (again,) = torch.autograd.grad(total, x)  # as a cross-fade of two objectives does
    assert torch.equal(gradient, again)
    return gradient


@pytest.mark.parametrize("size", [(1, 33, 46), (3, 20, 17)])
@pytest.mark.parametrize("layers", [("logits",), ("act", "project"), ("act_1", "relu", "beside", "logits")])
def test_gradients_equal_those_of_the_plain_network_in_double_precision(
    layers: tuple[str, ...], size: tuple[int, int, int]
) -> None:
    torch.manual_seed(1)
    network = Network("bottlenecks", Bottlenecks())
    module = network.truncate(layers)
    assert compile_program(module.body) is not None
    count, height, width = size
    x = torch.rand(count, 3, height, width)
    single = _gradient(module, x, layers)
    double = _gradient(network.truncate(layers).double(), x.double(), layers)
    assert (single - double).norm() <= 1e-5 * double.norm()


def test_the_embedded_network_is_a_program_with_the_same_bits_for_any_number_of_threads(two_threads: None) -> None:
    module = load_network().truncate(["blocks.4.1"])
    x = torch.rand(1, 3, 72, 101, generator=torch.Generator().manual_seed(0))
    with_two = _gradient(module, x, ("blocks.4.1",))
    torch.set_num_threads(1)
    assert torch.equal(with_two, _gradient(module, x, ("blocks.4.1",)))
    # The order of the first sizes decides how weights are packed, which must not show.
    fresh = load_network().truncate(["blocks.4.1"])
    _gradient(fresh, torch.rand(2, 3, 40, 200), ("blocks.4.1",))
    assert torch.equal(with_two, _gradient(fresh, x, ("blocks.4.1",)))


def test_a_network_with_other_operators_runs_as_before() -> None:
    network = Network("pooled", nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)))
    module = network.truncate(["2"])
    assert compile_program(module.body) is None
    x = torch.rand(1, 3, 21, 22)
    double = _gradient(network.truncate(["2"]).double(), x.double(), ("2",))
    assert (_gradient(module, x, ("2",)) - double).norm() <= 1e-5 * double.norm()


def test_a_program_is_left_behind_with_the_number_format_and_the_device() -> None:
    module = load_network("efficientnet_lite2", "random").truncate(["blocks.1.0"])
    x = torch.rand(1, 3, 40, 40)
    single = module(x)["blocks.1.0"]
    twin: Truncated = copy.deepcopy(module).double()
    assert twin(x.double())["blocks.1.0"].dtype == torch.float64
    assert torch.allclose(twin(x.double())["blocks.1.0"].float(), single, atol=1e-3 * float(single.abs().max()))
    assert isinstance(module._program, Program)
    shapes = copy.deepcopy(module).to("meta")
    assert shapes(x.to("meta"))["blocks.1.0"].shape == single.shape


def test_the_callers_gradient_is_not_overwritten() -> None:
    module = load_network("efficientnet_lite2", "random").truncate(["bn1"])
    x = torch.rand(1, 3, 24, 24, requires_grad=True)
    activation = module(x)["bn1"]
    theirs = torch.randn_like(activation, memory_format=torch.channels_last)
    before = theirs.clone()
    activation.backward(theirs)
    assert torch.equal(theirs, before)
