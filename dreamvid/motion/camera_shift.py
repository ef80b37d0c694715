"""A second candidate for the flow of a frame: the shift of the camera, however far.

Optical flow from coarse to fine loses what moves further than its patches see at the coarsest scale, as in a whip pan.
Phase correlation (Kuglin and Hines 1975, "The phase correlation image alignment method") finds one shift of the whole
image at any distance. A flow that is searched from there is better where the place moves with the camera; the flow
that is searched from no motion is better elsewhere.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.warp import distance_outside, pixel_grid, warp

# From this shift on, in pixels of the images that are searched, a flow is searched from there too: nearer ones are
# found without.
FAR = 4
# The weight of an image's pixels falls to its borders as that of a Hann window times this, and is at most 1.
EDGE = 3
# Flows are compared by how well they explain the image, in levels of 255 averaged over squares of this side. One is
# clearly better if its error, and what is noise, is less than this part of the other's.
WINDOW, NOISE, BETTER = 9, 2.0, 0.8
# The camera moves if that explains this much more of the image clearly better; then flat places go along.
CLEARLY = 0.1


def camera_shift(this: Tensor, previous: Tensor) -> Tensor:
    """Find the shift of the whole image by phase correlation: (N, 2), x then y in whole pixels, backward.

    this, previous: (N, 1, H, W) of any scale. A shift of up to half of a side is found. Waits for no device.
    """
    height, width = this.shape[2:]
    window = _window(height, this)[:, None] * _window(width, this)
    now, before = (torch.fft.rfft2(window * (x - x.mean(dim=(2, 3), keepdim=True))) for x in (this, previous))
    cross = before * now.conj()
    size = cross.abs()
    # Frequencies that the image hardly has are noise: they count less.
    phase = cross / (size + size.mean(dim=(2, 3), keepdim=True)).clamp_min(1e-6)
    found = torch.fft.irfft2(phase, s=(height, width)).flatten(1).argmax(dim=1)
    x, y = found % width, found // width
    return torch.stack((x - width * (2 * x > width), y - height * (2 * y > height)), dim=1).to(this.dtype)


def _window(side: int, like: Tensor) -> Tensor:
    """Make weights (side,) that fall to 0 at both borders, which differ between the images."""
    return (EDGE * torch.hann_window(side, device=like.device)).clamp_max(1)


def better_flow(this: Tensor, previous: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Take the flow that explains a place clearly better; elsewhere the near one, or if the camera moves the far one.

    this, previous: (N, 1, H, W) of 0 to 255. near, far: backward flows (N, 2, H, W).
    """
    (near_error, near_inside), (far_error, far_inside) = (_error(this, previous, flow) for flow in (near, far))
    known = near_inside & far_inside
    near_better, far_better = known & (near_error < BETTER * far_error), known & (far_error < BETTER * near_error)
    near_share, far_share = (better.float().mean(dim=(1, 2, 3), keepdim=True) for better in (near_better, far_better))
    camera = far_share > near_share + CLEARLY
    return torch.where(torch.where(camera, ~near_better, far_better), far, near)


def _error(this: Tensor, previous: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Average the difference of the warped image over squares; true where it comes from inside of the image."""
    height, width = this.shape[2:]
    inside = distance_outside(pixel_grid(height, width, flow) + flow, height, width) <= 0
    difference = (this - warp(previous, flow, mode="bilinear")).abs()
    return NOISE + F.avg_pool2d(difference, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False), inside
