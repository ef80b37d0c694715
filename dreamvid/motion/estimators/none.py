"""The estimator `none`: nothing moves, so a dream stays where it was."""

import torch
from torch import Tensor

from dreamvid.motion.estimator import refuse_weights


class NoFlow:
    """Zero flow."""

    fingerprint = ""

    def __init__(self, device: torch.device, weights: str | None) -> None:
        refuse_weights("none", weights)

    def prepare(self, frame: Tensor) -> Tensor:
        """Return the zeros."""
        return torch.zeros_like(frame[:, :2])

    def estimate(self, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Return them for both directions."""
        return this, previous


PLUGIN = NoFlow
