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
    """Patches of an image (1, C, h, w), which differ from step to step, and their cores, which stay where they are.

    starts: for each step the first row and column of each patch. side: height and width of the patches. corners: the
    first row and column of each core. core: its height and width, cut off at the border of the image; a core lies
    inside of its patch. Where cores overlap, the last one counts.
    """

    def __init__(
        self, size: Size, starts: Sequence[Sequence[Place]], side: Size, corners: Sequence[Place], core: int
    ) -> None:
        self._starts, self._side = starts, side
        self._cores = [
            (slice(row, min(row + core, size.height)), slice(column, min(column + core, size.width)))
            for row, column in corners
        ]

    def cut(self, x: Tensor, step: int) -> Tensor:
        """Cut the patches of a step out of an image: (N, C, *side)."""
        height, width = self._side
        return torch.cat([x[:, :, row : row + height, column : column + width] for row, column in self._starts[step]])

    def paste(self, x: Tensor, patches: Tensor, step: int) -> Tensor:
        """Return the image with the cores of the patches (N, C, *side) of a step."""
        x = x.clone()
        for patch, (row, column), (rows, columns) in zip(patches, self._starts[step], self._cores, strict=True):
            x[0, :, rows, columns] = patch[
                :, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column
            ]
        return x


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
        *,
        cell: int,
        device: torch.device,
    ) -> None:
        owners = np.full((-(-size.height // cell), -(-size.width // cell)), -1)
        for number, (row, column) in enumerate(corners):
            owners[row // cell : (row + core) // cell, column // cell : (column + core) // cell] = number
        sent = send(torch.from_numpy(np.concatenate([owners.ravel(), np.asarray(starts).ravel()])), device)
        firsts = sent[owners.size :].view(len(starts), -1, 2)
        rows, columns = (torch.arange(length, device=device) for length in size)
        owner = sent[: owners.size].view(owners.shape)[rows[:, None] // cell, columns // cell]
        self._owned, owner = owner >= 0, owner.clamp_min(0)
        # Of each pixel: where it is among the pixels of all patches.
        first_rows, first_columns = firsts[:, owner].unbind(-1)
        sources = (owner * side.height + rows[:, None] - first_rows) * side.width + columns - first_columns
        self._sources = sources.where(self._owned, 0)  # outside of the cores there is nothing to look up
        within = (torch.arange(length, device=device) for length in side)
        self._rows, self._columns = (firsts[:, :, axis, None] + offsets for axis, offsets in enumerate(within))

    def cut(self, x: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.cut`."""
        return x[0, :, self._rows[step, :, :, None], self._columns[step, :, None]].transpose(0, 1)

    def paste(self, x: Tensor, patches: Tensor, step: int) -> Tensor:
        """Do as `SlicedPatches.paste`."""
        return torch.where(self._owned, patches.transpose(0, 1).flatten(1)[:, self._sources[step]], x)
