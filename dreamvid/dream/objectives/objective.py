"""Objectives as values that add, scale and describe themselves.

blocks.4.1                        mean square of a layer's activations (DeepDream, Mordvintsev et al., 2015)
mixed4d:139                       mean of one channel
mixed4d:0-19    mixed4d:1,5,9     mean over these channels
mixed4d:strongest(8)              the channels that are most active in the current image; also :weakest(8),
                                  :average(8), and :strongest(10%) for a share of the layer's channels
mixed4d:ignore(65,139-142)        the layer without these channels
class:"golden retriever"          a class's logit; also class:peacock, class:207
class:dog    class:"*bird*"       a group of classes, in each window those that are nearest
class:"cat, dog, not pug"         several, and what to keep away
text("a cathedral of coral")      what CLIP takes for a text; like("photo.jpg"): for another image
guide("flowers.jpg")@mixed3b      the features of another image: each position's best match
0.5*(mixed3 + mixed4d:65) - 0.2*mixed5
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamvid.dream.objectives.term import Reduction, ResolvedTerm, Term, TermContext, no_encoder
from dreamvid.errors import ObjectiveError

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.networks.class_map import ClassMap
    from dreamvid.networks.clip import Clip
    from dreamvid.networks.layer_table import LayerTable


def _no_features(layer: str, file: str) -> Tensor:
    raise ObjectiveError(f"The image {file!r} cannot be read here: the objective was resolved without a network.")


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; `str` gives the text that `parse_objective` reads."""

    terms: tuple[tuple[float, Term], ...]

    def __add__(self, other: Objective) -> Objective:
        return Objective(self.terms + other.terms)

    def __sub__(self, other: Objective) -> Objective:
        return self + -1.0 * other

    def __mul__(self, factor: float) -> Objective:
        terms = tuple((float(weight * factor), term) for weight, term in self.terms)
        if not all(math.isfinite(weight) for weight, _ in terms):
            raise ObjectiveError(f"A weight must be a finite number; {factor} times ({self}) is not finite.")
        return Objective(terms)

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return -1.0 * self

    def __str__(self) -> str:
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            text += f" {sign} " if text else sign.strip("+")
            text += str(term) if abs(weight) == 1 else f"{_number(abs(weight))}*{term}"
        return text

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the network's layers that it reads, each once. Raises NetworkError for one that is not there."""
        return tuple(dict.fromkeys(layer for _, term in self.terms for layer in term.layers(table)))

    def resolve(
        self,
        table: LayerTable,
        *,
        reduction: Reduction = "auto",
        features: Callable[[str, str], Tensor] = _no_features,
        class_map: Callable[[], ClassMap | None] = lambda: None,
        encoder: Callable[[], Clip] = no_encoder,
    ) -> ResolvedObjective:
        """Look up its layers, channels and classes in a network's table.

        features, class_map, encoder: as in `TermContext`; only some kinds of terms need them. Raises
        NetworkError for an unknown layer, ObjectiveError for channels that the layer does not have and for an unknown
        class.
        """
        context = TermContext(table, reduction, features, str(self), class_map, encoder)
        return ResolvedObjective(tuple((weight, term.resolve(context)) for weight, term in self.terms))


@dataclass(frozen=True)
class ResolvedObjective:
    """An objective whose layers, channels and classes are those of one network."""

    terms: tuple[tuple[float, ResolvedTerm], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The network's own names of the layers to compute, logits included, each once."""
        return tuple(dict.fromkeys(layer for _, term in self.terms for layer in term.layers))

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the objective of each sample, (N,): the mean over its positions."""
        values = [weight * term.density(activations).mean(dim=(1, 2, 3)) for weight, term in self.terms]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def slopes(self, channels: Mapping[str, int]) -> dict[str, tuple[Tensor, Tensor]] | None:
        """Return its derivative where that is `square · activation + linear` for each channel; None where it is not.

        channels: how many each layer has. The result has `square` and `linear` of each of these layers, as in
        `ResolvedChannels.slopes`.
        """
        import torch

        from dreamvid.dream.objectives.layers import ResolvedChannels

        found = {layer: (torch.zeros(count), torch.zeros(count)) for layer, count in channels.items()}
        for weight, term in self.terms:
            if not isinstance(term, ResolvedChannels) or term.layer not in found:
                return None
            square, linear = term.slopes(channels[term.layer])
            before = found[term.layer]
            found[term.layer] = before[0] + weight * square, before[1] + weight * linear
        return found

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Map where the objective is: (N, 1, h, w) on the finest layer's grid; its mean is the objective.

        Coarser layers are spread bilinearly (`align_corners=False`), each keeping its mean; classes are even.
        """
        import torch.nn.functional as F

        maps = [weight * term.density(activations) for weight, term in self.terms]
        height, width = max((density.shape[2], density.shape[3]) for density in maps)
        total = maps[0].new_zeros(maps[0].shape[0], 1, 1, 1)
        for density in maps:
            spread = density
            if density.shape[2:] != (height, width):
                spread = F.interpolate(density, (height, width), mode="bilinear", align_corners=False)
                # Bilinear sampling by a factor that is not a whole number shifts the mean.
                spread = spread + (density.mean(dim=(2, 3), keepdim=True) - spread.mean(dim=(2, 3), keepdim=True))
            total = total + spread
        return total


def _number(value: float) -> str:
    """Write a number in the shortest way that reads back as the same one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
