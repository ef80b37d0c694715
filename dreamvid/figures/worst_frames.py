"""Show the worst frames of a scored dream, each with its neighbors: the source above, the dream below."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.errors import InputError
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.image.io import write_image
from dreamvid.metrics.report import Score, WorstFrame
from dreamvid.metrics.score import read_pairs
from dreamvid.settings.size import Size

_Pixels = npt.NDArray[np.uint8]

# Wide enough to see a block of 8 pixels in a frame of 720 lines.
_CELL_WIDTH = 640


def plot_worst_frames(
    score: Score, source: str | Path, dream: str | Path, path: str | Path, *, frames: str | None = None
) -> None:
    """Write the worst frames of two videos that were scored as an image to `path`.

    frames: range of the source's frames that the dream shows, as it was given to `score`. Raises InputError for a score
    without a worst frame, which is that of a copy, OutputError when the image cannot be written.
    """
    indices = {index + step for index in (frame.index for frame in score.worst_frames) for step in (-1, 0, 1)}
    write_image(path, worst_frames_sheet(score, read_pairs(source, dream, indices, frames=frames)))


def worst_frames_sheet(score: Score, pairs: Mapping[int, tuple[_Pixels, _Pixels]]) -> _Pixels:
    """Lay out the worst frames: for each a row of the source and below it a row of the dream, at t − 1, t and t + 1.

    pairs: frames of the source and the dream by number, uint8 RGB (H, W, 3); a missing one is left gray. Raises
    InputError when the score names no frame.
    """
    cells = []
    for worst in score.worst_frames:
        for row in (0, 1):
            for index in (worst.index - 1, worst.index, worst.index + 1):
                if index in pairs:
                    image, label = pairs[index][row], f"frame {index}"
                else:
                    image, label = np.full_like(pairs[worst.index][row], 64), "no frame"
                if index == worst.index:
                    label += f" at {worst.time_seconds:.2f} s"
                label += ", source" if row == 0 else ", dream"
                if index == worst.index and row == 1:
                    label += f": {fault(worst)}"
                cells.append((_shrunk(image, pairs[worst.index][1]), label))
    if not cells:
        raise InputError("The score names no frame: the dream changes nothing, or it has fewer than two frames.")
    return contact_sheet(cells, columns=3)


def fault(frame: WorstFrame) -> str:
    """Say what is wrong with a frame."""
    counts = [
        f"{count} {'block' if count == 1 else 'blocks'} {state}"
        for count, state in ((frame.flashing_blocks, "flashing"), (frame.noisy_blocks, "noisy"))
        if count
    ]
    return ", ".join([*counts, f"evenness {frame.evenness:.1f}%"] if np.isfinite(frame.evenness) else counts)


def _shrunk(image: _Pixels, dream: _Pixels) -> _Pixels:
    """Bring a frame to the dream's size, or to 640 pixels in width where that is wider."""
    width = min(_CELL_WIDTH, dream.shape[1])
    size = Size(max(1, round(dream.shape[0] * width / dream.shape[1])), width)
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
