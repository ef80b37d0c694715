"""Moves an image as a camera would: how far in a given time, and the resampling.

Coordinates are pixels, x to the right and y down, 0 at the center of the first pixel. A matrix is 3 × 3, for columns
(x, y, 1), and maps a position in the image to its position after the move.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from dreamvid.camera.outpaint import outpaint
from dreamvid.camera.resample import resample
from dreamvid.errors import SettingsError
from dreamvid.motion.warp import distance_outside, pixel_grid
from dreamvid.settings.renamed import accept_old_arguments

Fold = Callable[[Tensor], Tensor]
"""Maps positions (1, 2, H, W) in the result to the positions in the image whose content they show."""


class Movement(ABC):
    """A steady movement. `a + b` is both at the same time, in any order."""

    @abstractmethod
    def velocity(self, width: int, height: int) -> Tensor:
        """Compute the velocity field, a matrix (3, 3) float64: position p moves with velocity @ p pixels per second."""

    def transform(self, elapsed_seconds: float, width: int, height: int) -> Tensor:
        """Compute the matrix (3, 3) float64 of the movement over a time, for images of a size.

        The times add: over a + b seconds it is the product of those over a and b, so the frame rate does not
        change the journey. A negative time goes back.
        """
        matrix: Tensor = torch.linalg.matrix_exp(self.velocity(width, height) * elapsed_seconds)
        return matrix

    def __add__(self, other: "Movement") -> "Movement":
        return _Together((self, other))


@dataclass(frozen=True)
class _Together(Movement):
    parts: tuple[Movement, ...]

    def velocity(self, width: int, height: int) -> Tensor:
        total = torch.zeros(3, 3, dtype=torch.float64)
        for part in self.parts:
            total = total + part.velocity(width, height)
        return total


@dataclass(frozen=True, kw_only=True)
class Camera(Movement):
    """A steady zoom, turn, pan and shear about a center, all at the same time and all per second.

    zoom: factor by which the image grows (above 0; 1 stands still, below 1 shrinks).
    rotate: degrees, clockwise.
    pan_x, pan_y: widths to the right and heights down that the image moves.
    shear_x, shear_y: pixels to the right per pixel down, and pixels down per pixel to the right.
    center_x, center_y: the point that zoom, turn and shear leave where it is, from 0 (left, top) to 1 (right, bottom).

    Raises SettingsError for a zoom of 0 or below, a center outside of the image, and numbers that are not finite.
    """

    zoom: float = 1.0
    rotate: float = 0.0
    pan_x: float = 0.0
    pan_y: float = 0.0
    shear_x: float = 0.0
    shear_y: float = 0.0
    center_x: float = 0.5
    center_y: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise SettingsError(f"A camera's {field.name} has to be a finite number, got {value}.")
        if self.zoom <= 0:
            raise SettingsError(
                f"A camera's zoom got {self.zoom:g}: allowed is above 0. 1 stands still, 1.2 grows the image by a "
                "fifth every second, 0.8 shrinks it."
            )
        for name in ("center_x", "center_y"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(
                    f"A camera's {name} got {getattr(self, name):g}: "
                    "allowed is from 0 (left, top) to 1 (right, bottom)."
                )

    def velocity(self, width: int, height: int) -> Tensor:
        """Compute the velocity field, a matrix (3, 3) float64: position p moves with velocity @ p pixels per second."""
        growth, turn = math.log(self.zoom), math.radians(self.rotate)
        center_x, center_y = self.center_x * width - 0.5, self.center_y * height - 0.5
        xx, xy, yx, yy = growth, self.shear_x - turn, self.shear_y + turn, growth
        return torch.tensor(
            [
                [xx, xy, self.pan_x * width - xx * center_x - xy * center_y],
                [yx, yy, self.pan_y * height - yx * center_x - yy * center_y],
                [0.0, 0.0, 0.0],
            ],
            dtype=torch.float64,
        )


# A dataclass writes its own __init__.
Camera.__init__ = accept_old_arguments(centre_x="center_x", centre_y="center_y")(Camera.__init__)  # type: ignore[method-assign]


def kaleidoscope(
    segments: int, width: int, height: int, *, center_x: float = 0.5, center_y: float = 0.5, turn: float = 0.0
) -> Fold:
    """Fold an image into `segments` equal sectors about a center, each of them a mirror image in itself.

    turn: degrees, clockwise, by which the sector that is kept is turned away from the right. Raises SettingsError for
    less than one segment.
    """
    if segments < 1:
        raise SettingsError(f"A kaleidoscope has 1 segment or more, got {segments}.")
    x0, y0, start = center_x * width - 0.5, center_y * height - 0.5, math.radians(turn)
    sector = math.tau / segments

    def fold(positions: Tensor) -> Tensor:
        x, y = positions[:, 0] - x0, positions[:, 1] - y0
        radius, angle = torch.hypot(x, y), torch.atan2(y, x) - start
        within = (torch.remainder(angle + sector / 2, sector) - sector / 2).abs() + start
        return torch.stack((x0 + radius * torch.cos(within), y0 + radius * torch.sin(within)), dim=1)

    return fold


class Moved(NamedTuple):
    """A moved image (1, 3, H, W) in [0, 1], and where it is the image before: (1, 1, H, W), 1 inside, 0 filled in."""

    image: Tensor
    inside: Tensor


def move(image: Tensor, matrix: Tensor, *, fold: Fold | None = None, seed: int | tuple[int, ...] = 0) -> Moved:
    """Move an image (1, 3, H, W) in [0, 1] by `matrix` and fold it, sampled once and anti-aliased where it shrinks.

    Areas that enter from outside are filled with a texture like the image's own, drawn with `seed`: give another seed
    for every frame. Without a fold the identity returns the image itself.
    """
    height, width = image.shape[2:]
    backward = torch.linalg.inv(matrix.double())
    if fold is None and torch.equal(backward, torch.eye(3, dtype=torch.float64, device=backward.device)):
        return Moved(image, torch.ones_like(image[:, :1]))
    positions = pixel_grid(height, width, image)
    if fold is not None:
        positions = fold(positions)
    positions = _apply(backward, positions)
    shrink = float(torch.linalg.matrix_norm(backward[:2, :2], 2))  # a fold keeps lengths
    moved = resample(image, positions, shrink=shrink)
    beyond = distance_outside(positions, height, width) - 0.5  # of the border, which is half a pixel from the centers
    # The edge is half a pixel soft, so that it does not flicker while it moves.
    inside = (0.5 - beyond).clamp(0, 1)
    if bool((inside < 1).any()):  # waits for the device; the texture costs more
        moved = outpaint(image, moved, beyond.clamp_min(0), inside, seed)
    return Moved(moved.clamp(0, 1), inside)


def _apply(matrix: Tensor, positions: Tensor) -> Tensor:
    """Multiply positions (1, 2, H, W) by a matrix (3, 3)."""
    (xx, xy, x0), (yx, yy, y0) = matrix[:2].tolist()
    x, y = positions[:, 0], positions[:, 1]
    return torch.stack((xx * x + xy * y + x0, yx * x + yy * y + y0), dim=1)
