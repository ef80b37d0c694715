"""The operators of a program that are no convolutions: sums, concatenations, clamps and pools.

Tensors are (N, H, W, C). Values are contiguous; gradients need not be.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.networks.program.convolutions import Made, masked

Pair = tuple[int, int]


class Operator(Protocol):
    """Computes one value of a program from others, and their gradients from its own."""

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Compute y, and what else the gradient needs."""

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to the gradients of the values.

        so_far: what is already known of the first one's gradient, which is added to it. d/dy may be overwritten or
        returned, but no two gradients share memory.
        """


class Sum:
    """The sum of two values that no convolution before it can compute."""

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Add two values of one shape."""
        return (values[0] + values[1],)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Return d/dy for both."""
        return [gradient.clone() if so_far is None else gradient + so_far, gradient]


class Concatenation:
    """Values side by side, as more channels."""

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Join values that differ in the number of channels only."""
        return (torch.cat(list(values), dim=3),)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Return the part of d/dy that belongs to each value."""
        first, *others = torch.split(gradient, [value.shape[3] for value in values], dim=3)
        return [first if so_far is None else first + so_far, *others]


class Clamp:
    """A ReLU or ReLU6 that no convolution before it can compute. in_place: nothing else needs what is clamped."""

    def __init__(self, ceiling: float, *, in_place: bool) -> None:
        self.ceiling = ceiling
        self.in_place = in_place

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Clamp to [0, ceiling]."""
        (x,) = values
        return (x.clamp_(0.0, self.ceiling) if self.in_place else x.clamp(0.0, self.ceiling),)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to d/dx plus `so_far`."""
        found = masked(gradient, made[0], self.ceiling)
        return [found if so_far is None else found.add_(so_far)]


class AveragePool:
    """The mean of each window. Beyond the border there are zeros, which count if `counts_padding`."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, *, ceil_mode: bool, counts_padding: bool) -> None:
        self._arguments = (kernel, stride, padding, ceil_mode, counts_padding, None)
        same = all(2 * beyond == size - 1 for size, beyond in zip(kernel, padding, strict=True))
        self._is_symmetric = same and stride == (1, 1) and counts_padding

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Map (N, H, W, C) to (N, h, w, C)."""
        return (_last(F.avg_pool2d(_first(values[0]), *self._arguments)),)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to d/dx plus `so_far`."""
        flat = _first(gradient.contiguous())
        if self._is_symmetric:  # so it is its own gradient, and that is the faster of the two in PyTorch
            found = F.avg_pool2d(flat, *self._arguments)
        else:
            found = torch.ops.aten.avg_pool2d_backward(flat, _first(values[0]), *self._arguments)
        return [_last(found) if so_far is None else _last(found).add_(so_far)]


class MaxPool:
    """The largest value of each window."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, *, ceil_mode: bool) -> None:
        self._arguments = (kernel, stride, padding, dilation, ceil_mode)

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Map (N, H, W, C) to (N, h, w, C), and the places where the largest values lie."""
        y, places = F.max_pool2d_with_indices(_first(values[0]), *self._arguments)
        return _last(y), places

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to d/dx plus `so_far`."""
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            _first(gradient.contiguous()), _first(values[0]), *self._arguments, made[1]
        )
        return [_last(found) if so_far is None else _last(found).add_(so_far)]


def _first(x: Tensor) -> Tensor:
    """View (N, H, W, C) as (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def _last(x: Tensor) -> Tensor:
    """View (N, C, H, W) as (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)
