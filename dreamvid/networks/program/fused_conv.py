"""Computes convolutions and their activation in one step, in the form that is fastest on a CPU.

Besides its arithmetic, three things make a network's gradient slow on a CPU: passes over memory for activations and
their gradients, copies of channels-last images for matrix products, and PyTorch's choice of an im2col loop for single
images on one thread. Here the activation is applied while the convolution's result is still in a register (oneDNN's
post-operations), a 1 × 1 convolution's gradient is one matrix product without a copy, and a ReLU masks the gradient
in place when nothing else needs it. The arithmetic is the same.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

from dreamvid.networks.same_padding import same_padding_amount

# ReLU is a clamp to [0, ∞), ReLU6 one to [0, 6].
CEILINGS: dict[type[nn.Module], float] = {nn.ReLU: math.inf, nn.ReLU6: 6.0}

# Input channels times stride² up to which a gradient goes by way of sub-pixels.
_FEW_CHANNELS = 16


class FusedConvolution(nn.Module):
    """A convolution with frozen weights, with or without a ReLU or ReLU6 behind it.

    With `same`, padding is TensorFlow's SAME for any input size, without a padded copy of the input: SAME often pads
    one pixel more behind than before. A kernel with a zero in front, padded evenly, computes the same; which side needs
    it depends on the input's size, so there is a kernel for each case.

    ceiling: what the result is clamped to, from 0 on; None leaves it as it is. owns_gradient: the result has one
    reader, itself a convolution, so nothing else needs the gradient that comes back, and it may be overwritten.
    """

    def __init__(
        self, convolution: nn.Conv2d, *, same: bool, ceiling: float | None = None, owns_gradient: bool = False
    ) -> None:
        super().__init__()
        self.bias = convolution.bias
        self.kernel_size = pair(convolution.kernel_size)
        self.stride = pair(convolution.stride)
        self.dilation = pair(convolution.dilation)
        self.padding = (0, 0) if same else pair(convolution.padding)  # type: ignore[arg-type]
        self.groups = convolution.groups
        self.same = same
        self.ceiling = ceiling
        self.owns_gradient = owns_gradient
        for top, left in [(0, 0), (0, 1), (1, 0), (1, 1)] if same else [(0, 0)]:
            kernel = F.pad(convolution.weight.detach(), (left, 0, top, 0))
            self.register_buffer(f"kernel_{top}{left}", kernel.contiguous(memory_format=torch.channels_last))

    @staticmethod
    def takes(convolution: nn.Conv2d) -> bool:
        """Return True for a convolution that pads with zeros, by a number of pixels."""
        return convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, C', h, w) and clamp."""
        x, kernel, padding = self._arguments(x)
        if x.device.type == "cpu" and x.dtype == torch.float32 and fuses_on_cpu():
            result: Tensor = _FusedOnCpu.apply(x, kernel, padding, self)
            return result
        if x.is_cuda and x.is_contiguous() and self.is_pointwise(kernel, padding):
            y = _multiply(x, kernel, self.bias)
        else:
            y = F.conv2d(x, kernel, self.bias, self.stride, padding, self.dilation, self.groups)
        if self.ceiling is None:
            return y
        return F.relu(y, inplace=True) if math.isinf(self.ceiling) else _clamp_in_place(y, self.ceiling)

    def _arguments(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Return what is convolved, the kernel, and the padding (vertical, horizontal) on both sides."""
        if self.same and self.dilation != (1, 1):  # a zero in front would reach further than one pixel
            (top, bottom), (left, right) = (self._same_padding(x.shape[2 + axis], axis) for axis in (0, 1))
            return F.pad(x, (left, right, top, bottom)), self.get_buffer("kernel_00"), (0, 0)
        return x, *self.kernel_for(x.shape[2], x.shape[3])

    def kernel_for(self, height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
        """Return the kernel for images of a size and the padding (vertical, horizontal), the same on both sides."""
        if not self.same:
            return self.get_buffer("kernel_00"), self.padding
        (top, bottom), (left, right) = (self._same_padding(size, axis) for axis, size in enumerate((height, width)))
        return self.get_buffer(f"kernel_{bottom - top}{right - left}"), (bottom, right)

    @property
    def uses_sub_pixels(self) -> bool:
        """Whether the gradient of the input goes by way of sub-pixels: with a stride and few channels."""
        stride, few = self.stride[0], self.get_buffer("kernel_00").shape[1] * math.prod(self.stride) <= _FEW_CHANNELS
        return few and 1 < stride == self.stride[1] and self.groups == 1 and self.dilation == (1, 1)

    def gradient_of_input(self, gradient: Tensor, x: Tensor, kernel: Tensor, padding: tuple[int, int]) -> Tensor:
        """Compute d/dx from d/dy (before the clamp), with one of the layer's kernels; x gives the shape alone."""
        return _gradient_of_input(gradient, x, kernel, padding, self)

    def is_pointwise(self, kernel: Tensor, padding: tuple[int, int]) -> bool:
        """Tell if each pixel of the result is computed from the same pixel of the image alone."""
        return kernel.shape[2:] == (1, 1) == self.stride and padding == (0, 0) and self.groups == 1

    def _same_padding(self, size: int, axis: int) -> tuple[int, int]:
        """Padding of one axis before and after."""
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        total = same_padding_amount(size, reach, self.stride[axis])
        return total // 2, total - total // 2


@functools.cache
def fuses_on_cpu() -> bool:
    """Try the operator that `_FusedOnCpu` calls, once: it is PyTorch's own and may change or go without notice."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x, kernel = torch.linspace(-1, 1, 16).view(1, 1, 4, 4), torch.linspace(-1, 1, 9).view(1, 1, 3, 3)
    try:
        y = torch.ops.mkldnn._convolution_pointwise(
            x, kernel, None, (0, 0), (1, 1), (1, 1), 1, *post_operation(1.0), ""
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(y, F.conv2d(x, kernel).clamp(0, 1), atol=1e-5)


class _FusedOnCpu(torch.autograd.Function):
    """The convolution and its clamp, float32; the gradient is with respect to the image only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: tuple[int, int], layer: FusedConvolution) -> Tensor:
        name, bounds = post_operation(layer.ceiling)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, kernel, layer.bias, padding, layer.stride, layer.dilation, layer.groups, name, bounds, ""
        )
        ctx.padding, ctx.layer = padding, layer
        ctx.save_for_backward(x, kernel, *([] if layer.ceiling is None else [y]))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        layer: FusedConvolution = ctx.layer
        x, kernel, *rest = ctx.saved_tensors
        if layer.ceiling is not None:
            into = gradient if layer.owns_gradient else torch.empty_like(gradient)
            # A clamp to [0, ∞) has the gradient of a ReLU: none at and below 0.
            gradient = torch.ops.aten.hardtanh_backward.grad_input(
                gradient, rest[0], 0.0, layer.ceiling, grad_input=into
            )
        return _gradient_of_input(gradient, x, kernel, ctx.padding, layer), None, None, None


