"""Total variation: how rough a picture is, and which way it becomes smoother."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Differences between neighbours well below this (of a picture in [0, 1]) count by their squares, so that the slope does
# not jump where a picture is flat.
_SOFT = 0.01


def total_variation_gradient(x: Tensor) -> Tensor:
    """Compute the gradient of a picture's total variation, (N, C, H, W) like the picture.

    The variation is Σ √(dx² + dy² + 0.01²) over all pixels and channels, dx and dy being the differences to the pixel
    on the right and to the one below, 0 at the border (Rudin, Osher and Fatemi, "Nonlinear total variation based noise
    removal algorithms", 1992).
    """
    right = F.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1))
    down = F.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1))
    length = torch.sqrt(right.square() + down.square() + _SOFT**2)
    right, down = right / length, down / length
    return F.pad(right[:, :, :, :-1], (1, 0)) - right + F.pad(down[:, :, :-1], (0, 0, 1, 0)) - down
