"""Terms that read a layer: all of it, some of its channels, or channels that are selected by their activity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dreamvid.dream.objectives.term import ResolvedTerm, TermContext
from dreamvid.errors import ObjectiveError

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.networks.layer_table import LayerTable

SelectionMode = Literal["strongest", "weakest", "average"]


@dataclass(frozen=True)
class LayerTerm:
    """A layer or, with `channels` (sorted, unique), these of its channels."""

    layer: str
    channels: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.layer if self.channels is None else f"{self.layer}:{_listed(self.channels)}"

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer as the network does."""
        return (table.resolve(self.layer),)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Check the channels; raise ObjectiveError for a channel that the layer does not have."""
        square = context.reduction == "l2" or (context.reduction == "auto" and self.channels is None)
        runs = None if self.channels is None else _checked_runs(self.layer, self.channels, context)
        return ResolvedChannels(context.table.resolve(self.layer), runs, square)

    def fingerprint(self) -> str:
        """Depend on nothing but the text."""
        return ""


@dataclass(frozen=True)
class IgnoreTerm:
    """A layer without some of its channels (sorted, unique)."""

    layer: str
    channels: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.layer}:ignore({_listed(self.channels)})"

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer as the network does."""
        return (table.resolve(self.layer),)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Take the other channels; raise ObjectiveError if none are left."""
        _checked_runs(self.layer, self.channels, context)
        count = context.table.channels(self.layer)
        ignored = set(self.channels)
        kept = tuple(channel for channel in range(count) if channel not in ignored)
        if not kept:
            raise ObjectiveError(
                f"Nothing of layer {self.layer!r} is left: all of its {count} channels are ignored. "
                f"Objective: {context.objective}"
            )
        return ResolvedChannels(context.table.resolve(self.layer), tuple(_runs(kept)), context.reduction != "mean")

    def fingerprint(self) -> str:
        """Depend on nothing but the text."""
        return ""


@dataclass(frozen=True)
class Selection:
    """A number of a layer's channels, or a share of them in percent, chosen at every evaluation.

    Channels are ordered by the mean of their activations over the image's positions (signed; before a ReLU it may be
    negative): the highest means are the strongest, the lowest the weakest, and the average ones are those nearest to
    the mean of all the layer's channels. Of equals the lower channel comes first. An image that goes through the
    network in tiles is chosen for tile by tile. A share is rounded to the nearest whole number, at least 1.
    """

    mode: SelectionMode
    amount: float
    percent: bool = False

    def __str__(self) -> str:
        number = f"{self.amount:g}" if float(f"{self.amount:g}") == self.amount else repr(self.amount)
        return f"{self.mode}({number}{'%' if self.percent else ''})"

    def count(self, channels: int) -> int:
        """Return how many of a layer's channels are chosen."""
        return max(1, round(channels * self.amount / 100)) if self.percent else int(self.amount)

    def mask(self, activation: Tensor) -> Tensor:
        """Mark the chosen channels of (N, C, h, w), each image by itself: (N, C, 1, 1) of 0 and 1, no gradient."""
        means = activation.detach().mean(dim=(2, 3))
        if self.mode == "average":
            means = (means - means.mean(dim=1, keepdim=True)).abs()
        order = means.argsort(dim=1, descending=self.mode == "strongest", stable=True)
        chosen = order[:, : self.count(means.shape[1])]
        return means.new_zeros(means.shape).scatter_(1, chosen, 1.0)[:, :, None, None]


@dataclass(frozen=True)
class SelectionTerm:
    """The channels of a layer that a selection chooses in the current image."""

    layer: str
    selection: Selection

    def __str__(self) -> str:
        return f"{self.layer}:{self.selection}"

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer as the network does."""
        return (table.resolve(self.layer),)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Check the number of channels; raise ObjectiveError if the layer has fewer."""
        count = context.table.channels(self.layer)
        if self.selection.count(count) > count:
            raise ObjectiveError(
                f"Layer {self.layer!r} of network {context.table.network!r} has {count} channels, too few for "
                f"{self.selection}. Allowed: 1 to {count}, or a share such as 10%. Objective: {context.objective}"
            )
        return ResolvedSelection(context.table.resolve(self.layer), self.selection, context.reduction != "mean")

    def fingerprint(self) -> str:
        """Depend on nothing but the text."""
        return ""


@dataclass(frozen=True)
class ResolvedChannels:
    """A layer, or runs (first, last) of its channels; `square`: the mean of their squares, not of themselves."""

    layer: str
    runs: tuple[tuple[int, int], ...] | None
    square: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term at each position, (N, 1, h, w)."""
        x = _at_positions(activations[self.layer])
        if self.runs is None:
            return (x.square() if self.square else x).mean(dim=1, keepdim=True)
        # Slices are views; a list of indices would be copied to the device at every call.
        parts = [x[:, first : last + 1] for first, last in self.runs]
        sums = [(part.square() if self.square else part).sum(dim=1, keepdim=True) for part in parts]
        total = sums[0]
        for part in sums[1:]:
            total = total + part
        return total / sum(last - first + 1 for first, last in self.runs)

    def slopes(self, channels: int) -> tuple[Tensor, Tensor]:
        """Return the derivative of the density at a position, for each channel: `square · activation + linear`.

        channels: how many the layer has. Both are (channels,).
        """
        import torch

        runs = ((0, channels - 1),) if self.runs is None else self.runs
        chosen = torch.zeros(channels)
        for first, last in runs:
            chosen[first : last + 1] = 1
        chosen /= chosen.sum()
        nothing = torch.zeros(channels)
        return (2 * chosen, nothing) if self.square else (nothing, chosen)


@dataclass(frozen=True)
class ResolvedSelection:
    """The channels of a layer that are chosen at every evaluation; `square` as for `ResolvedChannels`."""

    layer: str
    selection: Selection
    square: bool

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term at each position, (N, 1, h, w)."""
        x = _at_positions(activations[self.layer])
        chosen = self.selection.mask(x)
        values = x.square() if self.square else x
        return (values * chosen).sum(dim=1, keepdim=True) / self.selection.count(x.shape[1])


def _at_positions(x: Tensor) -> Tensor:
    """Bring (N, C, h, w) or (N, C) to (N, C, h, w), in a precision in which squares do not overflow."""
    if x.element_size() < 4:
        x = x.float()
    return x[:, :, None, None] if x.ndim == 2 else x


def _checked_runs(layer: str, channels: tuple[int, ...], context: TermContext) -> tuple[tuple[int, int], ...]:
    """Join channels to runs (first, last); raise ObjectiveError for a channel that the layer does not have."""
    count = context.table.channels(layer)
    if channels and channels[-1] >= count:
        raise ObjectiveError(
            f"Layer {layer!r} of network {context.table.network!r} has no channel {channels[-1]}: "
            f"its {count} channels are numbered 0 to {count - 1}. Objective: {context.objective}"
        )
    return tuple(_runs(channels))


def _listed(channels: Iterable[int]) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(channels))


def _runs(channels: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join sorted numbers to runs (first, last) of neighbors."""
    first = last = -1
    for channel in channels:
        if first >= 0 and channel == last + 1:
            last = channel
            continue
        if first >= 0:
            yield first, last
        first = last = channel
    if first >= 0:
        yield first, last
