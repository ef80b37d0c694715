"""How much the footage changes by itself, beside its motion: water, leaves, noise."""

from torch import Tensor

from dreamvid.motion.photometric import local_mean

# Averaged over squares of this side in pixels.
WINDOW = 15
# Squared error of the warped frame before, on the scale 0 to 1, that counts as half way from calm to restless.
HALF_WAY = 5e-4


def unrest(this: Tensor, moved: Tensor) -> Tensor:
    """How restless each place is, (N, 1, H, W) in [0, 1): 0 where `moved`, the frame before warped, is as `this`.

    Both (N, 3, H, W) in [0, 1].
    """
    error = local_mean((this - moved).square().mean(dim=1, keepdim=True), WINDOW)
    return error / (error + HALF_WAY)
