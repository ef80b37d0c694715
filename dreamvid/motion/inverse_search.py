"""Dense inverse search (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search") in PyTorch.

From coarse to fine: square patches of one image look for where they are in the other one by gradient descent, and
neighbors hand their flow on (motion/patch_search.py); the flows of patches that overlap are averaged, weighted by how
well each explains the pixel, and the result is refined (motion/variational.py). On a CUDA device these are kernels of
their own (motion/search_kernels.py).

Pairs of images are the batch, so both directions are one call. Shapes depend on the size of the images alone, nothing
is read back from the device and nothing is copied to it, so a call can be recorded as a CUDA graph.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.patch_search import PATCH, search_patches
from dreamvid.motion.search_kernels import search_kernels
from dreamvid.motion.variational import refine_flow

# The flow is computed on images reduced by 2 ** FINEST, and enlarged.
FINEST = 1


def inverse_search(this: Tensor, previous: Tensor) -> Tensor:
    """Estimate where in `previous` each pixel of `this` was; both (N, 1, H, W) on the scale 0 to 255.

    Returns the backward flow (N, 2, H, W), x then y in pixels. H and W have to be at least 2 * PATCH * 2 ** FINEST.
    """
    return _all_scales(this, previous, FINEST, this.new_zeros(len(this), 2))


def coarse_search(this: Tensor, previous: Tensor, shift: Tensor) -> Tensor:
    """Do the same on images that are reduced already, at all scales from their own on, and start at a shift (N, 2)."""
    return _all_scales(this, previous, 0, shift)


def fine_search(this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Improve a backward flow (N, 2, H, W) at one scale, that of the images."""
    kernels = search_kernels(this.device)
    if kernels is not None:
        return kernels.refine_flow(kernels.search_patches(this, previous, flow), this, previous)
    return refine_flow(search_patches(this, previous, flow), this, previous)


def _all_scales(this: Tensor, previous: Tensor, finest: int, shift: Tensor) -> Tensor:
    """Search from a shift at the coarsest scale to the scale of images reduced by 2 ** finest; enlarge the flow."""
    height, width = this.shape[2:]
    coarsest = _coarsest(height, width, finest)
    multiple = 2**coarsest
    extended = [
        F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate") for image in (this, previous)
    ]
    pyramid = [[F.avg_pool2d(image, 2**finest) for image in extended]]
    for _ in range(coarsest - finest):
        pyramid.append([F.avg_pool2d(image, 2) for image in pyramid[-1]])
    flow: Tensor = shift[:, :, None, None].expand(-1, -1, *pyramid[-1][0].shape[2:]) / multiple
    for level, (now, before) in enumerate(reversed(pyramid)):
        if level:
            flow = 2 * F.interpolate(flow, now.shape[2:], mode="bilinear", align_corners=False)
        flow = fine_search(now, before, flow)
    if finest:
        flow = float(2**finest) * F.interpolate(flow, extended[0].shape[2:], mode="bilinear", align_corners=False)
    return flow[:, :, :height, :width].contiguous()


def _coarsest(height: int, width: int, finest: int) -> int:
    """Number of times that images are halved at most: far motions are found, and a patch still fits (as in OpenCV)."""
    far = int(math.log2(max(height, width) / (4 * PATCH)) + 0.5) - 1
    return max(finest, min(far, int(math.log2(min(height, width) / PATCH))))
