"""Guess the flow where the two directions disagree: inside textureless objects, and around what moves fast.

An estimator finds nothing to match in a flat area, and its flow there is arbitrary. But a flat area belongs to an
object, and the object's edges and marks have a flow that can be trusted. It is spread from there and stops at edges of
color (the à-trous form of a joint bilateral filter, weighted by confidence; Dammertz et al. 2010).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamvid.motion.planes import reduce
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


@dataclass(frozen=True)
class Affinity:
    """How much the pixels of an image, reduced, share with their neighbors: computed once for each frame.

    size: of the image that it belongs to, (H, W). weights: for each of the REACHES, pairs of regions that hold the
    pixels and their neighbors in one direction, with a weight in [0, 1] for each pair of pixels, (N, 1, …).
    """

    size: tuple[int, int]
    weights: list[list[tuple[Region, Region, Tensor]]]


def color_affinity(image: Tensor) -> Affinity:
    """Compare the colors of an image (N, 3, H, W) in [0, 1]."""
    size = (image.shape[2], image.shape[3])
    colors = reduce(image, reduced_size(size))
    return Affinity(size, [_weights(colors, reach) for reach in REACHES])


def _weights(colors: Tensor, reach: int) -> list[tuple[Region, Region, Tensor]]:
    found = []
    for ours, theirs in _neighbors(reach, colors.shape[2], colors.shape[3]):
        unlike = (colors[ours] - colors[theirs]).square().sum(dim=1, keepdim=True)
        found.append((ours, theirs, torch.exp(unlike * (-0.5 / COLOR_SPREAD**2))))
    return found


def fill_flow(flow: Tensor, trust: Tensor, affinity: Affinity) -> Tensor:
    """Replace `flow` (N, 2, H, W), as far as it cannot be trusted, by that of trusted pixels of similar color nearby.

    trust: (N, 1, H, W) in [0, 1]; where it is 1 the flow stays as it is. affinity: that of the frame to which the flow
    belongs. A pixel without a trusted pixel in reach keeps its flow.
    """
    size = (flow.shape[2], flow.shape[3])
    reduced = reduced_size(size)
    filled, _ = fill_reduced(resize_flow(flow, reduced), reduce(trust, reduced), affinity)
    return torch.lerp(resize_flow(filled, size), flow, trust)


def reduced_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (h, w) at which flow is spread in an image of a size (H, W)."""
    return -(-size[0] // REDUCED), -(-size[1] // REDUCED)


def fill_reduced(values: Tensor, known: Tensor, affinity: Affinity) -> tuple[Tensor, Tensor]:
    """Spread `values` (N, C, h, w) over all distances, where they are known: (N, 1, h, w) in [0, 1].

    Both have the reduced size of the image that `affinity` belongs to. Returns them, and how well they are known now.
    """
    for weights in affinity.weights:
        values, known = _spread(values, known, weights)
    return values, known


def _spread(values: Tensor, known: Tensor, weights: list[tuple[Region, Region, Tensor]]) -> tuple[Tensor, Tensor]:
    """Take values from eight pixels at one distance; return them and how well they are known now."""
    given = torch.cat((known * values, known), dim=1)
    taken = torch.zeros_like(given)
    for ours, theirs, weight in weights:  # what two pixels have in common counts in both directions
        taken[ours].addcmul_(given[theirs], weight)
        taken[theirs].addcmul_(given[ours], weight)
    total, heard = taken[:, :-1], taken[:, -1:]
    gained = (1 - known) * SPREAD_TRUST * (heard / 2).clamp_max(1)  # two neighbors are enough
    share = gained / (known + gained).clamp_min(1e-6)
    return torch.lerp(values, total / heard.clamp_min(1e-6), share), known + gained


def _neighbors(reach: int, height: int, width: int) -> list[tuple[Region, Region]]:
    """Pair pixels with their neighbors at a distance of `reach`, as regions of one shape, in four directions."""

    def spans(step: int, length: int) -> tuple[slice, slice]:
        return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length - max(0, -step))

    pairs = []
    for down, right in ((0, reach), (reach, -reach), (reach, 0), (reach, reach)):
        if abs(down) < height and abs(right) < width:
            (rows, their_rows), (columns, their_columns) = spans(down, height), spans(right, width)
            everything = slice(None), slice(None)
            pairs.append(((*everything, rows, columns), (*everything, their_rows, their_columns)))
    return pairs