def _gradient_of_input(
    gradient: Tensor, x: Tensor, kernel: Tensor, padding: tuple[int, int], layer: FusedConvolution
) -> Tensor:
    if layer.is_pointwise(kernel, padding):
        n, _, h, w = gradient.shape
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, kernel.shape[0])
        return (rows @ kernel.flatten(1)).view(n, h, w, -1).permute(0, 3, 1, 2)
    if layer.uses_sub_pixels:
        square = sub_pixel_kernel(kernel, layer.stride[0], 8)  # whole vectors of the processor
        return gradient_by_sub_pixels(gradient, square, (*x.shape[2:], x.shape[1]), padding, layer.stride[0])
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        kernel,
        None,
        layer.stride,
        padding,
        layer.dilation,
        False,
        (0, 0),
        layer.groups,
        (True, False, False),
    )[0]
    return result


def gradient_by_sub_pixels(
    gradient: Tensor, square: Tensor, size: Sequence[int], padding: tuple[int, int], stride: int
) -> Tensor:
    """Compute the gradient of a strided convolution's input as a convolution without stride.

    Its channels are the input's at each position of a square of stride × stride pixels, interleaved afterwards (W. Shi
    et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network", 2016). For a network's first convolution, from three channels, it takes less than half the time of oneDNN.
    """
    n, (height, width, channels) = len(gradient), size
    y = F.conv2d(gradient, square, padding=(square.shape[2] - 1, square.shape[3] - 1))
    rows, columns = y.shape[2:]
    y = y[:, : stride * stride * channels].view(n, stride, stride, channels, rows, columns).permute(0, 4, 1, 5, 2, 3)
    y = y.reshape(n, stride * rows, stride * columns, channels)
    top, left = padding
    # Pixels at the end that no position of the kernel reaches have no gradient.
    more = max(height + top - y.shape[1], 0), max(width + left - y.shape[2], 0)
    if any(more):  # not adding any would copy too
        y = F.pad(y, (0, 0, 0, more[1], 0, more[0]))
    return y[:, top : top + height, left : left + width].contiguous().permute(0, 3, 1, 2)


