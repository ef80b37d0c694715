"""Compute where a flow can be trusted: the validity mask.

After Ruder et al. 2016 ("Artistic style transfer for videos") and Sundaram et al. 2010: forward and backward flow have
to agree relative to their length, motion boundaries are doubtful, and what comes from outside the frame is
disoccluded. The hard thresholds of these papers are soft where a dream is carried, so that the mask's edge does not
flicker.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import distance_outside, follow, pixel_grid, warp

# |f + b|² < RELATIVE (|f|² + |b|²) + ABSOLUTE, in pixels², as in both papers.
RELATIVE, ABSOLUTE = 0.01, 0.5
# |∇u|² + |∇v|² > BOUNDARY_RELATIVE |f|² + BOUNDARY_ABSOLUTE
BOUNDARY_RELATIVE, BOUNDARY_ABSOLUTE = 0.01, 0.002
# Steps of the flow, in pixels per pixel, up to which any motion makes them, and from which only an edge does; how much
# validity an edge costs.
SMOOTH_STEP, SURE_STEP, BOUNDARY_DOUBT = 0.5, 2.5, 0.5


def in_frame_mask(flow: Tensor) -> Tensor:
    """Mark where `flow` (N, 2, H, W) points into the frame: 1, falling to 0 over one pixel outside; (N, 1, H, W)."""
    height, width = flow.shape[2:]
    return (1 - distance_outside(pixel_grid(height, width, flow) + flow, height, width)).clamp(0, 1)


def fb_error(flow: Tensor, reverse: Tensor) -> Tensor:
    """Compute |f + b|² relative to what the papers allow, (N, 1, H, W): 1 is their threshold, less is better.

    flow: backward flow (this → previous). reverse: the flow of the other direction (previous → this), on the previous
    frame's pixels. Both (N, 2, H, W).
    """
    return _fb_error(flow, warp(reverse, flow, mode="bilinear"))


def _fb_error(flow: Tensor, back: Tensor) -> Tensor:
    allowed = RELATIVE * (_squared(flow) + _squared(back)) + ABSOLUTE
    return _squared(flow + back) / allowed


def motion_boundary(flow: Tensor) -> Tensor:
    """Find the motion boundaries of `flow`: true there, (N, 1, H, W)."""
    across = F.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    down = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    return _squared(across) + _squared(down) > BOUNDARY_RELATIVE * _squared(flow) + BOUNDARY_ABSOLUTE


def validity(flow: Tensor, evidence: Tensor) -> Tensor:
    """Compute where `flow` (N, 2, H, W) can be trusted, (N, 1, H, W) in [0, 1]: 1 is sure, 0 is disoccluded.

    evidence: (N, 1, H, W) in [0, 1] that the flow is right, such as `agreement`. It does not count outside of the
    frame, and less at motion boundaries.
    """
    return evidence * in_frame_mask(flow) * (1 - BOUNDARY_DOUBT * boundary_strength(flow))


def agreement(flow: Tensor, reverse: Tensor) -> Tensor:
    """Compute how well the two directions agree, (N, 1, H, W) in [0, 1].

    Falls from 1 at the papers' allowed fb_error to 0 at three times it: on water, where flows never quite agree,
    a dream that is carried slightly wrong is calmer than one that always starts again.
    """
    return ((3 - _fb_error(flow, follow(reverse, flow))) / 2).clamp(0, 1)


def boundary_strength(flow: Tensor) -> Tensor:
    """Compute how much `flow` (N, 2, H, W) jumps at a pixel or next to it: (N, 1, H, W) in [0, 1].

    0 where neighbors move alike or as in a zoom or a turn, 1 where they move two and a half pixels apart or more.
    """
    across = F.pad(_squared(flow[..., 1:] - flow[..., :-1]), (1, 1))
    down = F.pad(_squared(flow[..., 1:, :] - flow[..., :-1, :]), (0, 0, 1, 1))
    steepest = torch.maximum(
        torch.maximum(across[..., 1:], across[..., :-1]), torch.maximum(down[..., 1:, :], down[..., :-1, :])
    ).sqrt()
    return ((steepest - SMOOTH_STEP) / (SURE_STEP - SMOOTH_STEP)).clamp(0, 1)


def was_visible(flow: Tensor, reverse: Tensor) -> Tensor:
    """True where what is seen was seen before: consistent as the papers have it, and inside; (N, 1, H, W)."""
    return (fb_error(flow, reverse) < 1) & (in_frame_mask(flow) > 0.5)


def occlusion_mask(flow: Tensor, reverse: Tensor) -> Tensor:
    """Ruder's hard mask for scoring, (N, 1, H, W) of 0 and 1: consistent, inside, off the motion boundaries."""
    agrees = fb_error(flow, reverse) < 1
    return (agrees & (in_frame_mask(flow) >= 1) & ~motion_boundary(flow)).to(flow.dtype)


def _squared(x: Tensor) -> Tensor:
    return x.square().sum(dim=1, keepdim=True)
