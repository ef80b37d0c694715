"""Defines a term of an objective, and the registry of the named terms.

A term is a value: it can be compared and printed, and its text parses to the same value. It needs no torch until its
density is computed, so mistakes in the text are reported before torch is imported or a network is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from dreamvid.errors import NetworkError
from dreamvid.runtime.plugins import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.class_map import ClassMap
    from dreamvid.networks.clip import Clip
    from dreamvid.networks.layer_table import LayerTable

Reduction = Literal["auto", "mean", "l2"]
"""How activations become a value: by their mean, by the mean of their squares (l2), or `auto`: l2 for a layer and for
channels that are selected by their activity, the mean for channels that are named. Guides and classes do not use it.
"""

IMAGE = "<image>"
"""The key under which a density finds the image itself, (N, 3, H, W) in [0, 1], next to the layers' activations."""


def no_encoder() -> Clip:
    """Refuse terms that need an encoder where an objective is resolved without one."""
    raise NetworkError('text("…") and like("…") cannot be used here: there is no encoder of texts and images.')


@dataclass(frozen=True)
class TermContext:
    """What a term is resolved against.

    table: the layers of the network that dreams. reduction: what counts of activations. features: a layer's activations
    for an image file, (1, C, h, w) or (1, C). objective: the text of the whole objective, for messages. class_map:
    finds the layer that the classifier reads, with its weights. encoder: loads the encoder of texts and images.
    """

    table: LayerTable
    reduction: Reduction
    features: Callable[[str, str], Tensor]
    objective: str
    class_map: Callable[[], ClassMap | None] = lambda: None
    encoder: Callable[[], Clip] = no_encoder


class ResolvedTerm(Protocol):
    """A term whose layers and channels are known to be there.

    layers: the network's own names of the layers whose activations `density` reads; none for a term that brings its
    own network and reads `IMAGE`.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Name the layers whose activations `density` reads."""
        ...

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term at each position, (N, 1, h, w); its mean over positions is the term's value."""
        ...


class Term(Protocol):
    """One summand of an objective, without its weight: an immutable value whose `str` is its text."""

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layers of the network that it reads. Raises NetworkError for a layer that is not there."""
        ...

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Check it against a network. Raises NetworkError, ObjectiveError, and SourceError for a file."""
        ...

    def fingerprint(self) -> str:
        """Hash what its value depends on besides its text, such as a file's content; "" if nothing."""
        ...


class NamedTerm(Term, Protocol):
    """A term that begins with a registered name, such as `guide(...)`.

    opening: the character that has to follow the name; without it the name is taken for a layer's.
    """

    opening: ClassVar[str]

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read what follows `opening`. Call `reader.fail` for what does not belong there."""
        ...


TERMS: Registry[type[NamedTerm]] = Registry(
    "objective term", "dreamvid.dream.objectives.terms", "dreamvid.objective_terms"
)
