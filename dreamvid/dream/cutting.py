"""Cut square patches out of an image, and write their cores back: by slices on a CPU, by indices on a GPU.

Each slice is an operation, and a GPU computes a patch faster than operations are launched. By indices all patches are
cut by one operation and written back by two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamvid.image.tensors import send
from dreamvid.settings.size import Size

# A place's row and column.
Place = tuple[int, int]
# The most channels that are cut: an image has three, a map one.
_MOST_CHANNELS = 3


@dataclass(frozen=True)
class Layout:
    """Where patches lie in an image, and their cores, which are written back; both move from step to step.

    size: that of the image. corners: the first row and column of each core before it moves. core: its height and width.
    halo: pixels of a patch around its core. moves: by how many rows and columns patches and cores move, for each step;
    at most by as many as `halo`. Patches stay inside of the image, whose border cuts them and cores off. A core at the
    border stays in touch with it. Where cores overlap, the last one counts.
    """

    size: Size
    corners: Sequence[Place]
    core: int
    halo: int
    moves: Sequence[Place]

    @property
    def side(self) -> Size:
        """Height and width of the patches."""
        return patch_side(self.size, self.core, self.halo)

    @property
    def starts(self) -> list[list[Place]]:
        """For each step the first row and column of each patch."""
        last_row, last_column = (length - side for length, side in zip(self.size, self.side, strict=True))
        return [
            [
                (
                    max(0, min(row + down - self.halo, last_row)),
                    max(0, min(column + right - self.halo, last_column)),
                )
                for row, column in self.corners
            ]
            for down, right in self.moves
        ]


def patch_side(size: Size, core: int, halo: int) -> Size:
    """Return height and width of a patch in an image of some size."""
    return Size(min(core + 2 * halo, size.height), min(core + 2 * halo, size.width))


class SlicedPatches:
    """Patches of an image (1, C, h, w), cut and pasted one by one."""

    def __init__(self, layout: Layout) -> None:
        self._starts, self._side = layout.starts, layout.side
        height, width = layout.size
        self._cores = [
            [
                (_moved(row, layout.core, down, height), _moved(column, layout.core, right, width))
                for row, column in layout.corners
            ]
            for down, right in layout.moves
        ]

    def cut(self, x: Tensor, step: int) -> Tensor:
        """Cut the patches of a step out of an image: (N, C, *side)."""
        height, width = self._side
        return torch.cat([x[:, :, row : row + height, column : column + width] for row, column in self._starts[step]])

    def paste(self, x: Tensor, patches: Tensor, step: int) -> Tensor:
        """Return the image with the cores of the patches (N, C, *side) of a step."""
        x = x.clone()
        for patch, (row, column), (rows, columns) in zip(patches, self._starts[step], self._cores[step], strict=True):
            x[0, :, rows, columns] = patch[
                :, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column
            ]
        return x


def _moved(first: int, length: int, by: int, size: int) -> slice:
    """Move a range along an axis of some size; an end that is at the border stays there."""
    return slice(max(0, first + by) if first else 0, min(first + length + by, size) if first + length < size else size)


class IndexedPatches:
    """Do the same as `SlicedPatches` by indices, which are sent to the device once, for all steps.

    Corners have to be multiples of `cell`, which divides the length of a core.
    """

    def __init__(self, layout: Layout, *, cell: int, device: torch.device) -> None:
        size, side, core, moves, starts = layout.size, layout.side, layout.core, layout.moves, layout.starts
        owners = np.full((-(-size.height // cell), -(-size.width // cell)), -1)
        for number, (row, column) in enumerate(layout.corners):
            owners[row // cell : (row + core) // cell, column // cell : (column + core) // cell] = number
        numbers = np.concatenate([owners.ravel(), np.asarray(starts).ravel(), np.asarray(moves).ravel()])
        sent = send(torch.from_numpy(numbers), device)
        firsts = sent[owners.size : -2 * len(moves)].view(len(starts), -1, 2)
        rows, columns = (torch.arange(length, device=device) for length in size)
        moved_rows, moved_columns = (
            (places - by[:, None]).clamp(0, length - 1) // cell
            for places, by, length in zip(
                (rows, columns), sent[-2 * len(moves) :].view(-1, 2).unbind(-1), size, strict=True
            )
        )
        # For each step and pixel.
        owner = sent[: owners.size].view(owners.shape)[moved_rows[:, :, None], moved_columns[:, None]]
        self._owned, owner = owner >= 0, owner.clamp_min(0)
        # Of each pixel: where it is among the pixels of all patches.
        steps = torch.arange(len(starts), device=device)[:, None, None]
        first_rows, first_columns = firsts[steps, owner].unbind(-1)
        sources = (owner * side.height + rows[:, None] - first_rows) * side.width + columns - first_columns
        self._sources = sources.where(self._owned, 0)  # outside of the cores there is nothing to look up
        within = (torch.arange(length, device=device) for length in side)
        self._rows, self._columns = (firsts[:, :, axis, None] + offsets for axis, offsets in enumerate(within))
        self._channels = torch.arange(_MOST_CHANNELS, device=device)

    def cut(self, x: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.cut`; contiguous, so that a recorded step sees one layout for any number of patches."""
        channels = self._channels[: x.shape[1], None, None]
        return x[0, channels, self._rows[step, :, None, :, None], self._columns[step, :, None, None]]

    def paste(self, x: Tensor, patches: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.paste`."""
        return torch.where(self._owned[step], patches.transpose(0, 1).flatten(1)[:, self._sources[step]], x)
