"""The estimator `dis`: dense inverse search (Kroeger et al. 2016), OpenCV's, on the CPU."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.estimator import refuse_weights
from dreamvid.settings.size import Size

# DIS works on patches of 8 pixels over a pyramid: below this side OpenCV refuses.
_SMALLEST_SIDE = 32
# DIS takes light that changes for motion, so it is given images that show little of it: luma less its mean over
# squares of this side in pixels, divided by its spread there plus that of noise. One spread becomes EVEN_SPREAD on the
# scale 0 to 1, and EVEN_MEAN of the mean is kept: things that move far are found by their coarse light.
EVEN_WINDOW, EVEN_NOISE, EVEN_SPREAD, EVEN_MEAN = 61, 0.05, 0.2, 0.25


@dataclass(frozen=True)
class EvenImage:
    """An evened image, uint8 (h, w), at least 32 pixels a side, and the size and device of its frame."""

    pixels: np.ndarray
    size: Size
    device: torch.device


class DenseInverseSearch:
    """OpenCV's DIS. Light may change between the frames, everywhere or in places."""

    fingerprint = ""

    def __init__(self, device: torch.device, weights: str | None) -> None:
        refuse_weights("dis", weights)
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


PLUGIN = DenseInverseSearch


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
