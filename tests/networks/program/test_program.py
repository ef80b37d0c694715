"""A network as a program computes what PyTorch does, forward and backward, with the same bits for any threads."""

import copy
from collections.abc import Iterator, Mapping

import pytest
import torch
import torch.nn.functional as F
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


class Branches(nn.Module):
    """Concatenations, pools and clamps as classifiers of other families have them, each read once and several times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.tall, self.wide = nn.Conv2d(8, 6, (7, 1), padding=(3, 0)), nn.Conv2d(6, 5, (1, 7), padding=(0, 3))
        self.beside, self.grouped = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 6, 3, padding=1, groups=2)
        self.shrink = nn.Conv2d(8, 8, 1, stride=2)
        self.pool, self.mean = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)
        self.relu, self.relu6, self.residual = nn.ReLU(), nn.ReLU6(), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, C, h, w)."""
        x = self.relu(self.stem(x))
        around = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
        branches = [self.relu(self.wide(self.relu(self.tall(x)))), self.beside(around), self.relu(self.grouped(x))]
        x = torch.cat([self.pool(x), self.mean(torch.cat([x, *branches, x], 1)), self.shrink(x)], dim=1)
        x = F.max_pool2d(x, 3, 1, 1)
        return self.residual(self.relu6(x) + x + F.relu(x))


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
@pytest.mark.parametrize(
    ("made", "layers"),
    [
        (Bottlenecks, ("logits",)),
        (Bottlenecks, ("act", "project")),
        (Bottlenecks, ("act_1", "relu", "beside", "logits")),
        (Branches, ("residual",)),
        (Branches, ("beside", "pool")),
        (Branches, ("stem", "relu_1", "mean", "residual")),
    ],
)
def test_gradients_equal_those_of_the_plain_network_in_double_precision(
    made: type[nn.Module], layers: tuple[str, ...], size: tuple[int, int, int]
) -> None:
    torch.manual_seed(1)
    network = Network(made.__name__, made())
    module = network.truncate(layers)
    assert compile_program(module.body) is not None
    count, height, width = size
    x = torch.rand(count, 3, height, width)
    single = _gradient(module, x, layers)
    double = _gradient(network.truncate(layers).double(), x.double(), layers)
    assert (single - double).norm() <= 1e-5 * double.norm()


@pytest.mark.parametrize(
    ("name", "weights", "layer"),
    [
        ("efficientnet_lite2", None, "blocks.4.1"),
        ("torchvision:inception_v3", "random", "Mixed_6c"),
        ("torchvision:googlenet", "random", "inception4c"),
        ("torchvision:vgg16", "random", "features.15"),
        ("torchvision:resnet50", "random", "layer3"),
        ("torchvision:squeezenet1_1", "random", "features.8"),
    ],
)
def test_a_classifier_is_a_program_with_the_same_bits_for_any_number_of_threads(
    name: str, weights: str | None, layer: str, two_threads: None
) -> None:
    network = load_network(name, weights)
    module = network.truncate([layer])
    x = torch.rand(1, 3, 87, 101, generator=torch.Generator().manual_seed(0))
    with_two = _gradient(module, x, (layer,))
    assert module.runs_as_program
    torch.set_num_threads(1)
    assert torch.equal(with_two, _gradient(module, x, (layer,)))
    # The order of the first sizes decides how weights are packed, which must not show.
    fresh = network.truncate([layer])
    _gradient(fresh, torch.rand(2, 3, 80, 200), (layer,))
    assert torch.equal(with_two, _gradient(fresh, x, (layer,)))


@pytest.mark.parametrize(
    ("made", "layers"),
    [
        (Bottlenecks, ("logits",)),
        (Bottlenecks, ("act_1", "relu", "beside", "logits")),
        (Branches, ("beside", "pool")),
        (Branches, ("stem", "relu_1", "mean", "residual")),
    ],
)
def test_a_gradient_without_autograd_has_the_same_bits(made: type[nn.Module], layers: tuple[str, ...]) -> None:
    torch.manual_seed(1)
    program = compile_program(Network(made.__name__, made()).truncate(layers).body)
    assert program is not None

    def objective(activations: Mapping[str, Tensor]) -> Tensor:
        parts = (activations[layer].square().mean(dim=(1, 2, 3)) for layer in layers)
        return sum(((index + 1) * part for index, part in enumerate(parts)), start=torch.zeros(()))

    for size in ((32, 48), (64, 32), (32, 48)):
        x = torch.rand(2, 3, *size).requires_grad_()
        (wanted,) = torch.autograd.grad(objective(program(x)).sum(), x)
        with torch.no_grad():
            assert torch.equal(program.gradient(x.detach(), objective), wanted)


def test_a_network_with_other_operators_runs_as_before() -> None:
    network = Network("pooled", nn.Sequential(nn.Conv2d(3, 4, 3), nn.LPPool2d(2, 2), nn.Conv2d(4, 4, 1)))
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
