"""Holds the colors and the contrast of an image that is dreamed again in every frame.

Each step of ascent adds contrast, and feedback adds it again: without a hold, colors and contrast run to the
ends of their range within a hundred frames.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import enlarge_bilinear, image_mean

_TINY = 1e-6  # smallest variance of a channel that is stretched: an eighth of an 8-bit level
_LARGEST_STRETCH = 4.0
_KNEE = 0.04  # distance to black and white below which values are compressed instead of clipped


@dataclass(frozen=True)
class ColorStatistics:
    """Mean (3,) and covariance (3, 3) of an image's colors, and `detail` (): the RMS of its fine structure.

    Fine structure is what is smaller than a sixteenth of the image's height.
    """

    mean: Tensor
    covariance: Tensor
    detail: Tensor


def color_statistics(image: Tensor) -> ColorStatistics:
    """Measure an image (1, 3, H, W); everything stays on its device."""
    pixels = image[0].flatten(1)
    mean = pixels.mean(dim=1)
    deviation = pixels - mean[:, None]
    # Not a matrix product, whose last bits depend on the number of threads.
    covariance = (deviation[:, None] * deviation).mean(dim=2)
    return ColorStatistics(mean, covariance, _rms(image - _smooth(image)))


def hold_statistics(
    image: Tensor, target: ColorStatistics, *, elapsed_seconds: float, half_life_seconds: float
) -> Tensor:
    """Pull an image (1, 3, H, W) in [0, 1] towards the colors and the detail of `target`; return one of the same kind.

    In `half_life_seconds` half of the distance is removed, at every frame rate; 0 removes all of it. The contrast of
    fine structure is reduced where it exceeds the target's, then the colors are matched.
    """
    pull = 1.0 if half_life_seconds <= 0 else 1 - 0.5 ** (elapsed_seconds / half_life_seconds)
    return match_colors(_hold_detail(image, target.detail, pull), target, pull)


def match_colors(image: Tensor, target: ColorStatistics, pull: float) -> Tensor:
    """Pull the mean and covariance of an image (1, 3, H, W) towards the target's; pull: from 0 to 1, all of the way.

    They are moved along the optimal linear transport between the two Gaussians (Pitié & Kokaram 2007), which changes
    each color as little as possible. A soft knee compresses values near black and white instead of clipping them.
    """
    now = color_statistics(image)
    matrix = _transport(now.covariance, target.covariance)
    n, _, height, width = image.shape
    deviation = image[0].flatten(1) - now.mean[:, None]
    moved = target.mean[:, None] + matrix @ deviation
    held = torch.lerp(image[0].flatten(1), moved, pull).view(n, 3, height, width)
    return _knee(held)


def _transport(start: Tensor, stop: Tensor) -> Tensor:
    """Compute the symmetric matrix A (3, 3) with A start A = stop, in which no color is stretched beyond bounds."""
    device, dtype = start.device, start.dtype
    # Three by three: the eigenvectors are cheaper on the CPU than a launch each.
    start, stop = start.cpu().double(), stop.cpu().double()
    root, inverse = _roots(start)
    middle, _ = _roots(root @ stop @ root)
    values, vectors = torch.linalg.eigh(inverse @ middle @ inverse)
    values = values.clamp(1 / _LARGEST_STRETCH, _LARGEST_STRETCH)
    matrix: Tensor = (vectors * values) @ vectors.T
    return matrix.to(device, dtype)


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the symmetric square root of a covariance, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(_TINY).sqrt()
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T


def _hold_detail(image: Tensor, target: Tensor, pull: float) -> Tensor:
    """Reduce the contrast of fine structure where it is stronger than twice the target's mean."""
    smooth = _smooth(image)
    fine = image - smooth
    strength = _smooth(fine.square().mean(dim=1, keepdim=True)).clamp_min(_TINY).sqrt()
    gain = (2 * target.clamp_min(_TINY**0.5) / strength).clamp_max(1.0)
    return smooth + fine * torch.lerp(torch.ones_like(gain), gain, pull)


def _smooth(x: Tensor) -> Tensor:
    """Compute the local mean over about a sixteenth of the height: box filters on a reduced image, enlarged again."""
    size = x.shape[2], x.shape[3]
    cell = max(1, size[0] // 32)
    small = F.interpolate(x, (max(1, size[0] // cell), max(1, size[1] // cell)), mode="area")
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return enlarge_bilinear(small, size)


def _rms(x: Tensor) -> Tensor:
    return image_mean(x.square()).sqrt().squeeze()


def _knee(x: Tensor) -> Tensor:
    """Leave the middle as it is and compress values near or beyond 0 and 1 smoothly into the range."""
    low = _KNEE * torch.exp(((x - _KNEE) / _KNEE).clamp_max(0.0))
    high = 1 - _KNEE * torch.exp(((1 - _KNEE - x) / _KNEE).clamp_max(0.0))
    return torch.where(x < _KNEE, low, torch.where(x > 1 - _KNEE, high, x))
