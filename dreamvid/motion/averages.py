"""Average and reduce small images; on a CPU by OpenCV, which takes a fifth of PyTorch's time or less.

Both compute the same, but not bit for bit.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.planes import Plane, each_plane, is_plain
from dreamvid.image.tensors import enlarge_bilinear

# Wide windows are averaged over this many cells a side: a mean that wide has no more detail.
_CELLS = 8


def local_mean(x: Tensor, window: int) -> Tensor:
    """Mean of (N, C, H, W) over squares of side `window` (odd), cut off at the borders.

    Wide squares are made up of cells, an eighth of a side each or less, and of what lies between them.
    """
    cell = window // _CELLS
    if cell > 1:
        size = x.shape[2], x.shape[3]
        small = reduce(x, (-(-size[0] // cell), -(-size[1] // cell)))
        return enlarge_bilinear(local_mean(small, _CELLS + 1), size)
    if not is_plain(x):
        return F.avg_pool2d(x, window, stride=1, padding=window // 2, count_include_pad=False)
    counts = _one_over_counts(x.shape[2], x.shape[3], window)

    def mean(plane: Plane, result: Plane) -> None:
        cv2.boxFilter(plane, -1, (window, window), dst=result, normalize=False, borderType=cv2.BORDER_CONSTANT)
        np.multiply(result, counts, out=result)

    return each_plane(x, (x.shape[2], x.shape[3]), mean)


def mean_square(x: Tensor, window: int) -> Tensor:
    """Mean of the squares of (N, C, H, W) over squares of side `window` (odd), never below 0.

    The running sums of a box filter end a little below 0 in flat areas.
    """
    return local_mean(x.square(), window).clamp_min(0)


def binomial(x: Tensor) -> Tensor:
    """Smooth (N, C, H, W) by weights of 1, 2 and 1 in each direction: half is left of waves of 4 pixels."""
    if not is_plain(x):
        return F.avg_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2, stride=1), 2, stride=1)
    weights = np.array([1, 2, 1], np.float32) / 4

    def smooth(plane: Plane, result: Plane) -> None:
        cv2.sepFilter2D(plane, -1, weights, weights, dst=result, borderType=cv2.BORDER_REPLICATE)

    return each_plane(x, (x.shape[2], x.shape[3]), smooth)


def reduce(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Reduce (N, C, H, W) to (h, w), not larger, by averaging areas."""
    if x.shape[2:] == size:
        return x
    if not is_plain(x):
        return F.interpolate(x, size, mode="area")

    def resized(plane: Plane, result: Plane) -> None:
        cv2.resize(plane, size[::-1], dst=result, interpolation=cv2.INTER_AREA)

    return each_plane(x, size, resized)


@lru_cache(maxsize=64)
def _one_over_counts(height: int, width: int, window: int) -> Plane:
    """One over the number of pixels that lie within the image, for the square around each pixel."""

    def counts(size: int) -> npt.NDArray[np.int64]:
        places, half = np.arange(size), window // 2
        return np.minimum(places + half, size - 1) - np.maximum(places - half, 0) + 1

    return (1 / (counts(height)[:, None] * counts(width))).astype(np.float32)
