"""Show what a dream grows from frame to frame gradually, along the motion.

A frame that takes a single step moves the dream a little to and fro, as each gradient has a random shift of its own. A
render takes more steps and interpolates the frames in between. A live dream has time for neither, so it shows

    s   = (1 - w) · r + w · warp(s', flow),   w = validity · 0.5 ** (elapsed / half-life)

where r is the residual that is carried, and s' what was shown in the frame before. What is carried stays as it is. So
new detail is shown a few frames later, and what moves, or comes into view, at once.
"""

from torch import Tensor

from dreamvid.coherence.keyframes import mix
from dreamvid.image.tensors import resize
from dreamvid.motion.carry import carry
from dreamvid.motion.field import MotionField


class Steadiness:
    """Makes residuals steady, frame after frame.

    half_life_seconds: the time after which half of what is new is shown; 0 shows it at once.
    """

    def __init__(self, half_life_seconds: float) -> None:
        self._half_life_seconds = half_life_seconds
        self._shown: Tensor | None = None

    def add(self, residual: Tensor, motion: MotionField | None, elapsed_seconds: float) -> Tensor:
        """Take in the residual (1, 3, h, w) of the next frame; return the one to show, of the same size.

        motion: how the frame follows from the one before; None begins anew. elapsed_seconds: the time between them.
        """
        if motion is None or self._shown is None or not self._half_life_seconds:
            self._shown = residual
        else:
            size = residual.shape[2], residual.shape[3]
            motion = motion.at(size)
            weight = motion.validity * 0.5 ** (elapsed_seconds / self._half_life_seconds)
            self._shown = mix(carry(resize(self._shown, size), motion.flow, motion.coarse_flow), residual, weight)
        return self._shown

    def reset(self) -> None:
        """Forget what was shown."""
        self._shown = None
