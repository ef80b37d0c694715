"""Gradient ascent on a part of an image: square patches in one batch, where the rest is dreamed already.

Each step cuts the patches out of the current image, with a halo, and writes their cores back, so that patches that
touch see what the other has grown. The patches move by a random shift from step to step, as whole images do.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.image.tensors import cell_means, resize
from dreamvid.settings.size import Size

# Sides in pixels, at each octave: of the cells that are examined, of a patch's core, and of the halo around it that the
# network sees too. Random shifts reach up to half a halo.
CELL, CORE, HALO = 32, 64, 16

# The part of a dream that has to be missing in a cell, on average, for the cell to get steps of its own.
MISSING = 0.25
# With patches, all steps together have to cost less than this part of what they cost on the whole image, where they
# serve everything.
CHEAPER = 0.7

# A patch's first row and column.
Corner = tuple[int, int]


def find_corners(growth: Tensor, sizes: Sequence[Size], other: Tensor) -> tuple[list[list[Corner]], float]:
    """Cover all cells in which more than MISSING is to grow on average with cores, at each octave.

    growth: a map (1, 1, h, w). sizes: those of the octaves. Returns the corners of the cores of each octave, and the
    mean of `other`, a map too. Waits for the device, once, because the number of corners has to be known.
    """
    averages = [cell_means(resize(growth, size).clamp_min(0), CELL)[0, 0] for size in sizes]
    read = read_cells(torch.cat([*(average.flatten() for average in averages), other.mean().view(1)]))
    parts = np.split(read[:-1] > MISSING, np.cumsum([average.numel() for average in averages[:-1]]))
    corners = [_cover_cells(part.reshape(average.shape)) for part, average in zip(parts, averages, strict=True)]
    return corners, float(read[-1])


def read_cells(cells: Tensor) -> np.ndarray:
    """Copy cells from the device, which is waited for: how many patches there are decides what is computed next."""
    copied: np.ndarray = cells.cpu().numpy()
    return copied


def _cover_cells(cells: np.ndarray) -> list[Corner]:
    """Cover the cells that are true with cores; the array is used up."""
    span, corners = CORE // CELL, []
    for row, column in zip(*cells.nonzero(), strict=True):
        if cells[row, column]:
            # For the first remaining cell of a row: of the cores that contain it, the one that contains most cells.
            starts = range(column, max(-1, column - span), -1)
            left = max(starts, key=lambda start: int(cells[row : row + span, start : start + span].sum()))
            cells[row : row + span, left : left + span] = False
            corners.append((int(row) * CELL, int(left) * CELL))
    return corners


def cover(growth: Tensor, corners: Sequence[Corner]) -> Tensor:
    """Mark where `grow_patches` grows what a map (1, 1, h, w) asks for at the finest octave: 1 there, 0 elsewhere.

    corners: those of the finest octave.
    """
    covered = torch.zeros_like(growth)
    for row, column in corners:
        covered[:, :, row : row + CORE, column : column + CORE] = 1
    return covered


def patches_pay(
    corners: Sequence[Sequence[Corner]], sizes: Sequence[Size], *, own: int, finest: int, coarser: int
) -> bool:
    """Tell if `own` steps on patches, and what the whole image takes anyway, cost much less than `own` steps on it.

    corners: those of each of the octaves. finest, coarser: the steps that the whole image takes anyway, at the finest
    octave and below it.
    """
    patches = sum(
        own * len(found) * _side(size, 0) * _side(size, 1) for found, size in zip(corners, sizes, strict=True)
    )
    anyway = sum((finest if size == sizes[-1] else coarser) * size[0] * size[1] for size in sizes)
    return patches + anyway <= CHEAPER * own * sum(height * width for height, width in sizes)


def grow_patches(
    ascent: OctaveAscent,
    image: Tensor,
    carried: Tensor,
    sizes: Sequence[Size],
    growth: Tensor,
    corners: Sequence[Sequence[Corner]],
    *,
    iterations: int,
    step: float,
    shifts: Shifts,
) -> Tensor:
    """Grow a dream where a map asks for it; return the residual of the whole, (1, 3, h, w).

    image, carried: as for `OctaveAscent.grow`, but at the size of the finest octave, the last of `sizes`. growth:
    (1, 1, h, w), which part of `step`, the mean change of a pixel in one step, each position is to grow by. corners:
    where, at each octave, as `find_corners` returns them.
    """
    start = image + carried
    added = torch.zeros_like(start)
    for octave, (size, found) in enumerate(zip(sizes, corners, strict=True)):
        if not found:
            continue
        local = resize(growth, size).clamp_min(0)
        base = resize(start + added, size).clamp(0, 1)
        x = _ascend(ascent, base, found, step * local, shifts.draw(octave, iterations, (HALO, HALO)))
        added = added + resize(x - base, sizes[-1])
    return ascent.rule.add(image, carried + added) - image


def _ascend(
    ascent: OctaveAscent, image: Tensor, corners: Sequence[Corner], step: Tensor, shifts: Sequence[Corner]
) -> Tensor:
    """Take a step for each of the shifts, (down, right) from 0 to HALO."""
    x = image.clone()
    size = Size(x.shape[2], x.shape[3])
    moments = ascent.rule.moments()
    cores = [(slice(y, min(y + CORE, size[0])), slice(x_, min(x_ + CORE, size[1]))) for y, x_ in corners]
    for down, right in shifts:
        frames = [(_span(y + down, size, 0), _span(x_ + right, size, 1)) for y, x_ in corners]
        patches = torch.cat([x[:, :, rows, columns] for rows, columns in frames])
        steps = torch.cat([step[:, :, rows, columns] for rows, columns in frames])
        grown = ascent.rule(patches, ascent.gradient.of_batch(patches), steps, moments)
        for patch, (rows, columns), (core_rows, core_columns) in zip(grown, frames, cores, strict=True):
            x[0, :, core_rows, core_columns] = patch[
                :,
                core_rows.start - rows.start : core_rows.stop - rows.start,
                core_columns.start - columns.start : core_columns.stop - columns.start,
            ]
    return x


def _span(start: int, size: Size, axis: int) -> slice:
    """Return the rows or columns of a patch whose shifted core begins at `start`: inside the image, of one length."""
    side = _side(size, axis)
    first = max(0, min(start - HALO - HALO // 2, size[axis] - side))
    return slice(first, first + side)


def _side(size: Size, axis: int) -> int:
    return min(CORE + 2 * HALO, size[axis])
