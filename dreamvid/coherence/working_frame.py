"""A source frame on the device, with what is computed of it once."""

from functools import cached_property

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import resize, to_float, to_pixels
from dreamvid.motion.field import MotionEstimator, PreparedFrame
from dreamvid.settings.size import Size


class WorkingFrame:
    """A frame as decoding, motion and the dream share it: uploaded once, reduced once, prepared for motion once.

    uploaded: whole numbers (H, W, 3) as `upload` returns them, or float32 (1, 3, H, W) in [0, 1]; it stays as it is,
    as many frames may wait at once. size: that of the finest octave, at which the residual is carried. reduced: the
    frame at that size, (1, 3, h, w); resampling may leave [0, 1] a little where it reduces.
    """

    def __init__(self, uploaded: Tensor, size: Size, motion: MotionEstimator) -> None:
        self._uploaded, self._motion = uploaded, motion
        self.size = size
        # At once: on a GPU, whoever takes the frame over may only read what its maker's stream has finished.
        self.reduced = self._resampled(size)

    @property
    def full(self) -> Tensor:
        """The frame itself, (1, 3, H, W) in [0, 1]."""
        return to_float(self._uploaded) if self._uploaded.ndim == 3 else self._uploaded

    @property
    def full_size(self) -> Size:
        """Its height and width in pixels."""
        shape = self._uploaded.shape
        return Size(shape[0], shape[1]) if len(shape) == 3 else Size(shape[2], shape[3])

    @cached_property
    def prepared(self) -> PreparedFrame:
        """What motion from and to it needs."""
        return self._motion.prepare(self.reduced.clamp(0, 1))

    def forget_motion(self) -> None:
        """Free what `prepared` holds, if nothing follows this frame any more; it would be computed again."""
        self.__dict__.pop("prepared", None)

    def small(self, height: int) -> np.ndarray:
        """Reduce the frame to at most `height` lines: uint8 (h, w, 3). Waits for the device."""
        lines = min(height, self.size.height)
        size = (lines, max(1, round(self.size.width * lines / self.size.height)))
        return to_pixels(F.interpolate(self.reduced.clamp(0, 1), size, mode="area"))

    def at(self, size: Size) -> Tensor:
        """Resample the frame to a size (h, w): (1, 3, h, w)."""
        return self.reduced if size == self.size else self._resampled(size)

    def _resampled(self, size: Size) -> Tensor:
        image = resize(self.full, size)
        # Enlarging overshoots at sharp edges; holding that in range later would count as a part of the dream.
        return image.clamp(0, 1) if size.height > self.full_size.height else image

    def resized(self, size: Size) -> "WorkingFrame":
        """Return the same frame for a dream of another size (h, w)."""
        return WorkingFrame(self._uploaded, size, self._motion)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors on the device that another stream may have made."""
        return self._uploaded, self.reduced
