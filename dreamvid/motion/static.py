"""Finding what stands still, so that there nothing is resampled: a still shot neither blurs nor shimmers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.photometric import SMOOTHING, SURE, exposure, local_mean, normalized_ssd
from dreamvid.motion.warp import warp

# Stillness is judged over squares of this part of the image's height; flat ones ask the texture in the larger ones.
WINDOW_PART, ASKED_PART = 1 / 8, 1 / 2
# Zero flow may leave this many times the squared error of the estimated flow, plus what half a level of 255 makes.
TOLERANCE, FLOOR = 2.0, (0.5 / 255) ** 2
# There is texture enough to judge by where a motion of this many pixels would leave an error that noise does not.
TELLING = 0.5


def static_mask(this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """True where no motion explains the frames as well as `flow` does, but for their light; (N, 1, H, W).

    this, previous: (N, 3, H, W) in [0, 1]. flow: backward (N, 2, H, W), in pixels. The error counts over a
    surrounding: near something that moves nothing is called still. Flat places go with most of the texture around
    them, and an image without any texture stands still.
    """
    window, asked = (int(this.shape[2] * part) | 1 for part in (WINDOW_PART, ASKED_PART))
    # An estimator fits noise, so it is smoothed away.
    now, before = (local_mean(luma(frame), SMOOTHING) for frame in (this, previous))
    before = (exposure(now, before) * before).clamp_max(1)
    unmoved = local_mean((now - before).square(), window)
    moved = local_mean((now - warp(before, flow)).square(), window)
    threshold = TOLERANCE * moved + FLOOR
    same = (
        normalized_ssd(now, before, window) < SURE
    )  # where nothing explains the frames, nothing is known to stand still
    still = (same & (unmoved <= threshold)).to(flow.dtype)
    telling = (TELLING**2 * local_mean(_steepness(now), window) > threshold).to(flow.dtype)
    heard = local_mean(telling, asked)
    everywhere = telling.mean(dim=(2, 3), keepdim=True)
    said = local_mean(telling * still, asked) / heard.clamp_min(1e-6)
    said_everywhere = (telling * still).mean(dim=(2, 3), keepdim=True) / everywhere.clamp_min(1e-6)
    said = torch.where(heard > 0.01, said, torch.where(everywhere > 0.01, said_everywhere, torch.ones_like(said)))
    return (still > 0) & ((telling > 0) | (said > 0.5))


def zero_static_flow(flow: Tensor, still: Tensor) -> Tensor:
    """Set `flow` (N, 2, H, W) to exactly zero where `still` (N, 1, H, W) is true."""
    return torch.where(still, torch.zeros_like(flow), flow)


def _steepness(x: Tensor) -> Tensor:
    """Squared gradient of (N, 1, H, W), per pixel, halved: what a motion of one pixel in any direction changes."""
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return (across.square() + down.square()) / 2
