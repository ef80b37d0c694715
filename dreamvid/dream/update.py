"""One step of ascent: how a gradient becomes a change of the picture, as the well-known notebooks differ in it."""

from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from dreamvid.dream import pyramid
from dreamvid.settings import DreamSettings

# Of ImageNet's pictures, RGB in [0, 1]: what torchvision's classifiers are fed with is (x - mean) / deviation.
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class UpdateRule:
    """x ← x + step · ĝ, in the space and with the size of ĝ that are asked for; what the fields do, settings say."""

    levels: int
    normalize: Literal["mean", "std", "none"]
    space: Literal["rgb", "imagenet"]
    clip: Literal["step", "end"]
    keep_color: bool = False

    @classmethod
    def of(cls, settings: DreamSettings) -> Self:
        """Take the rule from settings."""
        return cls(settings.levels, settings.normalize, settings.space, settings.clip, settings.keep_color)

    def __call__(self, x: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Move a picture (1, 3, h, w) along d(objective)/dx; step: a number, or a map (1, 1, h, w)."""
        if self.keep_color:
            # Along R = G = B = y the derivative is the sum of the three; its size is made 1 anyway.
            gradient = gradient.mean(dim=1, keepdim=True).expand_as(gradient)
        if self.space == "rgb":
            x = x + step * pyramid.normalize(gradient, self.levels, self.normalize)
        else:
            # With z = (x - mean) / deviation: dL/dz = deviation · dL/dx, and dx = deviation · dz.
            deviation = x.new_tensor(_IMAGENET_DEVIATION).view(1, 3, 1, 1)
            x = x + step * deviation * pyramid.normalize(gradient * deviation, self.levels, self.normalize)
        return x.clamp(0, 1) if self.clip == "step" else x

    def add(self, source: Tensor, residual: Tensor) -> Tensor:
        """Add a residual to its source, both (1, 3, h, w), within [0, 1].

        With `keep_color` the same y = (r_R + r_G + r_B) / 3 is added to R, G and B, no further than the channel allows
        that is nearest to 0 or 1: the differences between the channels, and so the chroma, stay the source's.
        """
        if not self.keep_color:
            return (source + residual).clamp(0, 1)
        source = source.clamp(0, 1)
        room_below, room_above = source.amin(dim=1, keepdim=True), 1 - source.amax(dim=1, keepdim=True)
        grey = residual.mean(dim=1, keepdim=True)
        return source + torch.minimum(torch.maximum(grey, -room_below), room_above)
