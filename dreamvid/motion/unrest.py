"""How much the footage changes by itself, beside its motion and its light: water, leaves.

Noise, and edges that are carried a part of a pixel wrong, differ too, but finely: what differs is taken smoothed.
"""

from torch import Tensor

from dreamvid.motion.photometric import SMOOTHING, local_mean, relight

# Averaged over squares of this side in pixels.
WINDOW = 15
# Squared error of the smoothed pictures, on the scale 0 to 1, that counts as half way from calm to restless.
HALF_WAY = 1.5e-4


def unrest(this: Tensor, moved: Tensor) -> Tensor:
    """How restless each place is, (N, 1, H, W) in [0, 1): 0 where `moved`, the frame before warped, is as `this`.

    Both (N, 3, H, W) in [0, 1]. Their light may differ.
    """
    differs = local_mean(this - relight(moved, this, WINDOW), SMOOTHING)
    error = local_mean(differs.square().mean(dim=1, keepdim=True), WINDOW)
    return error / (error + HALF_WAY)
