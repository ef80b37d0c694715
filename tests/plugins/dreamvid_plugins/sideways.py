"""A flow estimator: everything moves one pixel to the right."""

import torch
from torch import Tensor


class Sideways:
    fingerprint = "one pixel"

    def __init__(self, device: torch.device, weights: str | None) -> None:
        self.device = device

    def prepare(self, frame: Tensor) -> Tensor:
        return frame

    def estimate(self, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        backward = torch.zeros_like(this[:, :2])
        backward[:, 0] = -1
        return backward, -backward
