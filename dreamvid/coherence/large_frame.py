"""A frame of very many pixels: it stays an array of whole numbers, and floats are made of a strip of it at a time."""

import numpy as np
import torch
from torch import Tensor

from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.dream.composition import Add, Composition
from dreamvid.dream.palette import ColorMap
from dreamvid.image.strips import LARGE_PIXELS, row_strips
from dreamvid.image.tensors import reduce_pixels, resize, to_pixels, to_tensor
from dreamvid.motion.field import MotionEstimator
from dreamvid.settings.size import Size

Pixels = np.ndarray


def is_large(frame: object) -> bool:
    """Tell whether a frame from outside is a uint8 or uint16 array (H, W, 3) of very many pixels."""
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.dtype not in (np.uint8, np.uint16):
        return False
    return bool(frame.shape[2] == 3 and frame.shape[0] * frame.shape[1] > LARGE_PIXELS)


class LargeFrame(WorkingFrame):
    """A working frame whose pixels, uint8 or uint16 (H, W, 3), stay where they are; they must not change meanwhile."""

    def __init__(self, pixels: Pixels, size: Size, motion: MotionEstimator, device: torch.device | str) -> None:
        self.pixels, self._device = pixels, device
        super().__init__(torch.empty(0, device=device), size, motion)

    @property
    def full(self) -> Tensor:
        """The frame itself, (1, 3, H, W) in [0, 1]."""
        return to_tensor(self.pixels, self._device)

    @property
    def full_size(self) -> Size:
        """Its height and width in pixels."""
        return Size(self.pixels.shape[0], self.pixels.shape[1])

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors on the device that another stream may have made."""
        return (self.reduced,)

    def compose(
        self, residual: Tensor, mask: Tensor | None, composition: Composition, add: Add, colors: ColorMap | None
    ) -> Pixels:
        """Add a residual to the frame; return an array of the same kind.

        residual: (1, 3, h, w), enlarged as `resize` does. mask: (1, 1, H, W), where it is 0 the frame stays; None
        nowhere. The rest as in `Composition.compose`.
        """
        height, width = self.full_size
        # `resize` works on rows and columns one after the other, and its rows are those of this matrix.
        weights = resize(torch.eye(residual.shape[2], device=residual.device)[None, None], (height, residual.shape[2]))
        result, margin = np.empty_like(self.pixels), composition.margin(height)
        for rows in row_strips(height, width):
            wide = slice(max(0, rows.start - margin), min(height, rows.stop + margin))
            inner = slice(rows.start - wide.start, rows.stop - wide.start)
            part = resize(weights[:, :, wide] @ residual, (wide.stop - wide.start, width))
            source = to_tensor(self.pixels[wide], self._device)
            shown = None if mask is None else mask[:, :, wide]
            dreamed = composition.compose(source, part, add, colors=colors, mask=shown, height=height)
            if shown is not None:
                dreamed = torch.where(shown > 0, dreamed, source)
            result[rows] = to_pixels(dreamed[:, :, inner], self.pixels.dtype)
        return result

    def _resampled(self, size: Size) -> Tensor:
        image = reduce_pixels(self.pixels, size, self._device)
        return image.clamp(0, 1) if size.height > self.full_size.height else image
