"""Flows put together: over several frames in one step, so that what rides on them is sampled only once."""

from torch import Tensor

from dreamvid.motion.warp import warp


def compose(near: tuple[Tensor, Tensor], far: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """Follow two flows one after the other, each given with its validity.

    near: from this frame to another, (1, 2, H, W) and (1, 1, H, W). far: from that other frame on; None where it is
    the end. Returns where each pixel of this frame is at the end, relative to it, and how far that can be trusted.
    Sampled bilinearly; where nothing moves in the first step the second one comes out as it is.
    """
    if far is None:
        return near
    flow, valid = near
    return flow + warp(far[0], flow, mode="bilinear"), valid * warp(far[1], flow, mode="bilinear")
