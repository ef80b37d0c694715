"""What an objective is of a network's activations, once its layers and channels are known to be there."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.selection import Selection

_MAX_PRODUCTS = 2**24


@dataclass(frozen=True)
class BoundTerm:
    """A layer, or runs (first, last) of its channels; `square`: the mean of their squares, not of themselves."""

    weight: float
    layer: str
    runs: tuple[tuple[int, int], ...] | None
    square: bool

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The term at each position, (N, 1, h, w), without its weight; its mean is the term's value."""
        x = _at_positions(activations[self.layer])
        if self.runs is None:
            return (x.square() if self.square else x).mean(dim=1, keepdim=True)
        # Slices are views; a list of indices would be copied to the device at every call.
        parts = [x[:, first : last + 1] for first, last in self.runs]
        sums = [(part.square() if self.square else part).sum(dim=1, keepdim=True) for part in parts]
        total = sums[0]
        for one in sums[1:]:
            total = total + one
        return total / sum(last - first + 1 for first, last in self.runs)


@dataclass(frozen=True)
class BoundSelection:
    """The channels of a layer that are chosen at every evaluation; `square` as for `BoundTerm`."""

    weight: float
    layer: str
    selection: Selection
    square: bool

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The term at each position, (N, 1, h, w), without its weight; its mean is the term's value."""
        x = _at_positions(activations[self.layer])
        chosen = self.selection.mask(x)
        values = x.square() if self.square else x
        return (values * chosen).sum(dim=1, keepdim=True) / self.selection.count(x.shape[1])


def _at_positions(x: Tensor) -> Tensor:
    """Bring (N, C, h, w) or (N, C) to (N, C, h, w), in a precision that squares do not overflow."""
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return x[:, :, None, None] if x.ndim == 2 else x


@dataclass(frozen=True, eq=False)
class BoundGuide:
    """How well a layer's positions match those of a guide picture."""

    weight: float
    layer: str
    features: Tensor  # (C, Q): those of the guide's positions

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The term at each position, (N, 1, h, w), without its weight; its mean is the term's value."""
        x = activations[self.layer].float()
        height, width = (x.shape[2], x.shape[3]) if x.ndim == 4 else (1, 1)
        x = x.reshape(x.shape[0], x.shape[1], height * width)
        # Which of the guide's features matches best has no slope. In pieces, as all products of all positions with all
        # others may not fit into memory.
        with torch.no_grad():
            pieces = torch.split(x, max(1, _MAX_PRODUCTS // (len(x) * self.features.shape[1])), dim=2)
            best = torch.cat([torch.einsum("ncp,cq->npq", one, self.features).argmax(2) for one in pieces], 1)
            chosen = self.features.T[best].transpose(1, 2)
        return (x * chosen).mean(1).view(-1, 1, height, width)


@dataclass(frozen=True)
class BoundObjective:
    """An objective whose layers, channels and classes are those of one network."""

    terms: tuple[BoundTerm | BoundSelection | BoundGuide, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The network's own names of the layers to hand to `Network.truncate`, logits included, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The objective of each sample, (N,): the mean over its positions."""
        values = [term.weight * term.density(activations).mean(dim=(1, 2, 3)) for term in self.terms]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Where the objective is: (N, 1, h, w) on the finest layer's grid, with the objective for its mean.

        Coarser layers are spread bilinearly (`align_corners=False`), each keeping its mean; classes are even.
        """
        maps = [term.weight * term.density(activations) for term in self.terms]
        height, width = max((one.shape[2], one.shape[3]) for one in maps)
        total = torch.zeros_like(maps[0][:, :, :1, :1])
        for one in maps:
            spread = one
            if one.shape[2:] != (height, width):
                spread = F.interpolate(one, (height, width), mode="bilinear", align_corners=False)
                means = (one.mean(dim=(2, 3), keepdim=True), spread.mean(dim=(2, 3), keepdim=True))
                spread = spread + (means[0] - means[1])  # bilinear sampling by other than whole numbers shifts it
            total = total + spread
        return total
