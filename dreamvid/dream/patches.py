"""Gradient ascent on a part of an image: square patches in one batch, where the rest is dreamed already.

Each step cuts the patches out of the current image, with a halo, and writes their cores back, so that patches that
touch see what the other has grown. Both move by a random shift from step to step, as whole images do.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dreamvid.dream.cutting import IndexedPatches, Layout, Place, SlicedPatches, patch_side
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.image.tensors import cell_means, resize
from dreamvid.settings.size import Size

# Sides in pixels, at each octave: of the cells that are examined, of a patch's core, and of the halo around it that the
# network sees too. From step to step patches and cores move, by up to half of SHIFT in each direction: so the network
# finds other things there, and no seam shows where cores touch.
CELL, CORE, HALO, SHIFT = 32, 64, 8, 16

# The part of a dream that has to be missing in a cell, on average, for the cell to get steps of its own.
MISSING = 0.25
# With patches, all steps together have to cost less than this part of what they cost on the whole image, where they
# serve everything.
CHEAPER = 0.7


def find_corners(growth: Tensor, sizes: Sequence[Size], other: Tensor) -> tuple[list[list[Place]], float]:
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


def _cover_cells(cells: np.ndarray) -> list[Place]:
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


def cover(growth: Tensor, corners: Sequence[Place]) -> Tensor:
    """Mark where `grow_patches` grows what a map (1, 1, h, w) asks for at the finest octave: 1 there, 0 elsewhere.

    corners: those of the finest octave.
    """
    covered = torch.zeros_like(growth)
    for row, column in corners:
        covered[:, :, row : row + CORE, column : column + CORE] = 1
    return covered


def patches_pay(
    corners: Sequence[Sequence[Place]],
    sizes: Sequence[Size],
    *,
    own: int,
    own_coarser: int,
    finest: int,
    coarser: int,
) -> bool:
    """Tell if steps on patches, and what the whole image takes anyway, cost much less than `own` steps on it.

    corners: those of each of the octaves. own, own_coarser: the steps on patches, at the finest octave and below it.
    finest, coarser: the steps that the whole image takes anyway.
    """
    patches = sum(
        (own if size == sizes[-1] else own_coarser) * len(found) * math.prod(patch_side(size, CORE, HALO))
        for found, size in zip(corners, sizes, strict=True)
    )
    anyway = sum((finest if size == sizes[-1] else coarser) * size[0] * size[1] for size in sizes)
    return patches + anyway <= CHEAPER * own * sum(height * width for height, width in sizes)


def grow_patches(
    ascent: OctaveAscent,
    image: Tensor,
    carried: Tensor,
    sizes: Sequence[Size],
    growth: Tensor,
    corners: Sequence[Sequence[Place]],
    *,
    iterations: int,
    coarser_iterations: int,
    whole: float,
    shifts: Shifts,
) -> Tensor:
    """Grow a dream where a map asks for it; return the residual of the whole, (1, 3, h, w).

    image, carried: as for `OctaveAscent.grow`, but at the size of the finest octave, the last of `sizes`. growth:
    (1, 1, h, w), which part of `whole`, the mean change of a pixel by all steps of an octave, each position is to grow
    by. corners: where, at each octave, as `find_corners` returns them. iterations, coarser_iterations: the steps of the
    finest octave, and of those below it.
    """
    start = image + carried
    added = torch.zeros_like(start)
    for octave, (size, found) in enumerate(zip(sizes, corners, strict=True)):
        if not found:
            continue
        local = resize(growth, size).clamp_min(0)
        base = resize(start + added, size).clamp(0, 1)
        steps = iterations if size == sizes[-1] else coarser_iterations
        x = _ascend(ascent, base, found, whole / steps * local, shifts.draw(octave, steps, (SHIFT, SHIFT)))
        added = added + resize(x - base, sizes[-1])
    return ascent.rule.add(image, carried + added) - image


def _ascend(
    ascent: OctaveAscent, image: Tensor, corners: Sequence[Place], step: Tensor, shifts: Sequence[Place]
) -> Tensor:
    """Take a step for each of the shifts, (down, right) from 0 to SHIFT."""
    x, size = image, Size(image.shape[2], image.shape[3])
    moments = ascent.rule.moments()
    moves = [(down - SHIFT // 2, right - SHIFT // 2) for down, right in shifts]
    layout = Layout(size, corners, CORE, HALO, moves)
    patches = IndexedPatches(layout, cell=CELL, device=image.device) if image.is_cuda else SlicedPatches(layout)
    for number in range(len(shifts)):
        cut = patches.cut(x, number)
        grown = ascent.update(cut, ascent.gradient.of_batch(cut), patches.cut(step, number), moments)
        x = patches.paste(x, grown, number)
    return x
