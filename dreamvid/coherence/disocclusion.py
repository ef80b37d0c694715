"""Steps of their own for places that are newly seen, taken on the part of the frame that holds them.

Such a place lies between others whose dream is there already, and what a network sees around it counts: a few large
steps add as much to the image as many small ones, and much less to the objective. On a part of the frame the many
small ones can be had, and the gradient is evened out over that part alone, where little is dreamed yet.
"""

import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.octaves import SMALLEST_SIDE, OctaveAscent, Shifts

# Places are looked for in squares of this side, in pixels; so much of a dream has to be missing there on average for
# one to count. What is thinner shares the steps of the whole: the dream around it reaches in.
CELL, MISSING = 16, 0.1
# Pixels around such places that are looked at too; sides are a multiple of the second, as every size costs anew.
MARGIN, MULTIPLE = 32, 32

Region = tuple[slice, slice, slice, slice]


def find_region(growth: Tensor) -> Region | None:
    """Find the rectangle that holds the places where much is to grow, a map (1, 1, h, w); None if there are none."""
    height, width = growth.shape[2:]
    cells = F.avg_pool2d(growth, CELL, ceil_mode=True, count_include_pad=False)
    down, right = (cells[0, 0] > MISSING).nonzero(as_tuple=True)  # waits for the device: the size has to be known
    if not len(down):
        return None
    return slice(None), slice(None), _span(down, height), _span(right, width)


def grow_region(
    ascent: OctaveAscent,
    image: Tensor,
    carried: Tensor,
    sizes: list[tuple[int, int]],
    region: Region,
    *,
    iterations: int,
    step: Tensor,
    shifts: Shifts,
) -> Tensor:
    """Grow a dream within a region; return the residual of the whole, (1, 3, h, w), unchanged outside.

    image, carried: as for `OctaveAscent.grow`, but at the size of the finest octave, the last of `sizes`. step: the
    map (1, 1, h, w) of one step's mean change.
    """
    height, width = image.shape[2:]
    part = image[region]
    rows, columns = part.shape[2:]
    within = [(round(rows * size[0] / height), round(columns * size[1] / width)) for size in sizes[:-1]]
    within = [size for size in within if min(size) >= SMALLEST_SIDE]
    grown = carried.clone()
    grown[region] = ascent.grow(
        part, carried[region], [*within, (rows, columns)], iterations=iterations, step=step[region], shifts=shifts
    )
    return grown


def _span(cells: Tensor, length: int) -> slice:
    """Range of pixels with a margin around cells on an axis, as long as a multiple allows."""
    first, last = int(cells.min()) * CELL - MARGIN, (int(cells.max()) + 1) * CELL + MARGIN
    first, last = max(0, first), min(length, last)
    size = min(length, -(-(last - first) // MULTIPLE) * MULTIPLE)
    first = max(0, min(first, length - size))
    return slice(first, first + size)
