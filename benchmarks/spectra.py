"""Look at what a dream adds in other ways than the score: spectra, slices over time, and the excess by another flow."""

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvid.image.io import write_image
from dreamvid.image.tensors import to_tensor
from dreamvid.metrics.score import read_pairs
from dreamvid.metrics.temporal import judging_flow, warping_error
from dreamvid.motion.occlusion import occlusion_mask

Pixels = npt.NDArray[np.uint8]

SHOWN = (0, 5, 20, 60)
"""Frames whose spectra are shown."""
BANDS = tuple(pairwise((2, 4, 8, 16, 32, 64, 96, 192)))
"""Wavelengths in pixels, from and to."""
_AT_ONCE = 16  # frames that are held in memory


def spectrum(source: Pixels, dream: Pixels) -> list[float]:
    """Measure the RMS of dream minus source in levels of 255, for each band of wavelengths, in any direction."""
    residual = dream.astype(np.float64) - source
    height, width = residual.shape[:2]
    window = np.hanning(height)[:, None] * np.hanning(width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    power = np.zeros((height, width))
    for channel in np.moveaxis(residual, 2, 0):
        power += np.abs(np.fft.fft2((channel - channel.mean()) * window)) ** 2 / 3
    power /= np.square(window).sum() * window.size
    return [float(np.sqrt(power[(frequency > 1 / high) & (frequency <= 1 / low)].sum())) for low, high in BANDS]


def farneback_excess(source: Path, dream: Path, cuts: Collection[int]) -> float:
    """Measure the excess as `dreamvid score` does, but with Farneback's flow of the source, at full size."""
    found: list[float] = []
    previous: tuple[Pixels, Pixels] | None = None
    start = 0
    while pairs := read_pairs(source, dream, range(start, start + _AT_ONCE)):
        for index, pair in sorted(pairs.items()):
            if previous is not None and index not in cuts:
                flow, reverse = _farneback(pair[0], previous[0]), _farneback(previous[0], pair[0])
                mask = occlusion_mask(flow, reverse)
                sources, dreams = (
                    (to_tensor(this), to_tensor(before)) for this, before in zip(pair, previous, strict=True)
                )
                along = judging_flow(flow, sources, dreams)
                errors = [warping_error(*images, along, mask) for images in (sources, dreams)]
                found.append(errors[1] - errors[0])
            previous = pair
        start += _AT_ONCE
    return float(np.nanmean(found))


def _farneback(this: Pixels, previous: Pixels) -> Tensor:
    """Estimate the backward flow (1, 2, H, W) by polynomial expansion (Farnebäck 2003), OpenCV's."""
    gray = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in (this, previous)]
    flow = cv2.calcOpticalFlowFarneback(gray[0], gray[1], None, 0.5, 4, 21, 3, 7, 1.5, 0)  # type: ignore[call-overload]
    return torch.from_numpy(np.moveaxis(flow, 2, 0).copy())[None]


def write_slices(source: Path, dream: Path, frames: int, path: Path) -> None:
    """Write the middle row of all frames, one below the other: the source above, the dream below."""
    pairs = read_pairs(source, dream, range(frames))
    rows = [
        np.stack([pairs[index][which][len(pairs[index][which]) // 2] for index in sorted(pairs)]) for which in (0, 1)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.repeat(np.concatenate(rows), 3, axis=0))
