"""Strides and receptive fields, against where the gradient of one position is not zero."""

import pytest
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from dreamvid.networks import efficientnet_lite
from dreamvid.networks.layer_table import LayerInfo
from dreamvid.networks.network import Network, load_network


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.softplus(self.conv(x))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 2, (1, 7), padding=(0, 3))
        self.dilated = nn.Conv2d(4, 2, 3, padding=2, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.wide(x), self.dilated(x)], 1)


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=2, padding=1)


class PadsItself(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1)))


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


NETS = {
    "strided": nn.Sequential(nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.Softplus(), nn.Conv2d(4, 4, 3, stride=2)),
    "pooled": nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(2), Pooled(), nn.Conv2d(4, 3, 2)),
    "residual": nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), Residual(), Residual()),
    "branches": nn.Sequential(nn.Conv2d(3, 4, 1), Branches(), nn.AvgPool2d(2)),
    "channels last": nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), ChannelsLast(), nn.Conv2d(4, 4, 3, padding=1)),
    "same": nn.Sequential(Conv2dSame(3, 4, 3, stride=2), Conv2dSame(4, 4, 5, stride=2)),
}


@pytest.mark.parametrize("name", NETS)
def test_receptive_field_is_the_support_of_the_gradient(name: str) -> None:
    torch.manual_seed(0)
    side = 64
    network = Network(name, NETS[name].double(), input_size=side)
    for info in list(network.table.rows.values()):
        x = torch.rand(1, 3, side, side, dtype=torch.double).requires_grad_()
        activation = network.truncate([info.name]).double()(x)[info.name]
        middle = activation.shape[2] // 2

        def support(row: int, x: Tensor = x, activation: Tensor = activation) -> tuple[int, int, int]:
            (gradient,) = torch.autograd.grad(activation[0, :, row, row].sum(), x, retain_graph=True)
            seen = gradient[0].abs().amax(0) > 0
            rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
            height, width = (int(axis[-1] - axis[0]) + 1 for axis in (rows, columns))
            return int(rows[0]), height, width

        first, height, width = support(middle)
        assert info.receptive_field == max(height, width), info
        assert info.stride == support(middle + 1)[0] - first, info
        assert info.channels == activation.shape[1]


def test_a_gate_sees_the_whole_image_and_keeps_its_stride() -> None:
    network = Network("gate", nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), Gate(), nn.Conv2d(4, 5, 3)))
    assert list(network.table.rows.values()) == [
        LayerInfo("0", 4, 2, 2, "Conv2d"),
        LayerInfo("1", 4, 2, None, "Gate"),
        LayerInfo("2", 5, 2, None, "Conv2d"),
    ]


def test_shapes_are_those_of_a_convolution_that_pads_itself() -> None:
    network = Network("own", nn.Sequential(PadsItself(3, 4, 3), nn.Flatten()), input_size=8)
    assert network.table.channels("1") == 4 * 8 * 8


def test_layers_of_resnet50() -> None:
    # By hand: 1 + Σ (kernel - 1) · stride so far, along the longest path.
    resnet = {info.name: info for info in list(load_network("resnet50", "random").table.rows.values())}
    assert (resnet["layer4"].receptive_field, resnet["layer4"].stride) == (427, 32)
    assert resnet["fc"] == LayerInfo("fc", 1000, None, None, "Linear")


def test_layers_are_in_order_of_execution_and_end_with_the_logits() -> None:
    network = load_network(efficientnet_lite.NAME, "random")
    places = [tuple(network.table.rows).index(f"blocks.{index}") for index in range(7)]
    assert places == sorted(places)
    assert network.table.logits == tuple(network.table.rows)[-1] == "classifier"
    assert network.table.channels("blocks.4.1") == 120
