"""Images of known motion."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.estimator import FlowEstimator
from dreamvid.motion.field import MotionEstimator


def texture(height: int, width: int, seed: int = 0, cell: int = 4) -> Tensor:
    """Smooth noise (1, 3, height, width) in [0, 1] with grains of `cell` pixels."""
    size = (-(-height // cell), -(-width // cell))
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def through_a_sensor(image: Tensor, seed: int, noise: float = 2 / 255) -> Tensor:
    """With sensor noise, rounded to 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    noisy = image + noise * torch.randn(image.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).round() / 255


def flow_between(estimator: FlowEstimator, this: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
    """Estimate the backward flow alone."""
    return estimator.estimate(estimator.prepare(this), estimator.prepare(previous))[0]


def motion_between(
    estimator: FlowEstimator, this: torch.Tensor, previous: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Estimate flow, validity and temporal activity."""
    motion = MotionEstimator(estimator)
    field = motion.motion(motion.prepare(this), motion.prepare(previous))
    field = field.at((this.shape[2], this.shape[3]))
    return field.flow, field.validity, field.temporal_activity
