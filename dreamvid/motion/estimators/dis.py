"""The estimator `dis`: dense inverse search (Kroeger et al. 2016), on images whose light is evened out.

On a CUDA device it is PyTorch's (motion/inverse_search.py), which never leaves the device; elsewhere OpenCV's, which is
faster on a CPU. Both have the same parameters, and agree closely but not bit for bit.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.estimator import FlowEstimator, refuse_weights
from dreamvid.motion.inverse_search import inverse_search
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings.size import Size

# DIS works on patches of 8 pixels over a pyramid: below this side OpenCV refuses.
_SMALLEST_SIDE = 32
# DIS takes light that changes for motion, so it is given images that show little of it: luma less its mean over
# squares of this side in pixels, divided by its spread there plus that of noise. One spread becomes EVEN_SPREAD on the
# scale 0 to 1, and EVEN_MEAN of the mean is kept: things that move far are found by their coarse light.
EVEN_WINDOW, EVEN_NOISE, EVEN_SPREAD, EVEN_MEAN = 61, 0.05, 0.2, 0.25


def dense_inverse_search(device: torch.device, weights: str | None) -> FlowEstimator:
    """Make the estimator for a device. Raises SettingsError if weights are given."""
    refuse_weights("dis", weights)
    return TorchInverseSearch() if device.type == "cuda" else OpenCvInverseSearch()


PLUGIN = dense_inverse_search


@dataclass(frozen=True)
class EvenImage:
    """An evened image, uint8 (h, w), at least 32 pixels a side, and the size and device of its frame."""

    pixels: np.ndarray
    size: Size
    device: torch.device


class OpenCvInverseSearch:
    """OpenCV's DIS. Light may change between the frames, everywhere or in places."""

    fingerprint = ""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def prepare(self, frame: Tensor) -> EvenImage:
        """Even out the light of a frame (1, 3, H, W) in [0, 1]; waits for the device."""
        height, width = frame.shape[2:]
        padding = (0, max(0, _SMALLEST_SIDE - height)), (0, max(0, _SMALLEST_SIDE - width))
        return EvenImage(np.pad(_even(frame), padding, mode="edge"), Size(height, width), frame.device)

    def estimate(self, this: EvenImage, previous: EvenImage) -> tuple[Tensor, Tensor]:
        """Estimate both directions, one after the other."""
        return self._flow(this, previous), self._flow(previous, this)

    def _flow(self, this: EvenImage, previous: EvenImage) -> Tensor:
        height, width = this.size
        flow = self._dis.calc(this.pixels, previous.pixels, None)  # type: ignore[call-overload]
        return torch.from_numpy(flow[:height, :width]).permute(2, 0, 1)[None].to(this.device)


@dataclass(frozen=True)
class EvenTensor:
    """An evened image on the device, (1, 1, h, w) of 0 to 255, at least 32 pixels a side, and its frame's size."""

    levels: Tensor
    size: Size


class TorchInverseSearch:
    """PyTorch's DIS, on the device of the frames, which is never waited for; on a CUDA device as a CUDA graph."""

    fingerprint = "PyTorch's dense inverse search"

    def __init__(self) -> None:
        self._search = CudaGraphCache(inverse_search)

    def prepare(self, frame: Tensor) -> EvenTensor:
        """Even out the light of a frame (1, 3, H, W) in [0, 1]."""
        height, width = frame.shape[2:]
        padding = (0, max(0, _SMALLEST_SIDE - width), 0, max(0, _SMALLEST_SIDE - height))
        return EvenTensor(_even_tensor(F.pad(frame, padding, mode="replicate")), Size(height, width))

    def estimate(self, this: EvenTensor, previous: EvenTensor) -> tuple[Tensor, Tensor]:
        """Estimate both directions as one batch."""
        height, width = this.size
        with torch.no_grad():
            both = torch.cat((this.levels, previous.levels))
            flow = self._search(both, both.flip(0))[:, :, :height, :width]
        return flow[:1], flow[1:]


def _even(frame: Tensor) -> np.ndarray:
    """Bring the luma of (1, 3, H, W) in [0, 1] to one contrast and almost one brightness, as uint8 (H, W)."""
    light: np.ndarray = luma(frame)[0, 0].cpu().numpy()
    window = (EVEN_WINDOW, EVEN_WINDOW)
    mean: np.ndarray = cv2.blur(light, window)
    deviation = light - mean
    # The running sums of a box filter end a little below zero in flat areas.
    spread = np.sqrt(cv2.blur(deviation * deviation, window).clip(min=0)) + EVEN_NOISE
    even: np.ndarray = 0.5 + EVEN_SPREAD * deviation / spread + EVEN_MEAN * (mean - 0.5)
    return (255 * even).round().clip(0, 255).astype(np.uint8)


def _even_tensor(frame: Tensor) -> Tensor:
    """Do the same on the frame's device: whole levels of 0 to 255 as floats, (1, 1, H, W)."""
    light = luma(frame)
    mean = _blur(light)
    deviation = light - mean
    spread = _blur(deviation.square()).sqrt() + EVEN_NOISE
    even = 0.5 + EVEN_SPREAD * deviation / spread + EVEN_MEAN * (mean - 0.5)
    return (255 * even).round().clamp(0, 255)


def _blur(image: Tensor) -> Tensor:
    """Average over squares of side EVEN_WINDOW; the image goes on as its mirror image, as in OpenCV."""
    half = EVEN_WINDOW // 2
    rows = F.avg_pool2d(F.pad(image, (half, half, 0, 0), mode="reflect"), (1, EVEN_WINDOW), stride=1)
    return F.avg_pool2d(F.pad(rows, (0, 0, half, half), mode="reflect"), (EVEN_WINDOW, 1), stride=1)
