"""Keeping a carried dream within a mask.

The mask is how much of a whole dream a place is to have. What is carried rides with its amount, so where the mask has
become darker the residual is taken back in proportion, and where it has become lighter it grows as at a place that is
newly seen: a mask may move, and grey holds its share from frame to frame.
"""

import torch
from torch import Tensor

from dreamvid.dream.octaves import resize


def confine(residual: Tensor, amount: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Bring a residual (1, 3, h, w) and its amount (1, 1, h, w) of a whole dream down to a mask (1, 1, h, w)."""
    share = (mask / amount.clamp_min(1e-3)).clamp(0, 1)
    return residual * share, torch.minimum(amount, mask)


def cut_out(residual: Tensor, mask: Tensor) -> Tensor:
    """Remove what an ascent left where a mask (1, 1, H, W) is black; residual: (1, 3, h, w)."""
    size = (residual.shape[2], residual.shape[3])
    return torch.where(resize(mask, size) > 0, residual, torch.zeros_like(residual))
