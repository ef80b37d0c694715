"""Pads as TensorFlow's SAME: ceil(size / stride) positions, the odd pixel of padding behind."""

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn


class Conv2dSame(nn.Conv2d):
    """A convolution with SAME padding, of zeros."""

    @classmethod
    def from_conv(cls, convolution: nn.Conv2d) -> Self:
        """Make a copy of an unpadded convolution that shares its weights."""
        twin = cls(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,  # type: ignore[arg-type]
            convolution.stride,  # type: ignore[arg-type]
            dilation=convolution.dilation,  # type: ignore[arg-type]
            groups=convolution.groups,
            bias=convolution.bias is not None,
            device="meta",
        )
        twin.weight, twin.bias = convolution.weight, convolution.bias
        return twin

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        totals = [same_padding_amount(size, r, s) for size, r, s in zip(x.shape[2:], reach, self.stride, strict=True)]
        sides = [side for total in reversed(totals) for side in (total // 2, total - total // 2)]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class SameMaxPool2d(nn.MaxPool2d):
    """Max-pooling with SAME padding (of -inf), square; the kernel is odd or the stride above 1."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = int(self.kernel_size), int(self.stride)  # type: ignore[arg-type]
        front = tuple(same_padding_amount(size, kernel, stride) // 2 for size in x.shape[2:])
        # The padding behind is the overhang of the last window, which `ceil_mode` allows.
        return F.max_pool2d(x, kernel, stride, padding=front, ceil_mode=True)


def same_padding_amount(size: int, reach: int, stride: int) -> int:
    """Compute the pixels of padding along an axis, both sides together, for windows of `reach` pixels."""
    return max((-(-size // stride) - 1) * stride + reach - size, 0)
