"""Finding what stands still, so that there nothing is resampled: a still shot neither blurs nor shimmers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.fill import fill_values
from dreamvid.motion.photometric import SMOOTHING, SURE, exposure, local_mean, normalized_ssd
from dreamvid.motion.warp import warp

# Stillness is judged over squares of this part of the image's height; flat ones ask the texture in the larger ones.
WINDOW_PART, ASKED_PART = 1 / 8, 1 / 2
# Zero flow may leave this many times the squared error of the estimated flow, plus what half a level of 255 makes.
TOLERANCE, FLOOR = 2.0, (0.5 / 255) ** 2
# A surround is black or white to within this: bars that a codec has touched.
SURROUND_NOISE = 3 / 255
# There is texture enough to judge by where a motion of this many pixels would leave an error that noise does not.
TELLING = 0.5
# A flat place goes along with things that move around it where its flow is theirs, to within this part of it and no
# less than a pixel: what an estimator makes of noise is another flow. They have to be so much of what is around it.
ALIKE, HEARD = 1 / 4, 0.01
# A place has texture of like color next to it where so much of its stillness is known from there.
KNOWN = 0.3


def static_mask(this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """True where no motion explains the frames as well as `flow` does, but for their light; (N, 1, H, W).

    this, previous: (N, 3, H, W) in [0, 1]. flow: backward (N, 2, H, W), in pixels. The error counts over a
    surrounding: near something that moves nothing is called still. Flat places go with the texture of like
    color that is next to them, others with most of the texture around them, and an image without any stands still.
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
    telling = (TELLING**2 * _steepness(now, window) > threshold).to(flow.dtype)
    heard = local_mean(telling, asked)
    everywhere = telling.mean(dim=(2, 3), keepdim=True)
    said = local_mean(telling * still, asked) / heard.clamp_min(1e-6)
    said_everywhere = (telling * still).mean(dim=(2, 3), keepdim=True) / everywhere.clamp_min(1e-6)
    said = torch.where(heard > HEARD, said, torch.where(everywhere > HEARD, said_everywhere, torch.ones_like(said)))
    said = torch.where(_goes_along(flow, 1 - still, asked), torch.zeros_like(said), said)
    said_alike, known = fill_values(still, telling, this)
    said = torch.lerp(said, said_alike, (known / KNOWN).clamp_max(1))
    return (still > 0) & ((telling > 0) | (said > 0.5))


def _goes_along(flow: Tensor, moving: Tensor, window: int) -> Tensor:
    """True where `flow` (N, 2, H, W) is that of what moves around, over squares of side `window`; (N, 1, H, W).

    moving: (N, 1, H, W), 1 where no stillness explains the frames and 0 elsewhere.
    """
    heard = local_mean(moving, window)
    said = moving * _length(flow)  # what moves far speaks louder than what hardly does
    theirs = local_mean(said * flow, window) / local_mean(said, window).clamp_min(1e-6)
    apart, length = _length(flow - theirs), _length(theirs)
    return (heard > HEARD) & (apart < (ALIKE * length).clamp_min(1)) & (length > 1)


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(dim=1, keepdim=True).sqrt()


def surround(this: Tensor, previous: Tensor) -> Tensor:
    """True in black or white surrounds of the image (letterbox bars, vignettes, fades); (N, 1, H, W).

    this, previous: (N, 3, H, W) in [0, 1]. A surround reaches a border of the frame in a straight line along which
    both frames are flat black, or both flat white. Whatever moves beside it, it stands still.
    """
    channels = torch.cat((this, previous), dim=1)
    lightest, darkest = channels.amax(dim=1, keepdim=True), channels.amin(dim=1, keepdim=True)
    reached = torch.zeros_like(lightest, dtype=torch.bool)
    for flat in (lightest <= SURROUND_NOISE, darkest >= 1 - SURROUND_NOISE):
        for axis in (2, 3):
            reached |= flat.cummin(axis).values | flat.flip(axis).cummin(axis).values.flip(axis)
    return reached


def zero_static_flow(flow: Tensor, still: Tensor) -> Tensor:
    """Set `flow` (N, 2, H, W) to exactly zero where `still` (N, 1, H, W) is true."""
    return torch.where(still, torch.zeros_like(flow), flow)


def _steepness(x: Tensor, window: int) -> Tensor:
    """What a motion of one pixel changes at least, squared, whatever its direction; over squares of side `window`.

    x: (N, 1, H, W). It is the smaller eigenvalue of the structure tensor: a motion along a straight edge changes
    nothing.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    aa, ad, dd = (local_mean(product, window) for product in (across * across, across * down, down * down))
    return (aa + dd) / 2 - (((aa - dd) / 2).square() + ad.square()).sqrt()