def _multiply(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Compute a 1 × 1 convolution of (N, C, H, W) as matrix products; cuDNN takes milliseconds to plan one."""
    y = (kernel.flatten(1) @ x.flatten(2)).view(len(x), -1, x.shape[2], x.shape[3])
    return y if bias is None else y + bias.view(1, -1, 1, 1)


def sub_pixel_kernel(kernel: Tensor, stride: int, multiple: int = 1) -> Tensor:
    """Arrange a kernel for the gradient of its input by sub-pixels: (stride · stride · C, C', down, across).

    The first number is filled up to a multiple with kernels of zeros.
    """
    down, across = (-(-size // stride) for size in kernel.shape[2:])  # of the kernel, in squares
    square = F.pad(kernel, (0, stride * across - kernel.shape[3], 0, stride * down - kernel.shape[2]))
    square = square.view(-1, kernel.shape[1], down, stride, across, stride).flip(2, 4).permute(3, 5, 1, 0, 2, 4)
    square = square.flatten(0, 2)
    square = F.pad(square, (0, 0, 0, 0, 0, 0, 0, -len(square) % multiple))
    return square.contiguous(memory_format=torch.channels_last)


def post_operation(ceiling: float | None) -> tuple[str, list[float]]:
    """Name the activation that clamps to [0, ceiling], and its bounds, as oneDNN's operators take them."""
    if ceiling is None:
        return "none", []
    return ("relu", []) if math.isinf(ceiling) else ("hardtanh", [0.0, ceiling])


class _ClampInPlace(torch.autograd.Function):
    """A clamp over its operand: `hardtanh_` computes a copy first, and for `clamp_` autograd keeps one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float) -> Tensor:
        x.clamp_(0, ceiling)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        ctx.ceiling = ceiling
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradients[0], y, 0.0, ctx.ceiling), None


def _clamp_in_place(x: Tensor, ceiling: float) -> Tensor:
    if torch.compiler.is_compiling():  # which plans its memory itself
        return F.hardtanh(x, 0.0, ceiling)
    result: Tensor = _ClampInPlace.apply(x, ceiling)
    return result


def clamp_ceiling(body: fx.GraphModule, node: fx.Node) -> float | None:
    """What a ReLU or ReLU6 clamps to; None if the node is neither."""
    if node.op == "call_function":
        return CEILINGS[nn.ReLU] if node.target in (F.relu, torch.relu) else None
    if node.op == "call_method":
        return CEILINGS[nn.ReLU] if node.target == "relu" else None
    return CEILINGS.get(type(body.get_submodule(str(node.target)))) if node.op == "call_module" else None


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Complete a number that stands for both axes."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
