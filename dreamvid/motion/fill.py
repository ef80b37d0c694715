"""Guess the flow where the two directions disagree: inside textureless objects, and around what moves fast.

An estimator finds nothing to match in a flat area, and its flow there is arbitrary. But a flat area belongs to an
object, and the object's edges and marks have a flow that can be trusted. It is spread from there and stops at edges of
color (the à-trous form of a joint bilateral filter, weighted by confidence; Dammertz et al. 2010).
"""

from functools import lru_cache

import torch
from torch import Tensor

from dreamvid.motion.averages import reduce
from dreamvid.motion.warp import resize_flow

# Flow is spread on images reduced by this factor: a guess has no finer detail.
REDUCED = 2
# Distances, in pixels of the reduced image, over which flow is spread, one after the other.
REACHES = (1, 2, 4, 8, 16)
# Colors that differ by this much (the norm over RGB in [0, 1]) hardly share a flow.
COLOR_SPREAD = 0.06
# Spread flow counts less than estimated flow, so that it does not outweigh it at the next distance.
SPREAD_TRUST = 0.9

_DIRECTIONS = 4  # of the neighbors of a pixel; what two pixels have in common counts in both directions

Region = tuple[slice, slice, slice, slice]


def color_affinity(image: Tensor) -> Tensor:
    """Compare the colors of an image (N, 3, H, W) in [0, 1], reduced, with those of its neighbors: (N, 20, h, w).

    Computed once for each frame. Each channel holds the affinity in [0, 1] of a pixel and its neighbor at one of the
    REACHES in one direction: 0 where the image ends before.
    """
    colors = reduce(image, reduced_size((image.shape[2], image.shape[3])))
    affinity = colors.new_zeros(colors.shape[0], _DIRECTIONS * len(REACHES), colors.shape[2], colors.shape[3])
    for pairs in _neighbors(colors.shape[2], colors.shape[3]):
        for ours, theirs, shared in pairs:
            unlike = (colors[ours] - colors[theirs]).square().sum(dim=1, keepdim=True)
            affinity[shared] = torch.exp(unlike * (-0.5 / COLOR_SPREAD**2))
    return affinity


def fill_flow(flow: Tensor, trust: Tensor, affinity: Tensor) -> Tensor:
    """Replace `flow` (N, 2, H, W), as far as it cannot be trusted, by that of trusted pixels of similar color nearby.

    trust: (N, 1, H, W) in [0, 1]; where it is 1 the flow stays as it is. affinity: `color_affinity` of the frame to
    which the flow belongs. A pixel without a trusted pixel in reach keeps its flow.
    """
    size = (flow.shape[2], flow.shape[3])
    reduced = reduced_size(size)
    filled, _ = fill_reduced(resize_flow(flow, reduced), reduce(trust, reduced), affinity)
    return torch.lerp(resize_flow(filled, size), flow, trust)


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (h, w) at which flow is spread in an image of a size (H, W)."""
    return -(-size[0] // REDUCED), -(-size[1] // REDUCED)


def fill_reduced(values: Tensor, known: Tensor, affinity: Tensor) -> tuple[Tensor, Tensor]:
    """Spread `values` (N, C, h, w) over all distances, where they are known: (N, 1, h, w) in [0, 1].

    Both have the reduced size of the image that `affinity` belongs to. Returns them, and how well they are known now.
    """
    for pairs in _neighbors(values.shape[2], values.shape[3]):
        values, known = _spread(values, known, affinity, pairs)
    return values, known


def _spread(
    values: Tensor, known: Tensor, affinity: Tensor, pairs: list[tuple[Region, Region, Region]]
) -> tuple[Tensor, Tensor]:
    """Take values from eight pixels at one distance; return them and how well they are known now."""
    given = torch.cat((known * values, known), dim=1)
    taken = torch.zeros_like(given)
    for ours, theirs, shared in pairs:
        taken[ours].addcmul_(given[theirs], affinity[shared])
        taken[theirs].addcmul_(given[ours], affinity[shared])
    total, heard = taken[:, :-1], taken[:, -1:]
    gained = (1 - known) * SPREAD_TRUST * (heard / 2).clamp_max(1)  # two neighbors are enough
    share = gained / (known + gained).clamp_min(1e-6)
    return torch.lerp(values, total / heard.clamp_min(1e-6), share), known + gained


@lru_cache(maxsize=16)
def _neighbors(height: int, width: int) -> list[list[tuple[Region, Region, Region]]]:
    """Pair pixels with their neighbors at each distance, as regions of one shape, with the region of their affinity."""

    def spans(step: int, length: int) -> tuple[slice, slice]:
        return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length - max(0, -step))

    everything, found = (slice(None), slice(None)), []
    for number, reach in enumerate(REACHES):
        pairs = []
        for direction, (down, right) in enumerate(((0, reach), (reach, -reach), (reach, 0), (reach, reach))):
            if abs(down) < height and abs(right) < width:
                (rows, their_rows), (columns, their_columns) = spans(down, height), spans(right, width)
                channel = number * _DIRECTIONS + direction
                ours, theirs = (*everything, rows, columns), (*everything, their_rows, their_columns)
                pairs.append((ours, theirs, (slice(None), slice(channel, channel + 1), rows, columns)))
        found.append(pairs)
    return found
