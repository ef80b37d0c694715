"""Cut square patches out of an image, and write their cores back: by slices on a CPU, by indices on a GPU.

Each slice is an operation, and a GPU computes a patch faster than operations are launched. By indices all patches are
cut by one operation and written back by two.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dreamvid.image.tensors import send
from dreamvid.settings.size import Size

# A place's row and column.
Place = tuple[int, int]


class SlicedPatches:
    """Patches of an image (1, C, h, w), and the cores that are written back; both move from step to step.

    starts: for each step the first row and column of each patch. side: height and width of the patches. corners: the
    first row and column of each core before it moves. core: its height and width. moves: by how many rows and columns
    the cores move, for each step. A core at the border of the image stays in touch with it, and lies inside of its
    patch. Where cores overlap, the last one counts.
    """

    def __init__(
        self,
        size: Size,
        starts: Sequence[Sequence[Place]],
        side: Size,
        corners: Sequence[Place],
        core: int,
        moves: Sequence[Place],
    ) -> None:
        self._starts, self._side = starts, side
        self._cores = [
            [(_moved(row, core, down, size.height), _moved(column, core, right, size.width)) for row, column in corners]
            for down, right in moves
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

    Corners have to be multiples of `cell`, which divides `core`.
    """

    def __init__(
        self,
        size: Size,
        starts: Sequence[Sequence[Place]],
        side: Size,
        corners: Sequence[Place],
        core: int,
        moves: Sequence[Place],
        *,
        cell: int,
        device: torch.device,
    ) -> None:
        owners = np.full((-(-size.height // cell), -(-size.width // cell)), -1)
        for number, (row, column) in enumerate(corners):
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

    def cut(self, x: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.cut`."""
        return x[0, :, self._rows[step, :, :, None], self._columns[step, :, None]].transpose(0, 1)

    def paste(self, x: Tensor, patches: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.paste`."""
        return torch.where(self._owned[step], patches.transpose(0, 1).flatten(1)[:, self._sources[step]], x)
