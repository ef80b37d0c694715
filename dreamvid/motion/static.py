"""Find what stands still, so that nothing is resampled there: a still shot neither blurs nor shimmers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.planes import is_plain
from dreamvid.image.tensors import enlarge_bilinear, image_mean, luma
from dreamvid.motion.averages import local_mean, mean_square, reduce
from dreamvid.motion.fill import fill_reduced, reduced_size
from dreamvid.motion.photometric import SMOOTHING, SURE, exposure, normalized_ssd
from dreamvid.motion.warp import follow, resize_flow

# Stillness is judged over squares of this part of the image's height; flat squares follow the texture in larger ones.
WINDOW_PART, ASKED_PART = 1 / 8, 1 / 2
# Zero flow may leave this many times the squared error of the estimated flow, plus that of half a level of 255.
TOLERANCE, FLOOR = 2.0, (0.5 / 255) ** 2
# A surround is black or white up to this much, as in bars that a codec has changed.
SURROUND_NOISE = 3 / 255
# There is enough texture to judge where a motion of this many pixels would leave a larger error than noise does.
TELLING = 0.5
# A flat region moves with the objects around it if its flow is theirs, up to this part of it or one pixel (of noise, an
# estimator makes another flow), and if they are at least this part of the surroundings.
ALIKE, HEARD = 1 / 4, 0.01
# A position has texture of similar color next to it if its stillness is known from there at least this well.
KNOWN = 0.3


def static_mask(this: Tensor, previous: Tensor, flow: Tensor, affinity: Tensor) -> Tensor:
    """Find where zero motion explains the frames as well as `flow` does, apart from their light: true; (N, 1, H, W).

    this, previous: (N, 3, H, W) in [0, 1]. flow: backward (N, 2, H, W), in pixels. affinity: `color_affinity` of
    `this`. The error counts over a surrounding square, so nothing next to a moving object counts as still. Flat regions
    follow the texture of similar color next to them, or else most of the texture around them. An image without any
    texture stands still.
    """
    window, asked = (int(this.shape[2] * part) | 1 for part in (WINDOW_PART, ASKED_PART))
    # An estimator fits noise, so it is smoothed away.
    now, before = (local_mean(luma(frame), SMOOTHING) for frame in (this, previous))
    before = (exposure(now, before) * before).clamp_max(1)
    unmoved = mean_square(now - before, window)
    moved = mean_square(now - follow(before, flow, mode="bicubic"), window)
    threshold = TOLERANCE * moved + FLOOR
    same = (
        normalized_ssd(now, before, window) < SURE
    )  # where nothing explains the frames, nothing is known to stand still
    still = (same & (unmoved <= threshold)).to(flow.dtype)
    telling = (TELLING**2 * _steepness(now, window) > threshold).to(flow.dtype)
    return (still > 0) & ((telling > 0) | (_said(flow, still, telling, asked, affinity) > 0.5))


def _said(flow: Tensor, still: Tensor, telling: Tensor, window: int, affinity: Tensor) -> Tensor:
    """Ask the texture around each position whether it stands still: (N, 1, H, W) in [0, 1]; by halves of the size."""
    size, half = (still.shape[2], still.shape[3]), reduced_size((still.shape[2], still.shape[3]))
    flow, both = resize_flow(flow, half), reduce(telling * still, half)
    still, telling = reduce(still, half), reduce(telling, half)
    window = window // 2 | 1
    heard, said = local_mean(torch.cat((telling, both), dim=1), window).chunk(2, dim=1)
    everywhere, said_everywhere = image_mean(telling), image_mean(both)
    said = torch.where(
        heard > HEARD,
        said / heard.clamp_min(1e-6),
        torch.where(everywhere > HEARD, said_everywhere / everywhere.clamp_min(1e-6), 1.0),
    )
    said = said * (~_goes_along(flow, 1 - still, window)).to(said.dtype)
    alike, known = fill_reduced(still, telling, affinity)
    return enlarge_bilinear(torch.lerp(said, alike, (known / KNOWN).clamp_max(1)), size)


def _goes_along(flow: Tensor, moving: Tensor, window: int) -> Tensor:
    """Find where `flow` (N, 2, H, W) is that of what moves nearby, in squares of side `window`; (N, 1, H, W).

    moving: (N, 1, H, W), 1 where no stillness explains the frames and 0 elsewhere.
    """
    said = moving * _length(flow)  # large motions count more
    heard, total, across, down = local_mean(torch.cat((moving, said, said * flow), dim=1), window).chunk(4, dim=1)
    theirs = torch.cat((across, down), dim=1) / total.clamp_min(1e-6)
    apart, length = _length(flow - theirs), _length(theirs)
    return (heard > HEARD) & (apart < (ALIKE * length).clamp_min(0.5)) & (length > 0.5)


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(dim=1, keepdim=True).sqrt()


def surround(this: Tensor, previous: Tensor) -> Tensor:
    """Find black or white surrounds of the image (letterbox bars, vignettes, fades): true there; (N, 1, H, W).

    this, previous: (N, 3, H, W) in [0, 1]. A surround reaches a border of the frame in a straight line along which
    both frames are flat black, or both flat white. It stands still, whatever moves next to it.
    """
    channels = torch.cat((this, previous), dim=1)
    lightest, darkest = channels.amax(dim=1, keepdim=True), channels.amin(dim=1, keepdim=True)
    reached = torch.zeros_like(lightest, dtype=torch.bool)
    for flat in (lightest <= SURROUND_NOISE, darkest >= 1 - SURROUND_NOISE):
        if is_plain(this) and not bool(flat.any()):  # elsewhere, asking would wait for the device
            continue
        for axis in (2, 3):
            # How much lies between a pixel and the first and the last border.
            before = (~flat).cumsum(axis, dtype=torch.int32)
            whole = before.narrow(axis, flat.shape[axis] - 1, 1)
            reached |= (before == 0) | (flat & (before == whole))
    return reached


def zero_static_flow(flow: Tensor, still: Tensor) -> Tensor:
    """Set `flow` (N, 2, H, W) to exactly zero where `still` (N, 1, H, W) is true."""
    return flow * (~still).to(flow.dtype)  # on a CPU ten times as fast as choosing


def _steepness(x: Tensor, window: int) -> Tensor:
    """Compute the least squared change that a motion of one pixel makes in any direction, in squares of side `window`.

    x: (N, 1, H, W). It is the smaller eigenvalue of the structure tensor: a motion along a straight edge changes
    nothing.
    """
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    aa, ad, dd = (local_mean(product, window) for product in (across * across, across * down, down * down))
    return (aa + dd) / 2 - (((aa - dd) / 2).square() + ad.square()).sqrt()
