"""Hold the colors of a dream to a palette: to the mean and the spread of its chroma in OKLab.

A palette is a Gaussian over the two chroma axes of OKLab. The colors of an image are moved to it along the optimal
linear transport between two Gaussians (Pitié and Kokaram, "The linear Monge-Kantorovitch linear colour mapping", 2007);
lightness stays. The same map is used for every pixel of a frame, so a dream that holds still keeps its colors.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamvid.errors import SettingsError, nearest
from dreamvid.image.io import image_fingerprint, read_image
from dreamvid.image.oklab import from_oklab, to_oklab
from dreamvid.image.tensors import resize, to_tensor
from dreamvid.settings.palettes import NAMED_PALETTES, NONE, PALETTES, SOURCE, Chroma

_FILE_HEIGHT = 240  # lines to which the image of a palette is reduced: its noise is not part of its palette
# Chroma is stretched at most this many times: in a gray image it is mostly noise.
_LARGEST_STRETCH = 4.0
_TINY = 1e-8


@dataclass(frozen=True)
class Palette:
    """The chroma to hold colors to: mean (2,) and covariance (2, 2) in OKLab."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of_image(cls, image: Tensor) -> "Palette":
        """Measure the palette of an image (1, 3, H, W) in [0, 1]."""
        chroma = to_oklab(image)[0, 1:].flatten(1)
        mean = chroma.mean(dim=1)
        deviation = chroma - mean[:, None]
        return cls(mean, deviation @ deviation.T / chroma.shape[1])

    @classmethod
    def from_text(cls, text: str, device: torch.device | str) -> "Palette | None":
        """Find a palette by its name, or measure that of an image file; None for none and for the source's own.

        Raises SettingsError for a name that is neither, SourceError for a file that is not an image.
        """
        if text in (NONE, SOURCE):
            return None
        if text in NAMED_PALETTES:
            return cls._from_chroma(NAMED_PALETTES[text], device)
        path = Path(text).expanduser()
        if not path.is_file():
            raise SettingsError(
                f"`palette`: there is no palette {text!r}, and no image file of that name.{nearest(text, PALETTES)} "
                f"Allowed: {', '.join(PALETTES)}, or the path of an image."
            )
        image = to_tensor(read_image(path), device)
        height = min(_FILE_HEIGHT, image.shape[2])
        return cls.of_image(
            resize(image, (height, max(1, round(image.shape[3] * height / image.shape[2])))).clamp(0, 1)
        )

    @classmethod
    def _from_chroma(cls, chroma: Chroma, device: torch.device | str) -> "Palette":
        angle = math.radians(chroma.degrees)
        axes = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        covariance = axes @ torch.diag(torch.tensor([chroma.spread**2, chroma.narrow**2])) @ axes.T
        return cls(torch.tensor([chroma.a, chroma.b]).to(device), covariance.to(device))

    def map_from(self, other: "Palette") -> "ColorMap":
        """Return the map that moves colors of another palette to this one."""
        floor = self.covariance.trace() / 2 / _LARGEST_STRETCH**2 + _TINY
        start = other.covariance + floor * torch.eye(2, device=floor.device)
        root = _square_root(start)
        inverse = torch.linalg.inv(root)
        matrix = inverse @ _square_root(root @ self.covariance @ root) @ inverse
        return ColorMap(matrix, other.mean, self.mean)


@dataclass(frozen=True)
class ColorMap:
    """An affine map of chroma: stop + matrix · (chroma - start), the same for every pixel."""

    matrix: Tensor
    start: Tensor
    stop: Tensor

    def __call__(self, image: Tensor) -> Tensor:
        """Map the colors of an image (1, 3, H, W) in [0, 1]; return one of the same kind."""
        lab = to_oklab(image)
        deviation = lab[:, 1:] - self.start.view(1, 2, 1, 1)
        chroma = self.stop.view(1, 2, 1, 1) + torch.einsum("ij,njhw->nihw", self.matrix, deviation)
        return from_oklab(torch.cat((lab[:, :1], chroma), dim=1))


def palette_fingerprint(text: str) -> str:
    """Return the hash of the image that a palette is measured on; "" for a name. Raises SourceError."""
    if text in PALETTES:
        return ""
    return image_fingerprint(text)


def _square_root(matrix: Tensor) -> Tensor:
    """Compute the root of a symmetric, positive (2, 2) matrix by its closed form, which waits for no device."""
    determinant = (matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]).clamp_min(0).sqrt()
    scale = (matrix.trace() + 2 * determinant).clamp_min(_TINY**2).sqrt()
    return (matrix + determinant * torch.eye(2, device=matrix.device, dtype=matrix.dtype)) / scale
