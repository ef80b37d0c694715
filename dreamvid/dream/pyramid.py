"""Laplacian pyramid of a gradient, and the normalisation that gives every scale the same say.

After the `lap_normalize` of the TensorFlow DeepDream notebook (2015): a 5-tap binomial kernel, zero borders, and as
many samples after a reduction as TensorFlow's SAME padding leaves, ceil(n / 2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_TINY = 1e-10  # below this a level holds nothing that could be scaled up to say something


def _kernel(like: Tensor) -> Tensor:
    return torch.tensor(_BINOMIAL, dtype=like.dtype, device=like.device)


def _front(size: int) -> int:
    """Zeros that SAME padding of a 5-tap stride-2 filter puts in front of an axis: 1 when even, 2 when odd."""
    return 1 + size % 2


def reduce(x: Tensor) -> Tensor:
    """Blur and halve: (N, C, H, W) → (N, C, ceil(H/2), ceil(W/2))."""
    n, c, h, w = x.shape
    kernel = _kernel(x)
    y = F.pad(x.reshape(n * c, 1, h, w), (_front(w), 2, _front(h), 2))
    y = F.conv2d(y, kernel.view(1, 1, 5, 1), stride=(2, 1))
    y = F.conv2d(y, kernel.view(1, 1, 1, 5), stride=(1, 2))
    return y.reshape(n, c, y.shape[2], y.shape[3])


def expand(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Double and blur, the transpose of `reduce` with unit gain: (N, C, h, w) → (N, C, H, W) for size (H, W)."""
    n, c, h, w = x.shape
    kernel = 2 * _kernel(x)
    y = F.conv_transpose2d(x.reshape(n * c, 1, h, w), kernel.view(1, 1, 5, 1), stride=(2, 1))
    y = F.conv_transpose2d(y, kernel.view(1, 1, 1, 5), stride=(1, 2))
    top, left = _front(size[0]), _front(size[1])
    y = F.pad(y, (0, max(0, left + size[1] - y.shape[3]), 0, max(0, top + size[0] - y.shape[2])))
    return y[:, :, top : top + size[0], left : left + size[1]].reshape(n, c, *size)


def split(x: Tensor, levels: int) -> list[Tensor]:
    """Split (N, C, H, W) into `levels` differences, fine to coarse, and the coarse rest: levels + 1 tensors."""
    bands = []
    for _ in range(levels):
        coarse = reduce(x)
        bands.append(x - expand(coarse, (x.shape[2], x.shape[3])))
        x = coarse
    return [*bands, x]


def merge(bands: list[Tensor]) -> Tensor:
    """Put a pyramid together again: exactly undoes `split`, at any size."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + expand(x, (band.shape[2], band.shape[3]))
    return x


def normalize(gradient: Tensor, levels: int) -> Tensor:
    """Even out a gradient (N, 3, H, W): each Laplacian level to an RMS of 1, then the whole to a mean size of 1.

    With `levels` = 0 only the mean size (mean absolute value over each picture) is made 1. A level of zeros stays.
    """
    if levels:
        bands = split(gradient, levels)
        gradient = merge([band / _rms(band).clamp_min(_TINY) for band in bands])
    return gradient / gradient.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(_TINY)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
