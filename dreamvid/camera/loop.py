"""Closes a loop: near its end the video fades into its own first frame, moved back by the movement that remains."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.camera.movement import Moved

_CLOSING_SECONDS = 5.0
_LARGEST_SHARE = 0.6  # of the video
# At this share of the closing only the first frame is visible; after that nothing is blended.
_ARRIVED = 0.85
_FEATHER = 0.12  # of the shorter side of the visible part of the first frame


@dataclass(frozen=True)
class LoopClosure:
    """The last part of a video of `count` frames, from frame `start` on."""

    start: int
    count: int

    @classmethod
    def from_length(cls, count: int, fps: float) -> "LoopClosure":
        """Plan the closing of a video."""
        length = min(round(_CLOSING_SECONDS * fps), round(_LARGEST_SHARE * count))
        return cls(max(1, count - max(1, length)), count)

    def reached(self, index: int) -> bool:
        """Return True if a frame belongs to the last part."""
        return index >= self.start

    def _blend_weight(self, index: int) -> float:
        """Return the share of the first frame in a frame, where it is visible: from 0 to 1."""
        t = min(max((index - self.start + 1) / (_ARRIVED * (self.count - self.start)), 0.0), 1.0)
        return t * t * (3 - 2 * t)

    def weights(self, first: Moved, index: int) -> tuple[Tensor, Tensor]:
        """Compute how much of the first frame, moved back to where it comes from, to blend into frame `index`.

        Returns that weight, and how strongly each pixel may still be dreamed; both (1, 1, H, W) from 0 to 1.
        """
        before, now = self._blend_weight(index - 1), self._blend_weight(index)
        # The frame that is fed back contains `before` of it already; this weight makes it `now`.
        weight = (now - before) / (1 - before) if before < 1 else 1.0
        mask = _feathered(first.inside, 1 - (index - self.start) / (self.count - self.start))
        return weight * mask, 1 - now * mask


def _feathered(inside: Tensor, amount: float) -> Tensor:
    """Soften the edge of a mask (1, 1, H, W) inwards; a mask without an edge stays 1 everywhere."""
    height, width = inside.shape[2:]
    seen = math.sqrt(max(float(inside.mean()), 1e-6))
    reach = _FEATHER * amount * min(height, width) * seen
    if reach < 1 or bool((inside >= 1).all()):
        return inside
    mask = inside
    radius = max(1, round(reach / 2))
    # The least within a square, averaged over a square: 0 at the edge, 1 from `reach` on.
    for axis in ((radius, 0), (0, radius)):
        size = (2 * axis[0] + 1, 2 * axis[1] + 1)
        mask = -F.max_pool2d(-mask, size, 1, axis)
    for axis in ((radius, 0), (0, radius)):
        size = (2 * axis[0] + 1, 2 * axis[1] + 1)
        padded = F.pad(mask, (axis[1], axis[1], axis[0], axis[0]), mode="replicate")
        mask = F.avg_pool2d(padded, size, 1)
    ramp = mask * mask * (3 - 2 * mask)
    return torch.minimum(ramp, inside)
