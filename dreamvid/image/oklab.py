"""Convert between RGB and OKLab, a color space in which equal distances look about equal.

Method: Björn Ottosson, "A perceptual color space for image processing", 2020 (https://bottosson.github.io/posts/oklab/).
"""

import torch
from torch import Tensor

# From linear sRGB to the responses of the eye's cones, and from their cube roots to lightness, a and b.
_TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def to_oklab(image: Tensor) -> Tensor:
    """Convert an sRGB image (N, 3, H, W) in [0, 1]: lightness in [0, 1]; a (green to red) and b (blue to yellow)."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image.clamp_min(0) + 0.055) / 1.055).pow(2.4))
    cones = _mix(_matrix(_TO_CONES, image), linear)
    return _mix(_matrix(_TO_LAB, image), cones.clamp_min(0).pow(1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """Convert back to sRGB (N, 3, H, W); colors that sRGB does not have are clamped to [0, 1]."""
    cones = _mix(torch.linalg.inv(_matrix(_TO_LAB, lab)), lab).pow(3)
    linear = _mix(torch.linalg.inv(_matrix(_TO_CONES, lab)), cones).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9).pow(1 / 2.4) - 0.055)


def _matrix(rows: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    # Filled on the device: a copy from the CPU would wait for it.
    values = [torch.stack([like.new_full((), value) for value in row]) for row in rows]
    return torch.stack(values)


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("ij,njhw->nihw", matrix, image)
