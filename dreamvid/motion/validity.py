"""Where a flow can be trusted: the validity mask.

After Ruder et al. 2016 ("Artistic style transfer for videos") and Sundaram et al. 2010: forward and backward flow have
to agree relative to their length, motion boundaries count as doubtful, and what comes from outside the frame is new.
The hard thresholds of these papers are made soft, so that a mask has no flickering edge.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import pixel_grid, warp

# |f + b|² < RELATIVE (|f|² + |b|²) + ABSOLUTE, in pixels², as in both papers.
RELATIVE, ABSOLUTE = 0.01, 0.5
# |∇u|² + |∇v|² > BOUNDARY_RELATIVE |f|² + BOUNDARY_ABSOLUTE
BOUNDARY_RELATIVE, BOUNDARY_ABSOLUTE = 0.01, 0.002


def inside(flow: Tensor) -> Tensor:
    """1 where `flow` (N, 2, H, W) points into the frame, falling to 0 over one pixel outside: (N, 1, H, W)."""
    height, width = flow.shape[2:]
    places = pixel_grid(height, width, flow) + flow
    last = flow.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1)
    outside = torch.maximum(-places, places - last).amax(dim=1, keepdim=True)
    return (1 - outside).clamp(0, 1)


def disagreement(flow: Tensor, reverse: Tensor) -> Tensor:
    """|f + b|² relative to what the papers allow, (N, 1, H, W): 1 is at their threshold, less is better.

    flow: backward flow (this → previous). reverse: the flow of the other direction (previous → this), on the previous
    frame's pixels. Both (N, 2, H, W).
    """
    back = warp(reverse, flow, mode="bilinear")
    allowed = RELATIVE * (_squared(flow) + _squared(back)) + ABSOLUTE
    return _squared(flow + back) / allowed


def motion_boundary(flow: Tensor) -> Tensor:
    """True at motion boundaries of `flow`, (N, 1, H, W)."""
    across = F.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    down = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    return _squared(across) + _squared(down) > BOUNDARY_RELATIVE * _squared(flow) + BOUNDARY_ABSOLUTE


def validity(flow: Tensor, reverse: Tensor) -> Tensor:
    """Mask (N, 1, H, W) in [0, 1] of where `flow` carries: 1 is sure, 0 is newly seen.

    Falls from 1 at half of the papers' allowed disagreement to 0 at one and a half times it.
    """
    agreement = (1.5 - disagreement(flow, reverse)).clamp(0, 1)
    return agreement * inside(flow)


def occlusion_mask(flow: Tensor, reverse: Tensor) -> Tensor:
    """Ruder's hard mask for scoring, (N, 1, H, W) of 0 and 1: consistent, inside, off the motion boundaries."""
    agrees = disagreement(flow, reverse) < 1
    return (agrees & (inside(flow) >= 1) & ~motion_boundary(flow)).to(flow.dtype)


def _squared(x: Tensor) -> Tensor:
    return x.square().sum(dim=1, keepdim=True)
