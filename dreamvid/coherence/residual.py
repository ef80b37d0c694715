"""Change the carried residual where the frame no longer shows what it was grown on, and where a mask ends.

From one frame to the next, a dissolve changes too little to be told from noise. So the image that a dream was grown on
is carried with the dream, coarse and gray, with the same weights: what is kept of the dream keeps its image, what grows
takes the present one. Where that image differs from the frame, the dream decays, as fast as they diverge: in a dissolve
the dream of the old image goes with it, however long the dissolve takes. The light may change, and fine detail such as
ripples too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import cell_means, enlarge_bilinear, image_mean, luma, resize
from dreamvid.motion.averages import local_mean
from dreamvid.motion.photometric import normalized_ssd
from dreamvid.motion.warp import warp

# Parts of the image's height: detail finer than the first does not count, and light is evened out over the second.
COARSE_PART, WINDOW_PART = 1 / 10, 1 / 2.5
# Mean squared difference of the normalized images (2: unrelated) above which a dream decays, how much of it decays in a
# frame for each further unit, and at most: after a cut that was not detected, the old dream is gone within some frames.
FAMILIAR, LETTING_GO, FASTEST = 0.45, 6.0, 0.5


def reference_image(frame: Tensor) -> Tensor:
    """Reduce an image (1, 3, H, W) to what is carried of it: coarse luma (1, 1, H, W)."""
    window = int(frame.shape[2] * COARSE_PART) | 1
    return local_mean(local_mean(luma(frame), window), window)


def decay_on_scene_change(
    reference: Tensor, now: Tensor, flow: Tensor, validity: Tensor, decay: float, frames: int = 1
) -> tuple[Tensor, Tensor]:
    """Move the reference along with the dream and lower the validity where the frame shows something else.

    reference: of the frame before. now: `reference_image` of this frame, both (1, 1, h, w). flow, validity: how this
    frame follows from that one, (1, 2, h, w) and (1, 1, h, w). decay: the part of a dream that is left after the time
    between them. frames: the number of frames between them.
    Returns the validity lowered where the image has changed, and the reference of what is then carried.
    """
    moved = warp(reference, flow, mode="bilinear")
    changed = normalized_ssd(moved, now, int(now.shape[2] * WINDOW_PART) | 1)
    kept = validity * (1 - (LETTING_GO * (changed - FAMILIAR)).clamp(0, FASTEST)) ** frames
    return kept, torch.lerp(now, moved, decay * kept)


# The flow is averaged over cells, this many from top to bottom of the frame, so that its derivative is that of objects
# that come closer, not of its noise.
CELLS_DOWN = 30
# A larger magnification is a jump of the flow at the edge of a moving object.
_LEAST = 0.5


def detail_retention(flow: Tensor) -> Tensor:
    """Compute which part of its present area each position had in the frame before: (N, 1, H, W) in [0.5, 1].

    flow: backward (N, 2, H, W), x then y in pixels. The area is the determinant of the Jacobian of p + flow(p), by
    central differences. Where the image shrinks the result is 1.
    """
    size = (flow.shape[2], flow.shape[3])
    cell = max(1, round(size[0] / CELLS_DOWN))
    cells = cell_means(flow, cell)
    cells = F.pad(cells, (1, 1, 1, 1), mode="replicate")
    across = (cells[:, :, 1:-1, 2:] - cells[:, :, 1:-1, :-2]) / (2 * cell)
    down = (cells[:, :, 2:, 1:-1] - cells[:, :, :-2, 1:-1]) / (2 * cell)
    area = (1 + across[:, :1]) * (1 + down[:, 1:]) - across[:, 1:] * down[:, :1]
    return F.interpolate(area.clamp(_LEAST, 1), size, mode="bilinear", align_corners=False)


# Strength is compared over cells of this side in pixels, and in one keyframe changes at most by this factor. A cell
# whose power differs from what is wanted by less than the last factor is even enough.
STRENGTH_CELL, STRONGER, EVEN_ENOUGH = 10, 1.15, 1.3
# Grain is what differs from the mean over 3 × 3 pixels; its strength is compared over cells of this side.
GRAIN_WINDOW, GRAIN_CELL = 3, 8
# What is coarse is larger than cells of this side. In one keyframe grain and what is coarse change at most by these
# factors.
COARSE_CELL, LEAST_GAIN, MOST_GAIN = 32, 0.95, 1.03


def even_strength(
    residual: Tensor, wanted: Tensor, share: float = 1, *, most: float = STRONGER
) -> tuple[Tensor, Tensor]:
    """Bring the strength of each place of a residual closer to what is wanted there, where it is far from that.

    residual: (1, 3, h, w). wanted: its RMS, (1, 1, h, w). share: how much of the difference goes, as an exponent: 1 is
    all of it. most: the factor by which the strength changes at most. Returns the residual, and its power as a part of
    what is wanted: (1, 1, h, w).
    """
    size = residual.shape[2], residual.shape[3]
    has, due = (cell_means(power(x), STRENGTH_CELL) for x in (residual, wanted))
    part = has / due.clamp_min(1e-9)
    uneven = part / part.clamp(1 / EVEN_ENOUGH, EVEN_ENOUGH)
    gain = (uneven.clamp_min(1e-9) ** (-share / 2)).clamp(1 / most, most)
    return residual * enlarge_bilinear(gain, size), enlarge_bilinear(part, size)


def limit_grain(residual: Tensor, most: float) -> Tensor:
    """Weaken the finest detail of a residual (1, 3, h, w) where its RMS is above `most`.

    A strong dream that is clipped over a hard edge of the image leaves saturated grain there, which would be carried.
    """
    fine = _grain(residual)
    share = (most / cell_means(power(fine), GRAIN_CELL).sqrt().clamp_min(1e-9)).clamp_max(1)
    return residual - enlarge_bilinear(1 - share, (fine.shape[2], fine.shape[3])) * fine


def measure_spectrum(residual: Tensor, amount: Tensor) -> Tensor:
    """Measure the RMS of a residual (1, 3, h, w), of its grain, and of what is coarse in it: (3,).

    amount: (1, 1, h, w), the part of a whole dream that is there; the result is that of a whole dream everywhere.
    """
    parts = residual, _grain(residual), _coarse(residual)
    powers = torch.cat([image_mean(part.square()) for part in parts]).flatten()
    return (powers / image_mean(amount.square()).flatten().clamp_min(1e-9)).sqrt()


def hold_spectrum(residual: Tensor, amount: Tensor, wanted: Tensor, share: float) -> Tensor:
    """Bring grain and what is coarse in a residual (1, 3, h, w) closer to their parts of the shot's first dream.

    A dream that is carried and renewed loses grain and gains coarse structure: without this, the first frame of a shot
    is sharper than the twentieth. amount: as for `measure_spectrum`, which `wanted` is from. share: as for
    `even_strength`.
    """
    now = measure_spectrum(residual, amount).clamp_min(1e-9)
    _, grain, coarse = ((wanted / now).pow(share).clamp(LEAST_GAIN, MOST_GAIN) - 1).unbind()
    return residual + grain * _grain(residual) + coarse * _coarse(residual)


def _grain(residual: Tensor) -> Tensor:
    return residual - local_mean(residual, GRAIN_WINDOW)


def _coarse(residual: Tensor) -> Tensor:
    cells = cell_means(residual, COARSE_CELL)
    return enlarge_bilinear(cells, (residual.shape[2], residual.shape[3]))


def power(x: Tensor) -> Tensor:
    """Average the squares of (1, C, h, w) over the channels: (1, 1, h, w)."""
    return x.square().mean(dim=1, keepdim=True)


def limit_to_mask(residual: Tensor, amount: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Limit a residual (1, 3, h, w), and its amount (1, 1, h, w) of a whole dream, to a mask (1, 1, h, w)."""
    share = (mask / amount.clamp_min(1e-3)).clamp(0, 1)
    return residual * share, torch.minimum(amount, mask)


def mask_residual(residual: Tensor, mask: Tensor) -> Tensor:
    """Set a residual (1, 3, h, w) to zero where a mask (1, 1, H, W) is black."""
    size = (residual.shape[2], residual.shape[3])
    return torch.where(resize(mask, size) > 0, residual, torch.zeros_like(residual))
