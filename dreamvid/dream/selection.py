"""Channels of a layer that are chosen by how active they are on the picture of the moment."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

SelectionMode = Literal["strongest", "weakest", "average"]


@dataclass(frozen=True)
class Selection:
    """A number of a layer's channels, or a share of them in percent, chosen anew at every evaluation.

    Channels are put in order by the mean of their activations over the picture's positions (signed; before a ReLU it
    may be negative): the highest means are the strongest, the lowest the weakest, and average are those nearest to the
    mean of all the layer's channels. Of equals the lower channel comes first. A picture that goes through the network
    in tiles is chosen for tile by tile. Of a share, the nearest whole number is taken, 1 at least.
    """

    mode: SelectionMode
    amount: float
    percent: bool = False

    def __str__(self) -> str:
        number = f"{self.amount:g}" if float(f"{self.amount:g}") == self.amount else repr(self.amount)
        return f"{self.mode}({number}{'%' if self.percent else ''})"

    def count(self, channels: int) -> int:
        """How many of a layer's channels are chosen."""
        return max(1, round(channels * self.amount / 100)) if self.percent else int(self.amount)

    def mask(self, activation: Tensor) -> Tensor:
        """Mark the chosen channels of (N, C, h, w), each picture by itself: (N, C, 1, 1) of 0 and 1, without slope."""
        with torch.no_grad():
            means = activation.mean(dim=(2, 3))
            if self.mode == "average":
                means = (means - means.mean(dim=1, keepdim=True)).abs()
            order = means.argsort(dim=1, descending=self.mode == "strongest", stable=True)
            chosen = order[:, : self.count(means.shape[1])]
            return torch.zeros_like(means).scatter_(1, chosen, 1.0)[:, :, None, None]
