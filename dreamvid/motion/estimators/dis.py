"""The estimator `dis`: dense inverse search (Kroeger et al. 2016), on images whose light is evened out.

On a CUDA device it is PyTorch's (motion/inverse_search.py), which never leaves the device; elsewhere OpenCV's, which is
faster on a CPU. Both have the same parameters, and agree closely but not bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.camera_shift import FAR, better_flow, camera_shift
from dreamvid.motion.estimator import FlowEstimator, refuse_weights
from dreamvid.motion.inverse_search import coarse_search, fine_search, inverse_search
from dreamvid.motion.search_kernels import search_kernels
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings.size import Size

# DIS works on patches of 8 pixels over a pyramid: below this side OpenCV refuses.
_SMALLEST_SIDE = 32
# DIS takes light that changes for motion, so it is given images that show little of it: luma less its mean over
# squares of this side in pixels, divided by its spread there plus that of noise. One spread becomes EVEN_SPREAD on the
# scale 0 to 1, and EVEN_MEAN of the mean is kept: things that move far are found by their coarse light.
EVEN_WINDOW, EVEN_NOISE, EVEN_SPREAD, EVEN_MEAN = 61, 0.05, 0.2, 0.25
_HALF_WINDOW = EVEN_WINDOW // 2 | 1  # the same part of an image of half the size
# At the finest scale, patches lie this far apart, take so many steps and are refined so often: fewer than in OpenCV's
# preset `medium`. A flow that starts at a good coarse one is as good with them.
_STRIDE, _STEPS, _REFINEMENTS = 4, 16, 3


def dense_inverse_search(device: torch.device, weights: str | None) -> FlowEstimator:
    """Make the estimator for a device. Raises SettingsError if weights are given."""
    refuse_weights("dis", weights)
    if device.type != "cuda":
        return OpenCvInverseSearch()
    search_kernels(device)  # compiles them now, while a video is still being planned
    return TorchInverseSearch()


PLUGIN = dense_inverse_search


@dataclass(frozen=True)
class EvenImage:
    """The luma of a frame, float32 (h, w) in [0, 1], the frame's device, and evened images of it, uint8."""

    light: np.ndarray
    device: torch.device

    @property
    def size(self) -> Size:
        """Of the frame."""
        return Size(*self.light.shape)

    @cached_property
    def pixels(self) -> np.ndarray:
        """The evened image, at least 32 pixels a side."""
        padding = [(0, max(0, _SMALLEST_SIDE - side)) for side in self.light.shape]
        return np.pad(_even(self.light, EVEN_WINDOW), padding, mode="edge")

    @cached_property
    def half(self) -> np.ndarray:
        """The same at half the size."""
        return _even(_halved(self.light), _HALF_WINDOW)

    @cached_property
    def quarter(self) -> np.ndarray:
        """The same at a quarter of the size."""
        return _halved(self.half)


class OpenCvInverseSearch:
    """OpenCV's DIS. Light may change between the frames, everywhere or in places."""

    fingerprint = ""

    def __init__(self) -> None:
        # One for each use: they keep their buffers, and one that was given a flow would go on to use it.
        self._dis, self._coarse, self._fine = (
            cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) for _ in range(3)
        )
        for dis in (self._coarse, self._fine):
            dis.setFinestScale(0)  # their images are reduced already
        self._fine.setPatchStride(_STRIDE)
        self._fine.setGradientDescentIterations(_STEPS)
        self._fine.setVariationalRefinementIterations(_REFINEMENTS)
        if hasattr(self._fine, "setCoarsestScale"):  # since OpenCV 4.13; without it, coarser scales are searched again
            self._fine.setCoarsestScale(0)

    def prepare(self, frame: Tensor) -> EvenImage:
        """Even out the light of a frame (1, 3, H, W) in [0, 1]; waits for the device."""
        return EvenImage(luma(frame)[0, 0].cpu().numpy(), frame.device)

    def estimate(self, this: EvenImage, previous: EvenImage) -> tuple[Tensor, Tensor]:
        """Estimate both directions, one after the other."""
        return self._flow(this, previous), self._flow(previous, this)

    def estimate_coarse(self, this: EvenImage, previous: EvenImage) -> tuple[Tensor, Tensor]:
        """Estimate both directions on images of a quarter of the size, without DIS's finest scale."""
        near = self._coarse_flow(this, previous), self._coarse_flow(previous, this)
        now, before = (torch.from_numpy(image.quarter)[None, None].float() for image in (this, previous))
        shift = camera_shift(now, before)
        if shift.abs().max() < FAR:
            return near
        far = self._coarse_flow(this, previous, shift), self._coarse_flow(previous, this, -shift)
        pairs = (now, before), (before, now)
        backward, forward = (better_flow(*pair, *flows) for pair, *flows in zip(pairs, near, far, strict=True))
        return backward, forward

    def refine(self, this: EvenImage, previous: EvenImage, flow: Tensor) -> Tensor:
        """Go on at DIS's finest scale, on images of half the size."""
        start = np.ascontiguousarray(flow[0].permute(1, 2, 0).cpu().numpy())
        return _to_tensor(self._fine.calc(this.half, previous.half, start), this.device)

    def _flow(self, this: EvenImage, previous: EvenImage) -> Tensor:
        height, width = this.size
        flow = self._dis.calc(this.pixels, previous.pixels, None)  # type: ignore[call-overload]
        return _to_tensor(flow[:height, :width], this.device)

    def _coarse_flow(self, this: EvenImage, previous: EvenImage, shift: Tensor | None = None) -> Tensor:
        start = None if shift is None else np.tile(shift.numpy(), (*this.quarter.shape, 1))
        flow = self._coarse.calc(this.quarter, previous.quarter, start)  # type: ignore[arg-type]
        return _to_tensor(flow, this.device)


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA))


