"""Which layers a layer is computed from."""

import torch
from torch import Tensor, nn

from dreamvid.networks.network import Network
from dreamvid.networks.trace import LayerInputs


class Block(nn.Module):
    """Two convolutions whose sum with the input is what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 4, 1)
        self.twice = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.twice(self.a(x)))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.block = Block()
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x).relu()
        return self.head(torch.cat([self.block(stem), stem], 1)).mean((2, 3))


def test_sources_are_the_layers_in_front() -> None:
    flow = Network("tiny", Tiny()).dataflow()
    assert list(flow) == ["stem", "block.a", "block.twice.0", "block.twice.1", "block.twice", "block", "head", "logits"]
    for name, alias_of, sources in (
        ("stem", "stem", ("",)),
        ("block.a", "block.a", ("stem",)),
        ("block.twice.0", "block.twice.0", ("block.a",)),
        ("block.twice", "block.twice.1", ("block.twice.0",)),
        ("block", "block", ("stem", "block.twice.1")),
        ("head", "head", ("block", "stem")),
        ("logits", "logits", ("head",)),
    ):
        assert flow[name] == LayerInputs(name, alias_of, sources)
