"""Normalizes a gradient by its Laplacian pyramid, so that every scale has the same weight.

After the `lap_normalize` of the TensorFlow DeepDream notebook (2015): a 5-tap binomial kernel, zero borders, and
as many samples after a reduction as with TensorFlow's SAME padding, ceil(n / 2).
"""

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.planes import Plane, each_plane, is_plain
from dreamvid.image.tensors import image_mean

_TINY = 1e-10  # RMS below which a level is numerical noise
# OpenCV filters planes one by one, and few of them in less time than PyTorch's operators take.
_FEW_IMAGES = 4
_KERNEL = np.array([1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16], np.float32)


def reduce(x: Tensor) -> Tensor:
    """Blur and halve: (N, C, H, W) → (N, C, ceil(H/2), ceil(W/2))."""
    if not _by_opencv(x):
        return _halve(_halve(x, 2), 3)
    height, width = x.shape[2:]

    def halve(plane: Plane, result: Plane) -> None:
        blurred = cv2.sepFilter2D(plane, -1, _KERNEL, _KERNEL, borderType=cv2.BORDER_CONSTANT)
        result[...] = blurred[_samples(height), _samples(width)]

    return each_plane(x, (-(-height // 2), -(-width // 2)), halve)


def expand(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Double and blur, the transpose of `reduce` with unit gain: (N, C, h, w) → (N, C, H, W) for size (H, W)."""
    if not _by_opencv(x):
        return _double(_double(x, 2, size[0]), 3, size[1])
    spread, kernel = np.zeros(size, np.float32), _KERNEL + _KERNEL

    def double(plane: Plane, result: Plane) -> None:
        spread[_samples(size[0]), _samples(size[1])] = plane
        cv2.sepFilter2D(spread, -1, kernel, kernel, dst=result, borderType=cv2.BORDER_CONSTANT)

    return each_plane(x, size, double)


def _by_opencv(x: Tensor) -> bool:
    return is_plain(x) and len(x) <= _FEW_IMAGES


def _samples(length: int) -> slice:
    """Of an even axis the odd places are kept, of an odd axis the even ones: SAME padding."""
    return slice(1 - length % 2, None, 2)


# Along one axis the binomial filter is a few sums of slices, which is several times faster than a convolution of
# three channels. SAME padding puts 1 zero in front of an even axis and 2 in front of an odd one.


def _halve(x: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    half = -(-size // 2)
    padded = _pad(x, axis, 1 + size % 2, 2)
    taps = [_slice(padded, axis, tap, tap + 2 * half - 1, 2) for tap in range(5)]
    # (1, 4, 6, 4, 1) / 16
    return (taps[1] + taps[3]).mul_(4).add_(taps[0]).add_(taps[4]).add_(taps[2], alpha=6).mul_(1 / 16)


def _double(x: Tensor, axis: int, size: int) -> Tensor:
    half, odd = x.shape[axis], size % 2
    padded = _pad(x, axis, 1, 1)
    neighbors = _slice(padded, axis, 0, half + 1) + _slice(padded, axis, 1, half + 2)
    shape = list(x.shape)
    shape[axis] = size
    doubled = x.new_empty(shape)
    # On a sample (1, 6, 1) / 8, which is (1, 2, 1) and 4 more of the middle, and between two samples (1, 1) / 2.
    on_samples = (_slice(neighbors, axis, 0, half) + _slice(neighbors, axis, 1, half + 1)).add_(x, alpha=4)
    torch.mul(on_samples, 1 / 8, out=_slice(doubled, axis, 1 - odd, None, 2))
    torch.mul(_slice(neighbors, axis, odd, odd + size // 2), 1 / 2, out=_slice(doubled, axis, odd, None, 2))
    return doubled


def _pad(x: Tensor, axis: int, front: int, back: int) -> Tensor:
    return F.pad(x, (0, 0, front, back) if axis == 2 else (front, back))


def _slice(x: Tensor, axis: int, start: int, stop: int | None, step: int = 1) -> Tensor:
    part = slice(start, stop, step)
    return x[:, :, part] if axis == 2 else x[:, :, :, part]


def split(x: Tensor, levels: int) -> list[Tensor]:
    """Split (N, C, H, W) into `levels` differences, fine to coarse, and the coarse rest: levels + 1 tensors."""
    bands = []
    for _ in range(levels):
        coarse = reduce(x)
        bands.append(x - expand(coarse, (x.shape[2], x.shape[3])))
        x = coarse
    return [*bands, x]


def merge(bands: list[Tensor]) -> Tensor:
    """Merge a pyramid: the exact inverse of `split`, at any size."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = expand(x, (band.shape[2], band.shape[3])).add_(band)
    return x


def normalize(gradient: Tensor, levels: int, size: Literal["mean", "std", "none"] = "mean") -> Tensor:
    """Normalize a gradient (N, 3, H, W): each Laplacian level to an RMS of 1, then each image to a size of 1.

    size: the mean absolute value, the standard deviation, or "none" for no second step. With `levels` = 0 there is only
    the second step. A level of zeros stays zero.
    """
    gradient = gradient.contiguous()  # of channels-last images, each of many small operators takes longer
    if levels:
        bands = split(gradient, levels)
        gradient = merge([band.div_(_rms(band).clamp_min(_TINY)) for band in bands])
    if size == "mean":
        return gradient / image_mean(gradient.abs()).clamp_min(_TINY)
    if size == "std":
        return gradient / _rms(gradient - image_mean(gradient)).clamp_min(_TINY)
    return gradient


def _rms(x: Tensor) -> Tensor:
    return image_mean(x.square()).sqrt()
