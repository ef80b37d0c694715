"""Guess the flow where the two directions disagree: inside textureless objects, and around what moves fast.

An estimator finds nothing to match in a flat area, and its flow there is arbitrary. But a flat area belongs to an
object, and the object's edges and marks have a flow that can be trusted. It is spread from there and stops at edges of
color (the à-trous form of a joint bilateral filter, weighted by confidence; Dammertz et al. 2010).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import resize_flow

# Flow is spread on images reduced by this factor: a guess has no finer detail.
REDUCED = 2
# Distances, in pixels of the reduced image, over which flow is spread, one after the other.
REACHES = (1, 2, 4, 8, 16)
# Colors that differ by this much (the norm over RGB in [0, 1]) hardly share a flow.
COLOR_SPREAD = 0.06
# Spread flow counts less than estimated flow, so that it does not outweigh it at the next distance.
SPREAD_TRUST = 0.9

Region = tuple[slice, slice, slice, slice]


def fill_flow(flow: Tensor, trust: Tensor, image: Tensor) -> Tensor:
    """Replace `flow` (N, 2, H, W), as far as it cannot be trusted, by that of trusted pixels of similar color nearby.

    trust: (N, 1, H, W) in [0, 1]; where it is 1 the flow stays as it is. image: the frame that the flow belongs to,
    (N, 3, H, W) in [0, 1]. A pixel without a trusted pixel in reach keeps its flow.
    """
    size = (flow.shape[2], flow.shape[3])
    filled, _ = _fill(resize_flow(flow, _reduced(size)), trust, image)
    return torch.lerp(resize_flow(filled, size), flow, trust)


def fill_values(values: Tensor, trust: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Spread `values` (N, C, H, W) as `fill_flow` spreads a flow.

    Returns them, and how well they are known, (N, 1, H, W) in [0, 1].
    """
    size = (values.shape[2], values.shape[3])
    filled, known = _fill(F.interpolate(values, _reduced(size), mode="area"), trust, image)
    return (
        F.interpolate(filled, size, mode="bilinear", align_corners=False),
        F.interpolate(known, size, mode="bilinear", align_corners=False),
    )


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // REDUCED), -(-size[1] // REDUCED)


def _fill(values: Tensor, trust: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Spread reduced values over all distances; trust and image have the full size."""
    size = (values.shape[2], values.shape[3])
    known, colors = (F.interpolate(x, size, mode="area") for x in (trust, image))
    for reach in REACHES:
        values, known = _spread(values, known, colors, reach)
    return values, known


def _spread(values: Tensor, known: Tensor, colors: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Take values from eight pixels at a distance of `reach`; return them and how well they are known now."""
    total, weights = torch.zeros_like(values), torch.zeros_like(known)
    for ours, theirs in _neighbors(reach, values.shape[2], values.shape[3]):
        unlike = (colors[ours] - colors[theirs]).square().sum(dim=1, keepdim=True)
        weight = known[theirs] * torch.exp(unlike * (-0.5 / COLOR_SPREAD**2))
        total[ours] += weight * values[theirs]
        weights[ours] += weight
    gained = (1 - known) * SPREAD_TRUST * (weights / 2).clamp_max(1)  # two neighbors are enough
    share = gained / (known + gained).clamp_min(1e-6)
    return torch.lerp(values, total / weights.clamp_min(1e-6), share), known + gained


def _neighbors(reach: int, height: int, width: int) -> list[tuple[Region, Region]]:
    """Pair pixels with their neighbors at a distance of `reach`, as regions of one shape, in eight directions."""

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
