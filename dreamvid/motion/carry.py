"""Carry a dream along the motion: fine detail by one flow, coarse structure by another.

A flow of full detail follows ripples, grass and noise; what is larger than these moves by the mean of their motion. A
dream that follows only the one is torn, a dream that follows only the other slides. So a residual is split in two, as
in a Laplacian pyramid: smoothed, it moves along the coarse flow, and what that takes away along the full one. Both are
sampled at full size: where the flows are the same, the sum is what one sampling would give, and no less sharp.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from dreamvid.motion.averages import binomial
from dreamvid.motion.warp import follow, resize_flow, warp


class FlowWithValidity(NamedTuple):
    """Where each pixel is in another frame, and how far that can be trusted.

    flow: (1, 2, h, w), x then y in pixels. validity: (1, 1, h, w) in [0, 1]. coarse_flow: (1, 2, h, w), what coarse
    structure follows; None: `flow`.
    """

    flow: Tensor
    validity: Tensor
    coarse_flow: Tensor | None = None


class _Move(Protocol):
    def __call__(self, x: Tensor, flow: Tensor, *, mode: str) -> Tensor: ...


def carry(residual: Tensor, flow: Tensor, coarse_flow: Tensor | None, *, move: _Move = warp) -> Tensor:
    """Move a residual (N, C, H, W) to where its content is now.

    flow: backward (N, 2, h, w), x then y in pixels, for what is finer than about 5 pixels. coarse_flow: for the rest;
    None: `flow`. Both may have any size. move: `warp`, or `follow` for what is not moved again and again.
    """
    size = residual.shape[2], residual.shape[3]
    flow = resize_flow(flow, size)
    if coarse_flow is None:
        return move(residual, flow, mode="bicubic")
    coarse = binomial(residual)
    moved = move(coarse, resize_flow(coarse_flow, size), mode="bicubic")
    return moved.add_(move(residual - coarse, flow, mode="bicubic"))


def compose(near: FlowWithValidity, far: FlowWithValidity | None) -> FlowWithValidity:
    """Follow two flows one after the other.

    near: from this frame to another. far: from that other frame on; None where it is the end. Returns where each pixel
    of this frame is at the end. Sampled bilinearly; where nothing moves in the first step the second one comes out as
    it is.
    """
    if far is None:
        return near
    moved, validity = follow(far.flow, near.flow), near.validity * follow(far.validity, near.flow)
    coarse = None
    if near.coarse_flow is not None and far.coarse_flow is not None:
        coarse = near.coarse_flow + follow(far.coarse_flow, near.coarse_flow)
    return FlowWithValidity(near.flow + moved, validity, coarse)
