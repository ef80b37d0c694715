"""Masks of what moves: where the optical flow differs from the camera's movement."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dreamvid.motion.field import MotionField
from dreamvid.motion.warp import pixel_grid, warp
from dreamvid.video.mattes.matte import Matte

SLOW, FAST = 0.002, 0.008
"""Speeds against the background in heights of the image per frame, from which on the mask is no longer black, and
wholly white."""
APPROACH = 0.25
"""The part of the way from what is carried to what moves in this frame."""
_ROUNDS = 5


class MotionMatte(Matte):
    """White where something moves by itself. It starts black: the first frame of a shot says nothing about motion."""

    def _start(self, image: Tensor) -> dict[str, Tensor]:
        return {"matte": image.new_zeros(1, 1, *image.shape[2:])}

    def _follow(self, image: Tensor, motion: MotionField, carried: Mapping[str, Tensor], age: int) -> dict[str, Tensor]:
        speed = own_motion(motion.flow, motion.validity) / image.shape[2]
        part = ((speed - SLOW) / (FAST - SLOW)).clamp(0, 1)
        moving = part * part * (3 - 2 * part)
        if age == 1:
            return {"matte": moving}
        moved = warp(carried["matte"], motion.flow).clamp(0, 1)
        return {"matte": torch.lerp(moved, moving, APPROACH)}


def own_motion(flow: Tensor, validity: Tensor) -> Tensor:
    """Measure how fast each pixel moves against the camera's movement, (1, 1, h, w) in pixels per frame.

    flow: (1, 2, h, w); validity: (1, 1, h, w). The camera's movement is the affine one that most of the image follows:
    least squares, repeated with weights that fall with the distance from it (Holland and Welsch, 1977).
    """
    height, width = flow.shape[2:]
    places = pixel_grid(height, width, flow)[0].flatten(1).double()
    terms = torch.stack((torch.ones_like(places[0]), places[0] / width - 0.5, places[1] / height - 0.5), dim=1)
    vectors = flow[0].flatten(1).T.double()
    sure = validity.flatten().double() + 1e-3
    weights, distance = sure, sure
    for _ in range(_ROUNDS):
        weighted = terms * weights[:, None]
        camera = torch.linalg.solve(terms.T @ weighted, weighted.T @ vectors)
        distance = (vectors - terms @ camera).norm(dim=1)
        scale = 1.5 * distance.median().clamp_min(0.05)
        weights = sure / (1 + (distance / scale).square()).square()
    return distance.view(1, 1, height, width).to(flow.dtype)
