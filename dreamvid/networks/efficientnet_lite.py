"""Builds EfficientNet-Lite2, the embedded network, in plain PyTorch: loading timm would take four seconds.

EfficientNet is M. Tan's and Q. V. Le's ("EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
2019); its Lite variant, R. Liu's of 2020, has no squeeze-and-excitation and ReLU6 instead of Swish. Names and order of
the weights are those of timm's `tf_efficientnet_lite2`.
"""

from collections import OrderedDict

from torch import Tensor, nn

from dreamvid.networks.same_padding import Conv2dSame

NAME = "efficientnet_lite2"
INPUT_SIZE = 260
MEAN = STD = 0.5

_STEM, _HEAD, _CLASSES = 32, 1280, 1000
# Of each stage: blocks, side of the depthwise kernel, stride of the first block, channels. Lite0's channels times 1.1
# to the nearest multiple of 8, its blocks times 1.2, the first and last stage's as they were.
_STAGES = (
    (1, 3, 1, 16),
    (3, 3, 2, 24),
    (3, 5, 2, 48),
    (4, 3, 2, 88),
    (4, 5, 1, 120),
    (5, 5, 2, 208),
    (1, 3, 1, 352),
)
_EXPANSION = 6


class BatchNormReLU6(nn.BatchNorm2d):
    """Batch norm and the ReLU6 behind it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Normalize and clamp (N, C, H, W)."""
        return self.act(super().forward(x))  # type: ignore[no-any-return]


class DepthwiseSeparableConv(nn.Module):
    """A depthwise convolution, then one of 1 × 1 to other channels: the first stage's block."""

    def __init__(self, before: int, after: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(before, before, kernel, groups=before)
        self.bn1 = BatchNormReLU6(before)
        self.conv_pw = _convolution(before, after, 1)
        self.bn2 = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, H, W)."""
        x = self.bn1(self.conv_dw(x))
        return self.bn2(self.conv_pw(x))  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """1 × 1 to six times the channels, depthwise, 1 × 1 back; the input is added where the shape stays."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * _EXPANSION
        self.adds = before == after and stride == 1
        self.conv_pw = _convolution(before, wide, 1)
        self.bn1 = BatchNormReLU6(wide)
        self.conv_dw = _convolution(wide, wide, kernel, stride, groups=wide)
        self.bn2 = BatchNormReLU6(wide)
        self.conv_pwl = _convolution(wide, after, 1)
        self.bn3 = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, ceil(H / stride), ceil(W / stride))."""
        y: Tensor = self.bn1(self.conv_pw(x))
        y = self.bn2(self.conv_dw(y))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.adds else y


class EfficientNetLite2(nn.Module):
    """The ImageNet classifier; takes (x - MEAN) / STD of RGB in [0, 1], (N, 3, H, W), and returns logits (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, _STEM, 3, 2)
        self.bn1 = BatchNormReLU6(_STEM)
        stages, before = [], _STEM
        for number, (count, kernel, stride, after) in enumerate(_STAGES):
            blocks: list[nn.Module] = []
            for index in range(count):
                if number == 0:
                    blocks.append(DepthwiseSeparableConv(before, after, kernel))
                else:
                    blocks.append(InvertedResidual(before, after, kernel, 1 if index else stride))
                before = after
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _convolution(before, _HEAD, 1)
        self.bn2 = BatchNormReLU6(_HEAD)
        pooling: list[tuple[str, nn.Module]] = [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1))]
        self.global_pool = nn.Sequential(OrderedDict(pooling))
        self.classifier = nn.Linear(_HEAD, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify (N, 3, H, W)."""
        x = self.blocks(self.bn1(self.conv_stem(x)))
        x = self.global_pool(self.bn2(self.conv_head(x)))
        return self.classifier(x)  # type: ignore[no-any-return]


def _convolution(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Make a convolution without bias and with SAME padding, which is symmetric for a stride of 1."""
    convolution: nn.Conv2d
    if stride > 1:
        convolution = Conv2dSame(before, after, kernel, stride, groups=groups, bias=False)
    else:
        convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, groups=groups, bias=False)
    # Until weights are loaded it keeps the variance of what goes through it (He et al., 2015).
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
