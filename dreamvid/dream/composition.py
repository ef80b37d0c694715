"""Compose a dreamed frame: the source, and what the dream adds to it, in the chosen strength, colors and blending.

    dreamed = source + residual                within [0, 1], as the update rule adds them
    graded  = the palette's color map of it
    added   = strength · (graded - source)
    result  = blend(sharpened source, added)

What is carried from frame to frame is the residual, before all of this. So a composed dream is as steady as the
residual is, and strength, palette and blending may change at any time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.optimizer import add_gray
from dreamvid.dream.palette import ColorMap, Palette
from dreamvid.image.tensors import luma
from dreamvid.settings import Settings
from dreamvid.settings.palettes import NONE
from dreamvid.settings.schema import BlendMode

Add = Callable[[Tensor, Tensor], Tensor]
"""Adds a residual to its source, both (1, 3, h, w): `UpdateRule.add`."""

# The blur that sharpening subtracts has this standard deviation, as a part of the frame's height: 1 pixel at 480 lines.
_SHARPEN_RADIUS = 1 / 480


@dataclass(frozen=True)
class Composition:
    """How a dream is added to its source; the fields are the settings of the same names."""

    strength: float = 1.0
    blend: BlendMode = "normal"
    sharpen_source: float = 0.0
    palette: str = NONE

    @classmethod
    def from_settings(cls, settings: Settings) -> "Composition":
        """Read it from settings whose schedules have been evaluated."""
        chosen = settings.composition
        return cls(chosen.strength, chosen.blend, chosen.sharpen_source, settings.dream.palette)

    @property
    def is_plain(self) -> bool:
        """Whether the dream is simply added."""
        return self == Composition()

    def margin(self, height: int) -> int:
        """Return how many rows above and below a strip of a frame of `height` rows its composition depends on."""
        return _blur_reach(height) if self.sharpen_source else 0

    def color_map(self, palette: Palette | None, source: Tensor, residual: Tensor, add: Add) -> ColorMap | None:
        """Measure the map of a frame's colors to the palette; None without one.

        palette: from `Palette.from_text`, None for the source's own. source, residual: the frame and what the dream
        adds, reduced alike, (1, 3, h, w).
        """
        if self.palette == NONE:
            return None
        source = source.clamp(0, 1)
        dreamed = Palette.of_image(add(source, residual))
        return (palette or Palette.of_image(source)).map_from(dreamed)

    def compose(
        self,
        source: Tensor,
        residual: Tensor,
        add: Add,
        *,
        colors: ColorMap | None = None,
        mask: Tensor | None = None,
        height: int | None = None,
    ) -> Tensor:
        """Add a residual to its source, both (1, 3, H, W); return an image in [0, 1].

        colors: from `color_map`. mask: (1, 1, H, W) in [0, 1], how much the colors may change at each pixel; None
        everywhere. height: rows of the whole frame, if `source` is a strip of it with its `margin`.
        """
        if self.is_plain:
            return add(source, residual)
        dreamed = add(source, residual)
        if colors is not None:
            graded = colors(dreamed)
            dreamed = graded if mask is None else torch.lerp(dreamed, graded, mask)
        added = self.strength * (dreamed - source)
        return _BLENDS[self.blend](self._sharpened(source, height or source.shape[2]), added)

    def _sharpened(self, source: Tensor, height: int) -> Tensor:
        """Enhance the detail of the source by the part of it that a blur takes away (unsharp masking)."""
        if not self.sharpen_source:
            return source
        return (source + self.sharpen_source * (source - _blur(source, height))).clamp(0, 1)


def _normal(source: Tensor, added: Tensor) -> Tensor:
    return (source + added).clamp(0, 1)


def _luma(source: Tensor, added: Tensor) -> Tensor:
    return add_gray(source.clamp(0, 1), luma(added))


def _overlay(source: Tensor, added: Tensor) -> Tensor:
    layer = (0.5 + added).clamp(0, 1)
    return torch.where(source < 0.5, 2 * source * layer, 1 - 2 * (1 - source) * (1 - layer)).clamp(0, 1)


def _screen(source: Tensor, added: Tensor) -> Tensor:
    return (1 - (1 - source) * (1 - added.clamp(0, 1))).clamp(0, 1)


_BLENDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "normal": _normal,
    "luma": _luma,
    "overlay": _overlay,
    "screen": _screen,
}


def _blur_reach(height: int) -> int:
    return max(1, round(3 * _SHARPEN_RADIUS * height))


def _blur(image: Tensor, height: int) -> Tensor:
    """Blur (1, 3, H, W) by a Gaussian whose width belongs to a frame of `height` rows."""
    reach = _blur_reach(height)
    offsets = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / (_SHARPEN_RADIUS * height)).square())
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(image, (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, kernel[:, :, None, :], groups=3)
    return F.conv2d(across, kernel[:, :, :, None], groups=3)
