"""Computes masks from the frames of a video, one after the other, and carries them along with the image."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import MotionEstimator, MotionField, PreparedFrame
from dreamvid.settings.size import Size

LINES = 256
"""Mattes are computed at this height at most: their edges are soft anyway."""


class Matte(ABC):
    """A mask that follows from the frames themselves.

    `next` takes the frames in order. What is carried to the next frame is `state`, so a matte that is given the state
    and the frame before goes on in the same way, bit for bit on the CPU.
    """

    def __init__(self, device: torch.device | str) -> None:
        self._device = torch.device(device)
        self._motion = MotionEstimator(load_estimator("dis", self._device))
        self._previous: PreparedFrame | None = None
        self._carried: dict[str, Tensor] = {}
        self._age = 0  # frames since the shot began

    @abstractmethod
    def _start(self, image: Tensor) -> dict[str, Tensor]:
        """Compute what is carried for the first frame of a shot, (1, 3, h, w); "matte" is the mask (1, 1, h, w)."""

    @abstractmethod
    def _follow(self, image: Tensor, motion: MotionField, carried: Mapping[str, Tensor], age: int) -> dict[str, Tensor]:
        """Compute the same for frame `age` of a shot, counted from 0, from what the frame before it carried.

        motion: how it follows from the frame before.
        """

    @torch.no_grad()
    def next(self, image: Tensor, size: Size, *, new_shot: bool = False) -> Tensor:
        """Compute the mask of the next frame, (1, 1, *size) in [0, 1].

        image: the frame, at any size, (1, 3, h, w) in [0, 1]. size: of the mask. new_shot: nothing before it counts.
        """
        image = _reduced(image)
        frame = self._motion.prepare(image)
        previous = self._previous
        if new_shot or previous is None or previous.size != frame.size:
            self._age, self._carried = 0, self._start(image)
        else:
            self._age += 1
            motion = self._motion.motion(frame, previous).at(frame.size)
            self._carried = self._follow(image, motion, self._carried, self._age)
        self._previous = frame
        return F.interpolate(self._carried["matte"], size, mode="bilinear", align_corners=False).clamp(0, 1)

    def begin(self, image: Tensor, state: Mapping[str, Tensor]) -> None:
        """Go on behind a frame (1, 3, h, w), with what `state` returned for it."""
        self._previous = self._motion.prepare(_reduced(image))
        self._carried = {name: value.to(self._device) for name, value in state.items() if name != "age"}
        self._age = int(state["age"])

    def state(self) -> dict[str, Tensor]:
        """Return what is carried to the next frame."""
        return {**self._carried, "age": torch.tensor([self._age])}

    def close(self) -> None:
        """Forget the frames."""
        self._previous, self._carried = None, {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reduced(image: Tensor) -> Tensor:
    height, width = image.shape[2:]
    scale = LINES / height
    if scale < 1:
        image = F.interpolate(image, (LINES, max(1, round(scale * width))), mode="area")
    return image.clamp(0, 1)
