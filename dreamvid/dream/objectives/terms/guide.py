"""The term `guide("FILE")@LAYER`: match the features of another image.

After the guided dreams of the Caffe DeepDream notebook (Google, 2015): the mean over positions of the largest dot
product with the guide's features, divided by the number of channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.term import ResolvedTerm, TermContext
from dreamvid.image.io import image_fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.layer_table import LayerTable

_MAX_PRODUCTS = 2**24


@dataclass(frozen=True)
class GuideTerm:
    """How well each position of a layer matches the guide's feature that it matches best; `image`: the guide's file."""

    opening: ClassVar[str] = "("
    image: str
    layer: str

    def __str__(self) -> str:
        return f'guide("{self.image}")@{self.layer}'

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read "FILE")@LAYER."""
        file = reader.quoted('the guide\'s file in double quotes: guide("flowers.jpg")@LAYER')
        reader.expect(")", "after the guide's file")
        reader.expect("@", 'and the layer whose features are to be matched: guide("flowers.jpg")@LAYER')
        return cls(file, reader.layer())

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer as the network does."""
        return (table.resolve(self.layer),)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Compute the guide's features; raise SourceError if the file cannot be read."""
        layer = context.table.resolve(self.layer)
        activation = context.features(layer, self.image)
        return ResolvedGuide(layer, activation[0].reshape(activation.shape[1], -1).float())

    def fingerprint(self) -> str:
        """Hash the guide's pixels. Raises SourceError if the file cannot be read."""
        return image_fingerprint(self.image)


PLUGIN = GuideTerm


@dataclass(frozen=True, eq=False)
class ResolvedGuide:
    """How well a layer's positions match the features (C, Q) of the guide's Q positions."""

    layer: str
    features: Tensor

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term at each position, (N, 1, h, w)."""
        import torch

        x = activations[self.layer].float()
        height, width = (x.shape[2], x.shape[3]) if x.ndim == 4 else (1, 1)
        x = x.reshape(x.shape[0], x.shape[1], height * width)
        # The choice of the best match has no gradient. It is made in pieces, as the products of all positions with all
        # others may not fit into memory.
        with torch.no_grad():
            pieces = torch.split(x, max(1, _MAX_PRODUCTS // (len(x) * self.features.shape[1])), dim=2)
            best = torch.cat([torch.einsum("ncp,cq->npq", piece, self.features).argmax(2) for piece in pieces], 1)
            chosen = self.features.T[best].transpose(1, 2)
        return (x * chosen).mean(1).view(-1, 1, height, width)
