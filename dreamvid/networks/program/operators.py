"""Convolutions of a program: forward, and the gradient with respect to their input, with weights packed once.

All are oneDNN's. Its sums have one order for any number of threads; those of the matrix products of MKL do not (with
AVX2, a fifth of this network's products have other bits on two threads than on one).

Tensors are (N, H, W, C), contiguous: a 1 × 1 convolution is then a matrix product without a copy.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from dreamvid.networks.program.fused_conv import FusedConvolution, fuses_on_cpu, post_operation

_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_convolve: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_NOTHING: tuple[str, list[float], str] = ("none", [], "")


class Pointwise:
    """A 1 × 1 convolution with frozen weights: a matrix product for all positions."""

    def __init__(self, layer: FusedConvolution) -> None:
        matrix = layer.get_buffer("kernel_00").flatten(1)
        self.layer = layer
        self.bias = layer.bias
        self.ceiling = layer.ceiling
        self._after = (*post_operation(layer.ceiling), "")
        self._packed = _pack_matrix(matrix)
        self._transposed = _pack_matrix(matrix.t())

    @staticmethod
    def takes(layer: FusedConvolution) -> bool:
        """Return True for a convolution that this is."""
        return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1

    def forward(self, x: Tensor, add: Tensor | None) -> Tensor:
        """Map (N, H, W, C) to y (N, H, W, C'); `add` is added to a result that is not clamped."""
        if add is None:
            y: Tensor = _linear.default(x, self._packed, self.bias, *self._after)
        else:
            y = _linear.binary(x, add, self._packed, self.bias, "add")
        return y

    def backward(self, gradient: Tensor, x: Tensor, y: Tensor, add: Tensor | None) -> Tensor:
        """Map d/dy to d/dx, plus `add`. Where y is clamped, d/dy is overwritten."""
        gradient = _mask_in_place(gradient, y, self.ceiling)
        if add is None:
            found: Tensor = _linear.default(gradient, self._transposed, None, *_NOTHING)
        else:
            found = _linear.binary(gradient, add, self._transposed, None, "add")
        return found


class Spatial:
    """Any other convolution with frozen weights: depthwise ones, and the first."""

    def __init__(self, layer: FusedConvolution) -> None:
        self.layer = layer
        self.ceiling = layer.ceiling
        self._after = (*post_operation(layer.ceiling), "")
        outputs, inputs_per_group = layer.get_buffer("kernel_00").shape[:2]
        self._flips = layer.groups == outputs and inputs_per_group == 1 and layer.stride == (1, 1)
        self._packed: dict[object, Tensor] = {}

    def forward(self, x: Tensor, add: Tensor | None) -> Tensor:
        """Map (N, H, W, C) to y (N, h, w, C'); `add` is added to a result that is not clamped."""
        layer = self.layer
        kernel, padding = layer.kernel_for(x.shape[1], x.shape[2])
        packed = self._pack("forward", kernel, padding, x)
        y: Tensor = _convolve.default(
            x.permute(0, 3, 1, 2), packed, layer.bias, padding, layer.stride, layer.dilation, layer.groups, *self._after
        ).permute(0, 2, 3, 1)
        return y if add is None else y + add

    def backward(self, gradient: Tensor, x: Tensor, y: Tensor, add: Tensor | None) -> Tensor:
        """Map d/dy to d/dx of x's shape, plus `add`. Where y is clamped, d/dy is overwritten."""
        layer = self.layer
        kernel, padding = layer.kernel_for(x.shape[1], x.shape[2])
        flat = _mask_in_place(gradient, y, self.ceiling).permute(0, 3, 1, 2)
        if self._flips:
            # The gradient of a depthwise convolution without stride is one with the flipped kernel.
            around = (kernel.shape[2] - 1 - padding[0], kernel.shape[3] - 1 - padding[1])
            packed = self._pack("backward", kernel, around, gradient)
            found: Tensor = _convolve.default(flat, packed, None, around, (1, 1), (1, 1), layer.groups, *_NOTHING)
        else:
            found = layer.gradient_of_input(flat, x.permute(0, 3, 1, 2), kernel, padding)
        found = found.permute(0, 2, 3, 1)
        return found if add is None else found.add_(add)

    def _pack(self, use: str, kernel: Tensor, padding: tuple[int, int], x: Tensor) -> Tensor:
        """Bring a kernel into oneDNN's own layout, once; the layout changes no result."""
        key = (use, tuple(kernel.shape), padding)  # the kernels of a layer differ in their shapes
        if key not in self._packed:
            if use == "backward":
                kernel = kernel.flip(2, 3).contiguous(memory_format=torch.channels_last)
            size = [x.shape[0], x.shape[3], x.shape[1], x.shape[2]]
            self._packed[key] = torch.ops.mkldnn._reorder_convolution_weight(
                kernel, padding, self.layer.stride, self.layer.dilation, self.layer.groups, size
            )
        return self._packed[key]


class Sum:
    """The sum of two values that no convolution before it can compute."""

    def forward(self, x: Tensor, add: Tensor | None) -> Tensor:
        """Add two values of one shape."""
        return x if add is None else x + add

    def backward(self, gradient: Tensor, x: Tensor, y: Tensor, add: Tensor | None) -> Tensor:
        """Copy d/dy, which is the other value's gradient too, plus `add`."""
        return gradient.clone() if add is None else gradient + add


def _mask_in_place(gradient: Tensor, y: Tensor, ceiling: float | None) -> Tensor:
    """Zero a gradient, in place, where y was clamped to [0, ceiling]: as for a ReLU, at and below 0 too."""
    if ceiling is not None:
        torch.ops.aten.hardtanh_backward.grad_input(gradient, y, 0.0, ceiling, grad_input=gradient)
    return gradient


@functools.cache
def operators_work() -> bool:
    """Try oneDNN's operators for matrix products, once: they are PyTorch's own and may change or go without notice."""
    if not fuses_on_cpu():
        return False
    x, matrix = torch.linspace(-1, 1, 48).view(1, 2, 3, 8), torch.linspace(-1, 1, 32).view(4, 8)
    try:
        plain: Tensor = _linear.default(x, _pack_matrix(matrix), None, *post_operation(6.0), "")
        summed: Tensor = _linear.binary(x, plain, _pack_matrix(matrix), None, "add")
    except (AttributeError, RuntimeError, TypeError):
        return False
    product = x @ matrix.t()
    expected = product.clamp(0, 6)
    return torch.allclose(plain, expected, atol=1e-5) and torch.allclose(summed, product + expected, atol=1e-5)


# Rows that a packed matrix is meant for; oneDNN's layout hardly depends on it, and no result does.
_ROWS = 4096


def _pack_matrix(matrix: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _ROWS)
    return packed
