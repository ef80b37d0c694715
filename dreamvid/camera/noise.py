"""Makes colored noise, from which an animation can begin."""

import numpy as np
import torch
from torch import Tensor

from dreamvid.image.tensors import resize
from dreamvid.settings.size import Size

# Noise like an image of nature: power falls with the square of the frequency; mostly brightness, some color.
_NOISE_MEAN = (0.49, 0.45, 0.44)
_NOISE_BRIGHTNESS, _NOISE_COLOR = 0.19, 0.07


def noise_image(size: Size, seed: int) -> Tensor:
    """Make smooth colored noise of a size, (1, 3, H, W) in [0, 1]; the same shapes at every size."""
    height, width = size
    # Drawn on a coarse grid per octave, so that a draft shows the shapes of the final.
    random = np.random.default_rng(seed)
    total = torch.zeros(1, 3, height, width)
    for rows in (2, 3, 6, 12, 24, 48):
        columns = max(2, round(rows * width / height))
        grain = torch.from_numpy(random.standard_normal((1, 3, rows, columns), dtype=np.float32))
        total = total + resize(grain, size) / rows**0.8
    # One direction for brightness, two at right angles to it for color (Ohta, Kanade & Sakai 1980).
    basis = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [-0.5, 1.0, -0.5]])
    basis = basis / basis.norm(dim=1, keepdim=True) * 3**0.5
    total = total - total.mean(dim=(2, 3), keepdim=True)
    total = total / total.std(dim=(2, 3), keepdim=True)
    weight = torch.tensor([_NOISE_BRIGHTNESS, _NOISE_COLOR, _NOISE_COLOR])
    colors = torch.einsum("cd,nchw->ndhw", weight[:, None] * basis, total)
    return (colors + torch.tensor(_NOISE_MEAN).view(1, 3, 1, 1)).clamp(0, 1)
