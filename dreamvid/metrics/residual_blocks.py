"""Measure flashes, noise and evenness of a dream on blocks of what it adds, without optical flow.

The warping error leaves out the regions whose flow cannot be trusted, and there a dream is most often wrong. These
three measures cover the whole frame. With r = dream − source (values 0 to 1) at the dream's own size, in blocks of
8 × 8 pixels:

- R, the strength of a block, is the RMS of r over its pixels and channels. A block with R above 0.02 is alive.
- D, its fine detail, is the RMS of r less the mean of r over 3 × 3 pixels.
- A block **flashes** at frame t when R(t) < 0.45 · min(R(t − 1), R(t + 1)) and both neighbors are alive: a hole that is
  there for one frame only. A frame is judged when neither it nor the next one begins a new shot.
- A block is **noisy** when D > 0.1 and D > 3 · the median of D over all alive blocks of the video: confetti, fine
  saturated grain.
- **Evenness** is the mean of |R(t) − R(t − 1)| / R(t − 1) over the blocks that are alive in both frames of one shot.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.settings.size import Size

_Image = npt.NDArray[np.float32]
_Blocks = npt.NDArray[np.float64]

BLOCK = 8
"""Side of a block in pixels."""
FLASH_FRAME_BLOCKS = 4
"""A frame with more flashing blocks than this counts as a frame that flashes."""

_ALIVE = 0.02
_HOLE = 0.45
_NOISE, _NOISE_OVER_MEDIAN = 0.1, 3
_CUT = 0.12  # mean change of the source's pixels
_BINS = 1 << 16  # of the histogram of D, per unit: its median is right to 1/65536


@dataclass(frozen=True, eq=False)
class BlockCurves:
    """Values of each frame, (T,): numbers of blocks, and `evenness`, the mean of `compared_blocks` blocks, in percent.

    `flashing_blocks` are out of `judged_blocks` and NaN where no frame is before or after in the same shot. `evenness`
    is NaN where no blocks are compared.
    """

    blocks: npt.NDArray[np.float64]
    flashing_blocks: npt.NDArray[np.float64]
    judged_blocks: npt.NDArray[np.float64]
    noisy_blocks: npt.NDArray[np.float64]
    evenness: npt.NDArray[np.float64]
    compared_blocks: npt.NDArray[np.float64]


@dataclass
class _Frame:
    """Keep the values of a frame for the curves, and D of the blocks that may be noise."""

    blocks: int
    flashing: float = np.nan
    judged: float = 0
    evenness: float = np.nan
    compared: float = 0
    fine: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))


class ResidualBlocks:
    """Take in the frames of a source and its dream; only the strengths of the last two frames are kept as images."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._source: _Image | None = None
        self._strengths: list[_Blocks] = []  # of the last two frames of this shot
        self._histogram = np.zeros(2 * _BINS, np.int64)

    def add(self, source: _Image, dream: _Image, *, cut: bool = False) -> None:
        """Take in a frame, both (H, W, 3) in [0, 1]; the source is brought to the dream's size.

        cut: it begins a new shot. A mean change of the source's pixels above 0.12 is a cut too.
        """
        source = _at_size(source, Size(dream.shape[0], dream.shape[1]))
        previous, self._source = self._source, source
        if cut or previous is None or previous.shape != source.shape or _change(source, previous) > _CUT:
            self._strengths = []
        residual = dream - source
        strength = _block_rms(residual)
        fine = _block_rms(residual - cv2.blur(residual, (3, 3)))
        alive = strength > _ALIVE
        bins = (fine[alive] * _BINS).astype(np.int64).clip(max=len(self._histogram) - 1)
        self._histogram += np.bincount(bins, minlength=len(self._histogram))
        this = _Frame(strength.size, fine=fine[fine > _NOISE].astype(np.float32))
        if self._strengths:
            before = self._strengths[-1]
            kept = alive & (before > _ALIVE)
            this.compared = int(kept.sum())
            if kept.any():
                this.evenness = float(100 * (np.abs(strength - before)[kept] / before[kept]).mean())
        if len(self._strengths) == 2:
            first, middle = self._strengths
            judged = alive & (first > _ALIVE)
            holes = judged & (middle < _HOLE * np.minimum(first, strength))
            self._frames[-1].judged, self._frames[-1].flashing = int(judged.sum()), int(holes.sum())
        self._strengths = [*self._strengths[-1:], strength]
        self._frames.append(this)

    def curves(self) -> BlockCurves:
        """Sum up: noise is relative to the median over all frames."""
        limit = max(_NOISE, _NOISE_OVER_MEDIAN * self._median())
        return BlockCurves(
            blocks=np.array([frame.blocks for frame in self._frames], np.float64),
            flashing_blocks=np.array([frame.flashing for frame in self._frames], np.float64),
            judged_blocks=np.array([frame.judged for frame in self._frames], np.float64),
            noisy_blocks=np.array([(frame.fine > limit).sum() for frame in self._frames], np.float64),
            evenness=np.array([frame.evenness for frame in self._frames], np.float64),
            compared_blocks=np.array([frame.compared for frame in self._frames], np.float64),
        )

    def _median(self) -> float:
        count = int(self._histogram.sum())
        return (int(np.searchsorted(self._histogram.cumsum(), count / 2)) + 0.5) / _BINS if count else 0.0


def _change(this: _Image, previous: _Image) -> float:
    return float(np.abs(this - previous).mean())


def _block_rms(image: _Image) -> _Blocks:
    """Root mean square of (H, W, 3) over whole blocks and channels: (H / 8, W / 8), rounded down."""
    height, width = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    inner = image[: height * BLOCK, : width * BLOCK].astype(np.float64)
    return np.asarray(np.sqrt((inner**2).reshape(height, BLOCK, width, BLOCK, 3).mean(axis=(1, 3, 4))))


def _at_size(image: _Image, size: Size) -> _Image:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA), dtype=np.float32)
