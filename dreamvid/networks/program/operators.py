"""Convolutions of a program: forward, and the gradient with respect to their input, with weights packed once.

All are oneDNN's. Its sums have one order for any number of threads; those of the matrix products of MKL do not (with
AVX2, a fifth of this network's products have other bits on two threads than on one).

Tensors are (N, H, W, C), contiguous: a 1 × 1 convolution is then a matrix product without a copy.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamvid.networks.program.fused_conv import (
    FusedConvolution,
    fuses_on_cpu,
    gradient_by_sub_pixels,
    post_operation,
    sub_pixel_kernel,
)

_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_convolve: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_mask: Any = torch.ops.aten.hardtanh_backward.grad_input
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


class _Form(NamedTuple):
    """The kernels of a `Spatial` for images of one size, as its operators take them, and their paddings."""

    kernel: Tensor
    padding: tuple[int, int]
    forward: Tensor
    backward: Tensor
    around: tuple[int, int]  # the padding of `backward`


class Spatial:
    """Any other convolution with frozen weights: depthwise ones, and the first."""

    def __init__(self, layer: FusedConvolution) -> None:
        self.layer = layer
        self.ceiling = layer.ceiling
        self._after = (*post_operation(layer.ceiling), "")
        outputs, inputs_per_group = layer.get_buffer("kernel_00").shape[:2]
        self._flips = layer.groups == outputs and inputs_per_group == 1 and layer.stride == (1, 1)
        self._sub_pixels = layer.uses_sub_pixels
        self._packed: dict[object, Tensor] = {}
        self._forms: dict[tuple[int, int], _Form] = {}

    def forward(self, x: Tensor, add: Tensor | None) -> Tensor:
        """Map (N, H, W, C) to y (N, h, w, C'); `add` is added to a result that is not clamped."""
        layer, form = self.layer, self._form(x)
        settings = (layer.bias, form.padding, layer.stride, layer.dilation, layer.groups)
        y: Tensor = _convolve.default(x.permute(0, 3, 1, 2), form.forward, *settings, *self._after).permute(0, 2, 3, 1)
        return y if add is None else y + add

    def backward(self, gradient: Tensor, x: Tensor, y: Tensor, add: Tensor | None) -> Tensor:
        """Map d/dy to d/dx of x's shape, plus `add`. Where y is clamped, d/dy is overwritten."""
        layer, form = self.layer, self._form(x)
        flat = _mask_in_place(gradient, y, self.ceiling).permute(0, 3, 1, 2)
        if self._flips:
            # The gradient of a depthwise convolution without stride is one with the flipped kernel.
            settings = (None, form.around, (1, 1), (1, 1), layer.groups)
            found: Tensor = _convolve.default(flat, form.backward, *settings, *_NOTHING)
        elif self._sub_pixels:
            found = gradient_by_sub_pixels(flat, form.backward, x.shape[1:], form.padding, layer.stride[0])
        else:
            found = layer.gradient_of_input(flat, x.permute(0, 3, 1, 2), form.kernel, form.padding)
        found = found.permute(0, 2, 3, 1)
        return found if add is None else found.add_(add)

    def _form(self, x: Tensor) -> _Form:
        """Look up what images of x's size need."""
        size = (x.shape[1], x.shape[2])
        form = self._forms.get(size)
        if form is None:
            form = self._forms[size] = self._new_form(x)
        return form

    def _new_form(self, x: Tensor) -> _Form:
        kernel, padding = self.layer.kernel_for(x.shape[1], x.shape[2])
        around = (kernel.shape[2] - 1 - padding[0], kernel.shape[3] - 1 - padding[1])
        shape = tuple(kernel.shape)  # the kernels of a layer differ in it
        forward = self._once(("forward", shape, padding), lambda: self._pack(kernel, padding, x))
        backward = kernel
        if self._flips:
            flipped = kernel.flip(2, 3).contiguous(memory_format=torch.channels_last)
            backward = self._once(("backward", shape, around), lambda: self._pack(flipped, around, x))
        elif self._sub_pixels:
            backward = self._once(("sub-pixels", shape), lambda: sub_pixel_kernel(kernel, self.layer.stride[0], 8))
        return _Form(kernel, padding, forward, backward, around)

    def _once(self, key: object, make: Callable[[], Tensor]) -> Tensor:
        if key not in self._packed:
            self._packed[key] = make()
        return self._packed[key]

    def _pack(self, kernel: Tensor, padding: tuple[int, int], x: Tensor) -> Tensor:
        """Bring a kernel into oneDNN's own layout; the layout changes no result."""
        size = [x.shape[0], x.shape[3], x.shape[1], x.shape[2]]
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            kernel, padding, self.layer.stride, self.layer.dilation, self.layer.groups, size
        )
        return packed


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
        _mask(gradient, y, 0.0, ceiling, grad_input=gradient)
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
