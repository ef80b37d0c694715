"""Compares an image with a direction in CLIP's space: what `text("…")` and `like("…")` have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamvid.dream.objectives.term import IMAGE

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.networks.clip import Clip

# The crops overlap by a quarter of their side at least.
_STRIDE = 0.75


@dataclass(frozen=True, eq=False)
class ResolvedSimilarity:
    """How near crops of the image, and the image as a whole, come to a unit vector (D,).

    Crops are squares of the encoder's own side, or of the image's shorter side where that is less; they cover the
    image. Between the steps of an ascent the image is rolled by a random shift, and so the crops move.
    """

    encoder: Clip
    wanted: Tensor

    @property
    def layers(self) -> tuple[str, ...]:
        """None: the term has its own network."""
        return ()

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the cosine for each crop, half of it that of the whole image: (N, 1, rows, columns)."""
        import torch

        image = activations[IMAGE].float()
        count, _, height, width = image.shape
        side = min(height, width, self.encoder.side)
        tops, lefts = _starts(height, side), _starts(width, side)
        crops = [image[:, :, y : y + side, x : x + side] for y in tops for x in lefts]
        wholes = [image] if len(crops) > 1 else []
        encoded = self.encoder.images(torch.cat([self._fit(part) for part in (*wholes, *crops)]))
        cosines = (encoded @ self.wanted).view(-1, count)
        maps = cosines[len(wholes) :].T.reshape(count, 1, len(tops), len(lefts))
        return (maps + cosines[0].view(count, 1, 1, 1)) / 2 if wholes else maps

    def _fit(self, image: Tensor) -> Tensor:
        import torch.nn.functional as F

        size = (self.encoder.side, self.encoder.side)
        if tuple(image.shape[2:]) == size:
            return image
        return F.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def _starts(length: int, side: int) -> list[int]:
    """Place windows of `side` pixels evenly over a length."""
    count = math.ceil((length - side) / (_STRIDE * side)) + 1
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]


def encode_whole(encoder: Clip, image: Tensor) -> Tensor:
    """Encode an image (1, 3, H, W) in [0, 1], stretched to a square, as a unit vector (D,)."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        square = F.interpolate(
            image.to(encoder.device), (encoder.side, encoder.side), mode="bilinear", antialias=True, align_corners=False
        )
        return encoder.images(square.clamp(0, 1))[0]
