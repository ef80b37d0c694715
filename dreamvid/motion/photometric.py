"""Compare two images whatever their light, by locally normalized luma.

Each pixel's luma is taken relative to the mean and the spread of its surroundings (the normalisation behind zero-mean
normalized cross-correlation), so a change of brightness or contrast, even one that differs from place to place, makes
no difference. Where there is no texture there is no evidence, and so no difference either.
"""

import torch
from torch import Tensor

from dreamvid.image.tensors import image_mean, luma
from dreamvid.motion.averages import local_mean, mean_square

# Spread of luma under which there is more noise than texture (sensor noise of 2 of 255 levels has 0.005 to 0.008).
NOISE_SPREAD = 0.02
# Pixel noise is averaged away over squares of this side before images are compared pixel by pixel.
SMOOTHING = 5
# Light under which a change of it is not told from noise, and over which a place is blown out.
DARK, BLOWN_OUT = 0.02, 0.9
# A flow's warp is compared over windows of this side in pixels: what a patch of optical flow looks at.
WINDOW = 9
# Mean squared difference of normalized luma: two unrelated textures have 2, the same one with 10 dB of noise 0.2.
SURE, LOST = 0.5, 2.0
# Error of a warp, relative to the light there and what would be noise in the dark, up to which it explains a frame
# wholly, and from which on not at all.
EXPLAINED, UNEXPLAINED, DIM = 0.04, 0.08, 0.1
# Unrelated textures lose no more than this in one frame: on water they always are, and yet there is nothing better.
LOSS = 0.7


def normalized_ssd(a: Tensor, b: Tensor, window: int) -> Tensor:
    """Compute the mean squared difference of two normalized lumas, both (N, 1, H, W), over squares of side `window`.

    window: odd. The result is 0 for images that differ in brightness and contrast only, and where neither has texture;
    about 2 for unrelated textures; about 1 where one has texture and the other none.
    """
    return mean_square(_normalized(a, window) - _normalized(b, window), window)


def exposure(this: Tensor, previous: Tensor) -> Tensor:
    """By what factor `this` is lighter than `previous`, both (N, 1, H, W) in [0, 1].

    What is dark or blown out does not count. Returns (N, 1, 1, 1): 1 where nothing counts.
    """
    exposed = ((torch.minimum(this, previous) > DARK) & (torch.maximum(this, previous) < BLOWN_OUT)).to(this.dtype)
    now, before = (image_mean(exposed * x) for x in (this, previous))
    return torch.where(before > 0, now / before.clamp_min(1e-9), 1.0)


def match_illumination(image: Tensor, like: Tensor, window: int) -> Tensor:
    """Give `image` the light that `like` has, over squares of side `window` (odd); both (N, C, H, W) in [0, 1]."""
    has, wanted = (local_mean(x.mean(dim=1, keepdim=True), window) for x in (image, like))
    return image * ((wanted + DARK) / (has + DARK))


def photometric_validity(this: Tensor, moved: Tensor) -> Tensor:
    """Compute how well `moved` (the previous frame, warped) matches `this`; both (N, 3, H, W) in [0, 1].

    Returns (N, 1, H, W): 1 where they agree, falling softly to 1 - LOSS where they have nothing in common.
    """
    differs = normalized_ssd(luma(this), luma(moved), WINDOW)
    return 1 - LOSS * ((differs - SURE) / (LOST - SURE)).clamp(0, 1)


def explained(this: Tensor, moved: Tensor) -> Tensor:
    """Compute how well `moved` (the previous frame, warped) has the colors of `this`; both (N, 3, H, W) in [0, 1].

    Returns (N, 1, H, W) in [0, 1]. Colors are compared at one exposure, and smoothed. Unlike `photometric_validity`
    it needs evidence: a disoccluded region of another color is not explained, however flat it is.
    """
    moved = exposure(luma(this), luma(moved)) * moved
    error = local_mean((this - moved).abs().mean(dim=1, keepdim=True), SMOOTHING)
    light = local_mean(luma(this), SMOOTHING) + DIM
    return ((UNEXPLAINED - error / light) / (UNEXPLAINED - EXPLAINED)).clamp(0, 1)


def _normalized(x: Tensor, window: int) -> Tensor:
    deviation = x - local_mean(x, window)
    return deviation / (mean_square(deviation, window).sqrt() + NOISE_SPREAD)


# Averaged over squares of this side in pixels.
TEXTURE_WINDOW = 15
# Squared error of the smoothed images, on the scale 0 to 1, that counts as half way from calm to restless.
HALF_WAY = 1.5e-4


def temporal_activity(this: Tensor, moved: Tensor) -> Tensor:
    """Compute how restless each position is, (N, 1, H, W) in [0, 1): 0 where `moved`, the warped frame, is `this`.

    Both (N, 3, H, W) in [0, 1]. Their light may differ.
    """
    differs = local_mean(this - match_illumination(moved, this, TEXTURE_WINDOW), SMOOTHING)
    error = local_mean(differs.square().mean(dim=1, keepdim=True), TEXTURE_WINDOW).clamp_min(0)
    return error / (error + HALF_WAY)
