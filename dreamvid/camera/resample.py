"""Resamples an image so precisely that it is still sharp after a hundred passes.

Bicubic sampling takes the detail away within a few dozen passes, and kernels that are sharper on paper push some
frequencies up with each pass. So the image is doubled first, with a windowed sinc whose response never exceeds 1,
and the double is sampled with cubic B-splines (Unser 1999), prefilter included, of whose band it fills only the flat
half.
"""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import sample

# Standard deviation of the sinc's Gaussian window, in samples, and where it is cut off: a wider one keeps more detail
# and rings further. The response is an error function: monotone, so no frequency can grow from pass to pass.
_WINDOW_SIGMA = 3.0
_WINDOW_REACH = 3.0
_POLE = math.sqrt(3.0) - 2.0  # of the cubic B-spline's prefilter
_PREFILTER_REACH = 9  # 0.27^9 < 1e-5
_BORDER = 2  # pixels around the image that samples on its edge need
_LARGEST_SHRINK = 4.0


def resample(image: Tensor, positions: Tensor, *, shrink: float = 1.0) -> Tensor:
    """Sample (N, C, H, W) at `positions` (1, 2, h, w): x then y, in pixels, 0 at the center of the first pixel.

    shrink: how many pixels of the image fall on one pixel of the result, if more than one; finer detail is filtered
    out first (anti-aliasing). Positions outside take the nearest border pixel. The result may overshoot
    the image's range a little at hard edges.
    """
    # Halving first keeps the filter short: its length grows with `shrink`.
    while shrink > _LARGEST_SHRINK and min(image.shape[2:]) > 1:
        image = F.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)
        positions, shrink = (positions - 0.5) / 2, shrink / 2
    double = _double(image, min(max(1.0, shrink), _LARGEST_SHRINK))
    height, width = image.shape[2:]
    across, down = positions.unbind(1)
    x, y = 2 * (across.clamp(-0.5, width - 0.5) + _BORDER), 2 * (down.clamp(-0.5, height - 0.5) + _BORDER)
    total = torch.zeros((), dtype=image.dtype, device=image.device)
    # A cubic B-spline is the sum of four bilinear samples (Sigg & Hadwiger 2005, GPU Gems 2, chapter 20).
    for weight_y, at_y in _pairs(y):
        for weight_x, at_x in _pairs(x):
            part = sample(double, torch.stack((at_x, at_y), dim=1), mode="bilinear")
            total = total + (weight_x * weight_y)[:, None] * part
    return total


def _pairs(at: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Compute weights and positions of the two linear samples that make up four taps of a cubic B-spline."""
    start = at.floor()
    t = at - start
    first, last = (1 - t) ** 3 / 6, t**3 / 6
    second = (4 - 6 * t**2 + 3 * t**3) / 6
    third = 1 - first - second - last
    left, right = first + second, third + last
    return (left, start - 1 + second / left), (right, start + 1 + last / right)


def _double(image: Tensor, shrink: float) -> Tensor:
    """Compute B-spline coefficients of the doubled image with a border: pixel x of the image is at 2 (x + _BORDER)."""
    n, c, height, width = image.shape
    phases = torch.tensor(_phases(round(shrink, 4)), dtype=image.dtype, device=image.device)
    reach = phases.shape[1] // 2
    height, width = height + 2 * _BORDER, width + 2 * _BORDER
    x = F.pad(image.reshape(n * c, 1, *image.shape[2:]), (reach + _BORDER,) * 4, mode="replicate")
    x = F.conv2d(x, phases[:, None, None, :])
    x = x.permute(0, 2, 3, 1).reshape(n * c, 1, height + 2 * reach, 2 * width)
    x = F.conv2d(x, phases[:, None, :, None])
    return x.permute(0, 2, 1, 3).reshape(n, c, 2 * height, 2 * width)


@functools.lru_cache(maxsize=64)
def _phases(shrink: float) -> tuple[tuple[float, ...], ...]:
    """Compute two filters on the image's own grid: for the doubled samples at a pixel and half a pixel after it."""
    half = math.ceil(2 * _WINDOW_REACH * _WINDOW_SIGMA * shrink)
    half += half % 2
    t = np.arange(-half, half + 1) / (2 * shrink)
    sinc = np.sinc(t) * np.exp(-0.5 * (t / _WINDOW_SIGMA) ** 2)
    for phase in (0, 1):
        sinc[phase::2] /= sinc[phase::2].sum()
    prefilter = _POLE ** np.abs(np.arange(-_PREFILTER_REACH, _PREFILTER_REACH + 1))
    whole = np.convolve(sinc, prefilter / prefilter.sum())
    center = half + _PREFILTER_REACH
    reach = (center + 1) // 2
    padded = np.pad(whole, 2 * reach - center + 1)
    middle = 2 * reach + 1
    offsets = 2 * np.arange(-reach, reach + 1)
    return tuple(tuple(float(v) for v in padded[middle + phase - offsets]) for phase in (0, 1))
