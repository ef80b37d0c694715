"""What a carried dream was grown on, so that it goes when that has gone: dissolves, slow changes, missed cuts.

From one frame to the next a dissolve changes too little to be told from noise. So beside the dream rides the picture
that it was grown on, coarse and grey, with the same weights: what is kept of the dream keeps its picture, what grows
anew takes the present one. Where the two have grown apart the dream is let go, as fast as they do: a dissolve takes
the old picture's dream along, however long it lasts. Light may change, and fine things such as ripples too.
"""

import torch
from torch import Tensor

from dreamvid.motion.photometric import difference, local_mean, luma
from dreamvid.motion.warp import warp

# Parts of the picture's height: what is finer than the first does not count, and light is evened out over the second.
COARSE_PART, WINDOW_PART = 1 / 10, 1 / 2.5
# Mean squared difference of the normalised pictures (2: unrelated) from which on a dream is let go, and how much of it
# in a frame for each further unit; the rest of a cut that nobody noticed goes within some frames.
FAMILIAR, LETTING_GO, FASTEST = 0.45, 6.0, 0.5


def coarse(frame: Tensor) -> Tensor:
    """The picture (1, 3, H, W) as a reference: coarse luma (1, 1, H, W)."""
    window = int(frame.shape[2] * COARSE_PART) | 1
    return local_mean(local_mean(luma(frame), window), window)


def follow(
    reference: Tensor, now: Tensor, flow: Tensor, validity: Tensor, decay: float, frames: int = 1
) -> tuple[Tensor, Tensor]:
    """Move the reference along with the dream and let go of what has become another picture.

    reference: of the frame before; now: `coarse` of this one, both (1, 1, h, w). flow, validity: how they follow,
    (1, 2, h, w) and (1, 1, h, w). decay: what is left of a dream after the time between them. frames: how many
    frames that is.
    Returns the validity lowered where the picture has changed, and the reference of what is then carried.
    """
    moved = warp(reference, flow, mode="bilinear")
    changed = difference(moved, now, int(now.shape[2] * WINDOW_PART) | 1)
    kept = validity * (1 - (LETTING_GO * (changed - FAMILIAR)).clamp(0, FASTEST)) ** frames
    return kept, torch.lerp(now, moved, decay * kept)
