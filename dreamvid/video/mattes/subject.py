"""Masks of the subject: found in every few frames, and carried along the motion in between.

A network that finds the subject in each frame by itself gives masks whose edges flicker. So what it finds is a target,
which moves along with the image too, and the mask approaches it slowly, except where something comes into view.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from dreamvid.motion.field import MotionField
from dreamvid.motion.warp import warp
from dreamvid.networks.subject.u2netp import load_subject_network
from dreamvid.video.mattes.matte import Matte

EVERY = 4
"""The subject is looked for in every so many frames."""
APPROACH = 0.12
"""The part of the way to the target that the mask goes in a frame."""


class SubjectMatte(Matte):
    """White where the subject is."""

    def __init__(self, device: torch.device | str) -> None:
        super().__init__(device)
        self._network = load_subject_network(device)

    def _start(self, image: Tensor) -> dict[str, Tensor]:
        target = self._find(image)
        return {"matte": target, "target": target}

    def _follow(self, image: Tensor, motion: MotionField, carried: Mapping[str, Tensor], age: int) -> dict[str, Tensor]:
        moved = warp(carried["matte"], motion.flow).clamp(0, 1)
        target = self._find(image) if age % EVERY == 0 else warp(carried["target"], motion.flow).clamp(0, 1)
        approach = 1 - (1 - APPROACH) * motion.validity
        return {"matte": torch.lerp(moved, target, approach), "target": target}

    def _find(self, image: Tensor) -> Tensor:
        found: Tensor = self._network(image)
        return torch.nn.functional.interpolate(found, image.shape[2:], mode="bilinear", align_corners=False)


class BackgroundMatte(SubjectMatte):
    """White where the subject is not."""

    def _find(self, image: Tensor) -> Tensor:
        return 1 - super()._find(image)