def _to_tensor(flow: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(flow).permute(2, 0, 1)[None].to(device)


@dataclass(frozen=True)
class EvenTensor:
    """The luma of a frame, (1, 1, h, w) in [0, 1], and evened images of it, of 0 to 255, on its device.

    reduce: `_even_and_reduce`, or its recording.
    """

    light: Tensor
    reduce: Callable[[Tensor], tuple[Tensor, ...]]

    @property
    def size(self) -> Size:
        """Of the frame."""
        return Size(self.light.shape[2], self.light.shape[3])

    @cached_property
    def levels(self) -> Tensor:
        """The evened image, at least 32 pixels a side."""
        height, width = self.size
        padding = (0, max(0, _SMALLEST_SIDE - width), 0, max(0, _SMALLEST_SIDE - height))
        return _even_tensor(F.pad(self.light, padding, mode="replicate"), EVEN_WINDOW)

    @cached_property
    def reduced(self) -> tuple[Tensor, ...]:
        """The same at a half and at a quarter of the size."""
        return self.reduce(self.light)


class TorchInverseSearch:
    """PyTorch's DIS, on the device of the frames, which is never waited for; on a CUDA device as a CUDA graph."""

    fingerprint = "PyTorch's dense inverse search"

    def __init__(self) -> None:
        self._search, self._coarse, self._fine = (
            CudaGraphCache(function) for function in (inverse_search, _search_near_and_far, fine_search)
        )
        self._even = CudaGraphCache(_even_and_reduce)

    def prepare(self, frame: Tensor) -> EvenTensor:
        """Even out the light of a frame (1, 3, H, W) in [0, 1]."""
        return EvenTensor(luma(frame), self._even)

    def estimate(self, this: EvenTensor, previous: EvenTensor) -> tuple[Tensor, Tensor]:
        """Estimate both directions as one batch."""
        height, width = this.size
        with torch.no_grad():
            both = torch.cat((this.levels, previous.levels))
            flow = self._search(both, both.flip(0))[:, :, :height, :width]
        return flow[:1], flow[1:]

    def estimate_coarse(self, this: EvenTensor, previous: EvenTensor) -> tuple[Tensor, Tensor]:
        """Estimate both directions on images of a quarter of the size, as one batch."""
        with torch.no_grad():
            both = torch.cat((this.reduced[1], previous.reduced[1]))
            flow = self._coarse(both, both.flip(0))
        return flow[:1], flow[1:]

    def refine(self, this: EvenTensor, previous: EvenTensor, flow: Tensor) -> Tensor:
        """Go on at the finest scale, on images of half the size."""
        with torch.no_grad():
            return self._fine(this.reduced[0], previous.reduced[0], flow)


def _search_near_and_far(this: Tensor, previous: Tensor) -> Tensor:
    """Search (N, 1, h, w) from no motion and from the camera's shift; return the better flow of each place."""
    shift = camera_shift(this, previous)
    starts = torch.cat((torch.zeros_like(shift), shift))
    near, far = coarse_search(this.repeat(2, 1, 1, 1), previous.repeat(2, 1, 1, 1), starts).chunk(2)
    return better_flow(this, previous, near, far)


def _even(light: np.ndarray, window: int) -> np.ndarray:
    """Bring luma (H, W) in [0, 1] to one contrast and almost one brightness, as uint8."""
    mean: np.ndarray = cv2.blur(light, (window, window))
    deviation = light - mean
    # The running sums of a box filter end a little below zero in flat areas.
    spread = np.sqrt(cv2.blur(deviation * deviation, (window, window)).clip(min=0)) + EVEN_NOISE
    even: np.ndarray = 0.5 + EVEN_SPREAD * deviation / spread + EVEN_MEAN * (mean - 0.5)
    return (255 * even).round().clip(0, 255).astype(np.uint8)


def _even_tensor(light: Tensor, window: int) -> Tensor:
    """Do the same on a device, with (1, 1, H, W): whole levels of 0 to 255 as floats."""
    mean = _blur(light, window)
    deviation = light - mean
    spread = _blur(deviation.square(), window).sqrt() + EVEN_NOISE
    even = 0.5 + EVEN_SPREAD * deviation / spread + EVEN_MEAN * (mean - 0.5)
    return (255 * even).round().clamp(0, 255)


def _even_and_reduce(light: Tensor) -> tuple[Tensor, Tensor]:
    """Even out (1, 1, H, W) at half the size; return that, and the same at a quarter."""
    half = _even_tensor(F.avg_pool2d(light, 2), _HALF_WINDOW)
    return half, F.avg_pool2d(half, 2)


def _blur(image: Tensor, window: int) -> Tensor:
    """Average over squares of an odd side; the image goes on as its mirror image, as in OpenCV."""
    half = window // 2
    rows = F.avg_pool2d(F.pad(image, (half, half, 0, 0), mode="reflect"), (1, window), stride=1)
    return F.avg_pool2d(F.pad(rows, (0, 0, half, half), mode="reflect"), (window, 1), stride=1)
