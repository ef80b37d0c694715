"""Finds the subject of an image with U²-Net-p (Qin et al., "U²-Net: Going deeper with nested U-structure", 2020).

The network's published weights come with dreamvid, in half precision (see docs/licenses.md). It was trained to find
what people look at first: a person, an animal, a thing in front of its surroundings.
"""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.family import IMAGENET_MEAN, IMAGENET_STD

WEIGHTS = Path(__file__).with_name("u2netp.safetensors")
SHA256 = "fe28406e183308f13a82826efc2596c280a0a664492198f28995f7ac9d1bf1e7"
SIDE = 320
"""The image is stretched to a square of this side in pixels, as in training."""

_MIDDLE, _CHANNELS = 16, 64
_DEPTHS = (7, 6, 5, 4)  # of the blocks of the first stages; those of the last two do not reduce
_DILATIONS = (1, 2, 4, 8)


class _Convolution(nn.Conv2d):
    """A 3 × 3 convolution with a ReLU; its batch norm is part of the weights."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu_()


class _Block(nn.Module):
    """A small U-Net with a shortcut: it halves the image depth - 2 times, or dilates instead."""

    def __init__(self, inputs: int, depth: int, *, reduces: bool) -> None:
        super().__init__()
        self.reduces = reduces
        dilations = [1] * (depth - 1) + [2] if reduces else list(_DILATIONS)
        self.first = _Convolution(inputs, _CHANNELS)
        self.down = nn.ModuleList(
            _Convolution(_MIDDLE if level else _CHANNELS, _MIDDLE, dilation) for level, dilation in enumerate(dilations)
        )
        self.up = nn.ModuleList(
            _Convolution(2 * _MIDDLE, _MIDDLE if level else _CHANNELS, dilations[level])
            for level in reversed(range(depth - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        whole: Tensor = self.first(x)
        levels = [self.down[0](whole)]
        for down in list(self.down)[1:-1]:
            levels.append(down(_halve(levels[-1]) if self.reduces else levels[-1]))
        x = self.down[-1](levels[-1])
        for up, level in zip(self.up, reversed(levels), strict=True):
            x = up(torch.cat((_enlarge(x, level), level), dim=1))
        return whole + x


class SubjectNetwork(nn.Module):
    """U²-Net-p; modules in order of execution, as the weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [_Block(_CHANNELS if level else 3, depth, reduces=True) for level, depth in enumerate(_DEPTHS)]
            + [_Block(_CHANNELS, 4, reduces=False) for _ in range(2)]
        )
        self.up = nn.ModuleList(
            [_Block(2 * _CHANNELS, 4, reduces=False)]
            + [_Block(2 * _CHANNELS, depth, reduces=True) for depth in reversed(_DEPTHS)]
        )
        self.sides = nn.ModuleList(nn.Conv2d(_CHANNELS, 1, 3, padding=1) for _ in range(6))
        self.joined = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) in [0, 1] to the probability of the subject, (N, 1, 320, 320)."""
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        x = x / x.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
        mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        x = (x - mean) / std
        levels = [self.down[0](x)]
        for down in list(self.down)[1:]:
            levels.append(down(_halve(levels[-1])))
        found = [levels[-1]]
        for up, level in zip(self.up, reversed(levels[:-1]), strict=True):
            found.append(up(torch.cat((_enlarge(found[-1], level), level), dim=1)))
        maps = [side(level) for side, level in zip(self.sides, reversed(found), strict=True)]
        joined: Tensor = self.joined(torch.cat([_enlarge(one, maps[0]) for one in maps], dim=1))
        return joined.sigmoid()


def load_subject_network(device: torch.device | str = "cpu") -> SubjectNetwork:
    """Load the network with its published weights. Raises NetworkError if they are not those of this version."""
    try:
        content = WEIGHTS.read_bytes()
    except OSError as error:
        raise NetworkError(
            f"The weights for masks of the subject cannot be read: {error}. Reinstall dreamvid."
        ) from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise NetworkError(
            f"The weights for subject masks, {str(WEIGHTS)!r}, are not those of this version. Reinstall dreamvid."
        )
    network = SubjectNetwork()
    network.load_state_dict({name: value.float() for name, value in safetensors.torch.load(content).items()})
    return network.eval().requires_grad_(False).to(device)


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
