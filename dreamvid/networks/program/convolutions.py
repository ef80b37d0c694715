"""Convolutions of a program: forward, and the gradient with respect to their input, with weights packed once.

All are oneDNN's. Its sums have one order for any number of threads; those of the matrix products of MKL do not (with
AVX2, a fifth of this network's products have other bits on two threads than on one).

Tensors are (N, H, W, C), contiguous: a 1 × 1 convolution is then a matrix product without a copy.
"""

import functools
from collections.abc import Callable, Sequence
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

Made = tuple[Tensor, ...]
"""A value y, and what its operator keeps for the gradient."""


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

    def tensors(self) -> list[Tensor]:
        """Return the weights in the forms that its operators read."""
        return [self._packed, self._transposed, *([] if self.bias is None else [self.bias])]

    @staticmethod
    def takes(layer: FusedConvolution) -> bool:
        """Return True for a convolution that this is."""
        return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Map (N, H, W, C) to y (N, H, W, C'); a second value is added to a result that is not clamped."""
        x, *add = values
        if add:
            y: Tensor = _linear.binary(x, add[0], self._packed, self.bias, "add")
        else:
            y = _linear.default(x, self._packed, self.bias, *self._after)
        return (y,)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to d/dx plus `so_far`, and to itself for a second value. Where y is clamped, d/dy is overwritten."""
        gradient = masked(gradient, made[0], self.ceiling)
        if so_far is None:
            found: Tensor = _linear.default(gradient, self._transposed, None, *_NOTHING)
        else:
            found = _linear.binary(gradient, so_far.contiguous(), self._transposed, None, "add")
        return [found, gradient][: len(values)]


class _Form(NamedTuple):
    """The kernels of a `Spatial` for images of one size, as its operators take them, and their paddings."""

    kernel: Tensor
    padding: tuple[int, int]
    forward: Tensor
    backward: Tensor
    around: tuple[int, int]  # the padding of `backward`


class Spatial:
    """Any other convolution with frozen weights."""

    def __init__(self, layer: FusedConvolution) -> None:
        self.layer = layer
        self.ceiling = layer.ceiling
        self._after = (*post_operation(layer.ceiling), "")
        inputs_per_group = layer.get_buffer("kernel_00").shape[1]
        reaches = all(beyond < size for beyond, size in zip(layer.padding, layer.kernel_size, strict=True))
        self._flips = layer.stride == (1, 1) and reaches
        self._sub_pixels = layer.uses_sub_pixels
        self._is_wide = inputs_per_group > _FEW_INPUTS
        self._packed: dict[object, Tensor] = {}
        self._forms: dict[tuple[int, ...], _Form] = {}

    @property
    def is_fixed(self) -> bool:
        """Whether the kernels for images of one size stay when others go through."""
        return not self._is_wide

    def tensors(self) -> list[Tensor]:
        """Return the weights in the forms that its operators have read so far."""
        kernels = {
            id(kernel): kernel for form in self._forms.values() for kernel in (form.kernel, form.forward, form.backward)
        }
        return [*kernels.values(), *([] if self.layer.bias is None else [self.layer.bias])]

    def forward(self, values: Sequence[Tensor]) -> Made:
        """Map (N, H, W, C) to y (N, h, w, C'); a second value is added to a result that is not clamped."""
        x, *add = values
        layer, form = self.layer, self._form(x)
        settings = (layer.bias, form.padding, layer.stride, layer.dilation, layer.groups)
        y: Tensor = _convolve.default(x.permute(0, 3, 1, 2), form.forward, *settings, *self._after).permute(0, 2, 3, 1)
        return (y.add_(add[0]) if add else y,)

    def backward(self, gradient: Tensor, values: Sequence[Tensor], made: Made, so_far: Tensor | None) -> list[Tensor]:
        """Map d/dy to d/dx plus `so_far`, and to itself for a second value. Where y is clamped, d/dy is overwritten."""
        x, layer = values[0], self.layer
        form = self._form(x)
        gradient = masked(gradient, made[0], self.ceiling)
        flat = gradient.permute(0, 3, 1, 2)
        if self._flips:
            # The gradient of a convolution without stride is one with the flipped kernel.
            settings = (None, form.around, (1, 1), (1, 1), layer.groups)
            found: Tensor = _convolve.default(flat, form.backward, *settings, *_NOTHING)
        elif self._sub_pixels:
            found = gradient_by_sub_pixels(flat, form.backward, x.shape[1:], form.padding, layer.stride[0])
        else:
            found = layer.gradient_of_input(flat, x.permute(0, 3, 1, 2), form.kernel, form.padding)
        found = found.permute(0, 2, 3, 1)
        return [found if so_far is None else found.add_(so_far), gradient][: len(values)]

    def _form(self, x: Tensor) -> _Form:
        """Look up what images of x's size need. Wide kernels are kept for the last size only: they take memory."""
        size = tuple(x.shape[:3]) if self._is_wide else tuple(x.shape[1:3])
        form = self._forms.get(size)
        if form is None:
            if self._is_wide:
                self._forms, self._packed = {}, {}
            form = self._forms[size] = self._new_form(x)
        return form

    def _new_form(self, x: Tensor) -> _Form:
        kernel, padding = self.layer.kernel_for(x.shape[1], x.shape[2])
        around = (kernel.shape[2] - 1 - padding[0], kernel.shape[3] - 1 - padding[1])
        shape = tuple(kernel.shape)  # the kernels of a layer differ in it
        size = (x.shape[1], x.shape[2])
        forward = self._once(("forward", shape, padding), lambda: self._pack(kernel, padding, len(x), size))
        backward = kernel
        if self._flips:
            less = [size[i] + padding[i] - around[i] for i in (0, 1)]  # the size of the result
            flipped = self._flipped(kernel)
            backward = self._once(("backward", shape, around), lambda: self._pack(flipped, around, len(x), less))
        elif self._sub_pixels:
            backward = self._once(("sub-pixels", shape), lambda: sub_pixel_kernel(kernel, self.layer.stride[0], 8))
        return _Form(kernel, padding, forward, backward, around)

    def _flipped(self, kernel: Tensor) -> Tensor:
        """Flip the kernel and exchange, in each group, what goes in and what comes out."""
        groups, (outputs, inputs, down, across) = self.layer.groups, kernel.shape
        swapped = kernel.flip(2, 3).view(groups, outputs // groups, inputs, down, across).transpose(1, 2)
        return swapped.reshape(-1, outputs // groups, down, across).contiguous(memory_format=torch.channels_last)

    def _once(self, key: object, make: Callable[[], Tensor]) -> Tensor:
        found = self._packed.get(key)
        if found is None:
            found = self._packed[key] = make()
        return found

    def _pack(self, kernel: Tensor, padding: tuple[int, int], count: int, size: Sequence[int]) -> Tensor:
        """Bring a kernel into oneDNN's own layout for images of a size; the layout changes no result."""
        shape = [count, kernel.shape[1] * self.layer.groups, *size]
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            kernel, padding, self.layer.stride, self.layer.dilation, self.layer.groups, shape
        )
        return packed


def masked(gradient: Tensor, y: Tensor, ceiling: float | None) -> Tensor:
    """Zero a gradient where y was clamped to [0, ceiling]: as for a ReLU, at and below 0 too.

    The result is contiguous; a contiguous gradient is overwritten.
    """
    if ceiling is None:
        return gradient.contiguous()
    into = gradient if gradient.is_contiguous() else torch.empty(gradient.shape)
    _mask(gradient, y, 0.0, ceiling, grad_input=into)
    return into


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


# Input channels of a group up to which oneDNN's layout of a kernel is the same for all sizes of image. For wider ones
# it is not, and a kernel in the layout of another size takes up to a hundred times as long as one that is not packed.
_FEW_INPUTS = 3

# Rows that a packed matrix is meant for; oneDNN's layout hardly depends on it, and no result does.
_ROWS = 4096


def _pack_matrix(matrix: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _ROWS)
    return packed
