"""A family of networks: an own architecture with an own checkpoint, as a hub of models would be."""

from collections.abc import Sequence

import torch
from torch import nn

from dreamvid.networks.family import Architecture, PublishedWeights


class TinyFamily:
    tried: Sequence[str] = ("tiny4",)

    def names(self) -> Sequence[str]:
        return ("tiny4", "tiny8", "squeezenet1_1")

    def find(self, name: str) -> Architecture | None:
        if name not in self.names():
            return None
        channels = 8 if name == "tiny8" else 4
        return Architecture(
            build=lambda: nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 2, 1)),
            load_published=load_published,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            input_size=32,
            fingerprint="weights of 2026",
        )

    def published(self, name: str) -> PublishedWeights:
        return PublishedWeights("embedded", "cc0")


def load_published(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))


FAMILY = TinyFamily()
