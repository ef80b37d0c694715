"""One step of ascent: how a gradient becomes a change of the picture, as the well-known notebooks differ in it."""

from dataclasses import dataclass
from typing import Literal, Self

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

    @classmethod
    def of(cls, settings: DreamSettings) -> Self:
        """Take the rule from settings."""
        return cls(settings.levels, settings.normalize, settings.space, settings.clip)

    def __call__(self, x: Tensor, gradient: Tensor, step: float | Tensor) -> Tensor:
        """Move a picture (1, 3, h, w) along d(objective)/dx; step: a number, or a map (1, 1, h, w)."""
        if self.space == "rgb":
            x = x + step * pyramid.normalize(gradient, self.levels, self.normalize)
        else:
            # With z = (x - mean) / deviation: dL/dz = deviation · dL/dx, and dx = deviation · dz.
            deviation = x.new_tensor(_IMAGENET_DEVIATION).view(1, 3, 1, 1)
            x = x + step * deviation * pyramid.normalize(gradient * deviation, self.levels, self.normalize)
        return x.clamp(0, 1) if self.clip == "step" else x
