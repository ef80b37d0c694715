"""The score of a dream: per-frame curves and the numbers that sum them up."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvid.metrics.residual_blocks import FLASH_FRAME_BLOCKS
from dreamvid.settings.size import Size

Curve = npt.NDArray[np.float64]

SCORE_VERSION = 4
"""Version of what the score measures and of its JSON: it rises whenever a name or a definition changes."""

# How many of the worst frames are named.
_WORST_FRAMES = 5

# The drift is measured after this time: the dream may grow at first.
SETTLING_SECONDS = 1.0
# Fewer frames than this make no quarters.
_LEAST_FRAMES = 4


@dataclass(frozen=True)
class WorstFrame:
    """A frame of the dream that looks wrong: its number (from 0), its time, and what is wrong with it.

    `flashing_blocks` and `noisy_blocks` are numbers of blocks of 8 × 8 pixels; `evenness` is in percent.
    """

    index: int
    time_seconds: float
    flashing_blocks: int
    noisy_blocks: int
    evenness: float


@dataclass(frozen=True, eq=False)
class Score:
    """What `score` found. Curves have one value a frame, (T,), NaN where there is none.

    Attributes:
        model, objective: what the strength was measured with.
        size: in pixels, at which everything but clipping and blocks was measured.
        times_seconds: when each frame is shown.
        dream_error, source_error: warping error × 1e4 of each video from the frame before to this one, over
            the pixels where the source's flow can be trusted; NaN on the first frame and at cuts. At rest where
            the source does not tell rest from its flow, and rest suits the dream better.
        valid_fraction: share of these pixels, 0 to 1.
        strength: objective of the dream over that of the source; NaN where the source's is not above 0.
        brightness, contrast, saturation: mean luma, standard deviation of luma, mean of highest minus lowest
            channel of the dream, 0 to 1; `source_brightness` … of the source.
        clipped: share of the dream's pixels with a channel at 0 or 255 (rounded to 8 bits) where the source
            has none, at the dream's own size.
        blocks: number of blocks of 8 × 8 pixels in the frame; the next five are over these, at the dream's own size,
            without optical flow (`residual_blocks` has the definitions).
        flashing_blocks: how many blocks have a hole for this one frame; NaN for the first and the last frame of a shot.
        judged_blocks: how many blocks could have flashed.
        noisy_blocks: how many blocks are fine, saturated grain.
        evenness: mean change of the blocks' strength since the frame before, in percent; 0 is perfectly even.
        compared_blocks: how many blocks the evenness is the mean of.
        cuts: frames (from 0) that begin a new shot.
        revealed_strength: strength of disoccluded regions divided by that of the rest at the same time, by the
            frames since they came into view, 0, 1, 2, …, 12: (13,). NaN for an age that did not occur.
        revealed_change: the change of the residual there from one frame to the next, divided by that of what
            moves as fast in the rest, (13,); NaN at age 0.
        revealed_share: share of all pixels that had this age, (13,).
    """

    model: str
    objective: str
    size: Size
    times_seconds: Curve
    dream_error: Curve
    source_error: Curve
    valid_fraction: Curve
    strength: Curve
    brightness: Curve
    contrast: Curve
    saturation: Curve
    source_brightness: Curve
    source_contrast: Curve
    source_saturation: Curve
    clipped: Curve
    blocks: Curve
    flashing_blocks: Curve
    judged_blocks: Curve
    noisy_blocks: Curve
    evenness: Curve
    compared_blocks: Curve
    cuts: tuple[int, ...]
    revealed_strength: Curve
    revealed_change: Curve
    revealed_share: Curve

    @property
    def frames(self) -> int:
        """How many frames were compared."""
        return len(self.times_seconds)

    @property
    def excess(self) -> Curve:
        """Warping error of the dream minus that of the source, × 1e4: the flicker that the dream adds."""
        return self.dream_error - self.source_error

    @property
    def mean_dream_error(self) -> float:
        """Mean warping error of the dream × 1e4."""
        return _mean(self.dream_error)

    @property
    def mean_source_error(self) -> float:
        """Mean warping error of the source × 1e4: its noise, its light, and errors of the flow."""
        return _mean(self.source_error)

    @property
    def mean_excess(self) -> float:
        """Mean excess × 1e4; 0 is as steady as the source."""
        return _mean(self.excess)

    @property
    def mean_strength(self) -> float:
        """Mean strength; 1 is no dream."""
        return _mean(self.strength)

    @property
    def mean_clipped(self) -> float:
        """Mean share of pixels that the dream clipped."""
        return _mean(self.clipped)

    @property
    def flashes(self) -> Curve:
        """Share of each frame's judged blocks that flash, in per mille."""
        return _per_mille(self.flashing_blocks, self.judged_blocks)

    @property
    def noise(self) -> Curve:
        """Share of each frame's blocks that are noisy, in per mille."""
        return _per_mille(self.noisy_blocks, self.blocks)

    @property
    def mean_flashes(self) -> float:
        """Share of all judged blocks that flash, in per mille; NaN if none was judged."""
        return float(_per_mille(np.nansum(self.flashing_blocks), self.judged_blocks.sum()))

    @property
    def flash_frames(self) -> int:
        """How many frames have more than 4 blocks that flash."""
        return int((self.flashing_blocks > FLASH_FRAME_BLOCKS).sum())

    @property
    def mean_noise(self) -> float:
        """Share of all blocks that are noisy, in per mille."""
        return float(_per_mille(self.noisy_blocks.sum(), self.blocks.sum()))

    @property
    def mean_evenness(self) -> float:
        """Mean change of a block's strength from frame to frame, in percent; NaN if no blocks were compared."""
        compared = float(self.compared_blocks.sum())
        return float(np.nansum(self.evenness * self.compared_blocks)) / compared if compared else math.nan

    @property
    def worst_frames(self) -> tuple[WorstFrame, ...]:
        """Name up to five frames, the worst first: those with the most flashing and noisy blocks, then the least even.

        Of neighboring frames only the worst is named.
        """
        faults = np.nan_to_num(self.flashing_blocks) + self.noisy_blocks
        uneven = np.nan_to_num(self.evenness)
        worst: list[int] = []
        for index in np.lexsort((-uneven, -faults)).tolist():
            wrong = faults[index] > 0 or uneven[index] > 0
            if wrong and len(worst) < _WORST_FRAMES and all(abs(index - other) > 1 for other in worst):
                worst.append(index)
        return tuple(
            WorstFrame(
                index,
                time_seconds=float(self.times_seconds[index]),
                flashing_blocks=int(np.nan_to_num(self.flashing_blocks[index])),
                noisy_blocks=int(self.noisy_blocks[index]),
                evenness=float(self.evenness[index]),
            )
            for index in worst
        )

    @property
    def drift(self) -> dict[str, float]:
        """Relative change from the first to the last quarter of the frames after the first second.

        strength: last / first − 1. brightness, contrast and saturation: the change of dream − source relative
        to the dream's first quarter, so that a change of the source is not a drift. NaN in a video of fewer
        than four frames after the first second.
        """
        settled = np.flatnonzero(self.times_seconds - self.times_seconds[0] >= SETTLING_SECONDS)
        changes = {}
        for name in ("brightness", "contrast", "saturation", "strength"):
            dream: Curve = getattr(self, name)
            source: Curve = np.zeros_like(dream) if name == "strength" else getattr(self, f"source_{name}")
            if len(settled) < _LEAST_FRAMES:
                changes[name] = math.nan
                continue
            quarter = math.ceil(len(settled) / 4)
            first, last = settled[:quarter], settled[-quarter:]
            start = _mean(dream[first])
            change = _mean((dream - source)[last]) - _mean((dream - source)[first])
            changes[name] = change / start if start > 0 else math.nan
        return changes

    def summary(self) -> dict[str, Any]:
        """The numbers, by name, without the curves."""
        return {
            "version": SCORE_VERSION,
            "model": self.model,
            "objective": self.objective,
            "size": [self.size.width, self.size.height],
            "frames": self.frames,
            "dream_error": self.mean_dream_error,
            "source_error": self.mean_source_error,
            "excess": self.mean_excess,
            "valid_fraction": _mean(self.valid_fraction),
            "strength": self.mean_strength,
            "drift": self.drift,
            "clipped": self.mean_clipped,
            "flashes": self.mean_flashes,
            "flash_frames": self.flash_frames,
            "noise": self.mean_noise,
            "evenness": self.mean_evenness,
            "worst_frames": [asdict(frame) for frame in self.worst_frames],
            "cuts": list(self.cuts),
            "revealed_strength": self.revealed_strength.tolist(),
            "revealed_change": self.revealed_change.tolist(),
            "revealed_share": self.revealed_share.tolist(),
        }

    def curves(self) -> dict[str, Curve]:
        """The per-frame curves by name, each (T,)."""
        names = (
            *("times_seconds", "dream_error", "source_error", "excess", "valid_fraction", "strength"),
            *("brightness", "contrast", "saturation"),
            *("source_brightness", "source_contrast", "source_saturation", "clipped"),
            *("flashing_blocks", "flashes", "noise", "evenness"),
        )
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> str:
        """Write as JSON: the summary's names, and the curves under "curves"; NaN becomes null."""
        curves = {name: curve.tolist() for name, curve in self.curves().items()}
        return json.dumps(_finite({**self.summary(), "curves": curves}), indent=2, allow_nan=False)


def _per_mille(parts: Curve | float, wholes: Curve | float) -> Curve:
    """Divide; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(wholes) > 0, 1000 * np.asarray(parts) / np.asarray(wholes), np.nan)


def _mean(values: Curve | Sequence[float]) -> float:
    """Mean of the finite values, NaN if there are none."""
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if len(finite) else math.nan


def _finite(value: Any) -> Any:
    """Put None in place of every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
