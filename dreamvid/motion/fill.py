"""Guessing the flow where estimates disagree: inside textureless things, and around what moves fast.

An estimator finds nothing in a flat area and makes something up there. A flat area belongs to a thing, though, and the
thing's edges and marks have a flow that can be trusted: it is spread from there, and stops at edges of color (the
à-trous form of a joint bilateral filter, weighted by confidence; Dammertz et al. 2010).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import resize_flow

# Flow is spread on images reduced by this factor: a guess has no finer detail.
REDUCED = 2
# Distances in pixels of these over which flow is spread, one after the other: the nearest comes first.
REACHES = (1, 2, 4, 8, 16)
# Colors that differ by this much (the norm over RGB in [0, 1]) hardly share a flow.
COLOR_SPREAD = 0.06
# What was spread counts less than what was estimated, so that it does not outweigh it at the next distance.
SPREAD_TRUST = 0.9

Place = tuple[slice, slice, slice, slice]


def fill_flow(flow: Tensor, trust: Tensor, image: Tensor) -> Tensor:
    """Replace `flow` (N, 2, H, W) by that of trusted places of like color nearby, as far as it cannot be trusted.

    trust: (N, 1, H, W) in [0, 1]; a flow that is wholly trusted stays as it is. image: the frame whose pixels the
    flow moves, (N, 3, H, W) in [0, 1]. A place without any trusted place in reach keeps its flow.
    """
    size = (flow.shape[2], flow.shape[3])
    filled, _ = _fill(resize_flow(flow, _reduced(size)), trust, image)
    return torch.lerp(resize_flow(filled, size), flow, trust)


def fill_values(values: Tensor, trust: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Spread `values` (N, C, H, W) as `fill_flow` does a flow; return them and how far they are known, (N, 1, H, W)."""
    size = (values.shape[2], values.shape[3])
    filled, known = _fill(F.interpolate(values, _reduced(size), mode="area"), trust, image)
    return (
        F.interpolate(filled, size, mode="bilinear", align_corners=False),
        F.interpolate(known, size, mode="bilinear", align_corners=False),
    )


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // REDUCED), -(-size[1] // REDUCED)


def _fill(values: Tensor, trust: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Spread reduced values over all reaches; trust and image in full."""
    size = (values.shape[2], values.shape[3])
    known, colors = (F.interpolate(x, size, mode="area") for x in (trust, image))
    for reach in REACHES:
        values, known = _spread(values, known, colors, reach)
    return values, known


def _spread(values: Tensor, known: Tensor, colors: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Take values from eight places `reach` pixels away; return them and how far they are known now."""
    total, weights = torch.zeros_like(values), torch.zeros_like(known)
    for ours, theirs in _neighbours(reach, values.shape[2], values.shape[3]):
        unlike = (colors[ours] - colors[theirs]).square().sum(dim=1, keepdim=True)
        weight = known[theirs] * torch.exp(unlike * (-0.5 / COLOR_SPREAD**2))
        total[ours] += weight * values[theirs]
        weights[ours] += weight
    gained = (1 - known) * SPREAD_TRUST * (weights / 2).clamp_max(1)  # two neighbours are enough
    share = gained / (known + gained).clamp_min(1e-6)
    return torch.lerp(values, total / weights.clamp_min(1e-6), share), known + gained


def _neighbours(reach: int, height: int, width: int) -> list[tuple[Place, Place]]:
    """Pixels and their neighbours `reach` pixels away, as pairs of regions of one shape, in eight directions."""

    def spans(step: int, length: int) -> tuple[slice, slice]:
        return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length - max(0, -step))

    pairs = []
    for down in (-reach, 0, reach):
        for right in (-reach, 0, reach):
            if (down or right) and abs(down) < height and abs(right) < width:
                (rows, their_rows), (columns, their_columns) = spans(down, height), spans(right, width)
                everything = slice(None), slice(None)
                pairs.append(((*everything, rows, columns), (*everything, their_rows, their_columns)))
    return pairs
