"""Turns a gradient into one step of ascent, in the variants of the well-known notebooks."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream import laplacian
from dreamvid.image.tensors import IMAGENET_STD, image_mean
from dreamvid.settings import DreamSettings

_TINY = 1e-20


# The paper's numbers.
_BETA_MEAN, _BETA_SQUARE = 0.9, 0.999
_EPSILON = 1e-8


class Adam:
    """The running moments of one image's gradients (Kingma and Ba, "Adam", 2015), zero at the beginning.

    Pass gradients in image coordinates (un-rolled).
    """

    def __init__(self) -> None:
        self._steps = 0
        self._mean: Tensor | None = None
        self._square: Tensor | None = None

    def direction(self, gradient: Tensor) -> Tensor:
        """Add the next gradient; return the direction of the step, m̂ / (√v̂ + ε), of the same shape.

        The first one is the gradient's sign; later ones are at most a few times as long as 1.
        """
        if self._mean is None or self._square is None:
            self._mean, self._square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self._steps += 1
        self._mean = _BETA_MEAN * self._mean + (1 - _BETA_MEAN) * gradient
        self._square = _BETA_SQUARE * self._square + (1 - _BETA_SQUARE) * gradient.square()
        mean = self._mean / (1 - _BETA_MEAN**self._steps)
        square = self._square / (1 - _BETA_SQUARE**self._steps)
        return mean / (square.sqrt() + _EPSILON)


# Differences between neighbors far below this (in an image in [0, 1]) count by their squares, so that the derivative is
# continuous where an image is flat.
_SOFT = 0.01


def total_variation_gradient(x: Tensor) -> Tensor:
    """Compute the gradient of an image's total variation, (N, C, H, W) like the image.

    The variation is Σ √(dx² + dy² + 0.01²) over all pixels and channels, dx and dy being the differences to the pixel
    on the right and to the one below, 0 at the border (Rudin, Osher and Fatemi, "Nonlinear total variation based noise
    removal algorithms", 1992).
    """
    right = F.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1))
    down = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
    length = torch.sqrt(right.square() + down.square() + _SOFT**2)
    right, down = right / length, down / length
    return F.pad(right[:, :, :, :-1], (1, 0)) - right + F.pad(down[:, :, :-1], (0, 0, 1, 0)) - down


@dataclass(frozen=True)
class UpdateRule:
    """The update x ← x + step · ĝ; the fields are the settings of the same names."""

    laplacian_levels: int
    gradient_norm: Literal["mean", "std", "none"]
    color_space: Literal["rgb", "imagenet"]
    clamp: Literal["step", "end"]
    keep_color: bool = False
    optimizer: Literal["ascent", "adam"] = "ascent"
    total_variation: float = 0.0

    @classmethod
    def from_settings(cls, settings: DreamSettings) -> Self:
        """Read the rule from settings."""
        return cls(
            laplacian_levels=settings.laplacian_levels,
            gradient_norm=settings.gradient_norm,
            color_space=settings.color_space,
            clamp=settings.clamp,
            keep_color=settings.keep_color,
            optimizer=settings.optimizer,
            total_variation=settings.total_variation,
        )

    def moments(self) -> Adam | None:
        """Make the moments for one image if the optimizer is Adam; None for plain ascent."""
        return Adam() if self.optimizer == "adam" else None

    @property
    def recorded(self) -> Self:
        """The rule that is recorded on a GPU: the same for rules that differ only in arguments of `__call__`."""
        return replace(self, total_variation=1.0 if self.total_variation else 0.0)

    def __call__(
        self,
        x: Tensor,
        gradient: Tensor,
        step: float | Tensor,
        moments: Adam | None = None,
        total_variation: float | Tensor | None = None,
    ) -> Tensor:
        """Move an image (1, 3, h, w) along d(objective)/dx.

        step: a number, or a map (1, 1, h, w). moments: those of the steps before, from `moments`.
        total_variation: replaces the rule's own weight, if that is not 0.
        """
        weight = self.total_variation if total_variation is None else total_variation
        if self.color_space == "rgb":
            x = x + step * self._direction(x, gradient, None, moments, weight)
        else:
            # With z = (x - mean) / deviation: dL/dz = deviation · dL/dx, and dx = deviation · dz.
            # Filled on the device: a copy from the CPU would wait for it.
            deviation = torch.stack([x.new_full((), value) for value in IMAGENET_STD]).view(1, 3, 1, 1)
            x = x + step * deviation * self._direction(x, gradient, deviation, moments, weight)
        return x.clamp(0, 1) if self.clamp == "step" else x

    def _direction(
        self, x: Tensor, gradient: Tensor, deviation: Tensor | None, moments: Adam | None, weight: float | Tensor
    ) -> Tensor:
        """Compute the direction of the step in its color space; deviation: the unit of that space, in RGB."""
        direction = laplacian.normalize(self._in_space(gradient, deviation), self.laplacian_levels, self.gradient_norm)
        if self.total_variation:
            # Both get the same mean absolute value: the weight is the ratio of the two.
            rough = self._in_space(total_variation_gradient(x), deviation)
            ratio = _size(direction) / _size(rough).clamp_min(_TINY)
            direction = direction - weight * ratio * rough
        return direction if moments is None else moments.direction(direction)

    def _in_space(self, gradient: Tensor, deviation: Tensor | None) -> Tensor:
        if self.keep_color:
            # Along R = G = B = y the derivative is the sum of the three; its size is made 1 anyway.
            gradient = gradient.mean(dim=1, keepdim=True).expand_as(gradient)
        return gradient if deviation is None else gradient * deviation

    def add(self, source: Tensor, residual: Tensor) -> Tensor:
        """Add a residual to its source, both (1, 3, h, w), within [0, 1].

        With `keep_color` the same y = (r_R + r_G + r_B) / 3 is added to R, G and B, as far as the channel nearest to 0
        or 1 allows: the differences between the channels, and so the chroma, stay the source's.
        """
        if not self.keep_color:
            return (source + residual).clamp_(0, 1)
        return add_gray(source.clamp(0, 1), residual.mean(dim=1, keepdim=True))


def add_gray(source: Tensor, gray: Tensor) -> Tensor:
    """Add the same to R, G and B, as far as the channel nearest to 0 or 1 allows, so that the chroma stays the same.

    source: (1, 3, h, w) in [0, 1]. gray: (1, 1, h, w).
    """
    room_below, room_above = source.amin(dim=1, keepdim=True), 1 - source.amax(dim=1, keepdim=True)
    return source + torch.minimum(torch.maximum(gray, -room_below), room_above)


def _size(x: Tensor) -> Tensor:
    return image_mean(x.abs())
