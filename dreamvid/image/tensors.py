"""Images at the edge of the program (numpy, whole numbers) and inside it (float32 tensors)."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.errors import InputError

Frame = TypeVar("Frame", np.ndarray, Tensor)


def _like(dreamed: Tensor, frame: Frame) -> Frame:
    """Bring a dreamed frame (1, 3, H, W) to the kind of the frame that it was dreamed on."""
    if isinstance(frame, np.ndarray):
        return to_pixels(dreamed, frame.dtype)
    return dreamed[0].to(frame)


def _to_image(frame: np.ndarray | Tensor, device: torch.device) -> Tensor:
    if isinstance(frame, np.ndarray):
        if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype in (np.uint8, np.uint16) and frame.size:
            return to_tensor(frame, device)
        got = f"an array of shape {frame.shape} and type {frame.dtype}"
    elif isinstance(frame, Tensor):
        if frame.ndim == 3 and frame.shape[0] == 3 and frame.is_floating_point() and frame.numel():
            return frame.detach()[None].to(device, torch.float32).clamp(0, 1)
        got = f"a tensor of shape {tuple(frame.shape)} and type {frame.dtype}"
    else:
        got = f"a {type(frame).__name__}"
    raise InputError(
        f"A frame has to be a uint8 or uint16 array (height, width, 3) or a float tensor (3, height, width), got {got}."
    )


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (N, C, H, W) to (h, w): bicubic, anti-aliased when shrinking, pixel areas aligned (not corners)."""
    if tuple(x.shape[2:]) == size:
        return x
    shrinks = size[0] < x.shape[2] or size[1] < x.shape[3]
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=shrinks)


def luma(frame: Tensor) -> Tensor:
    """Luma (BT.601) of (N, 3, H, W): (N, 1, H, W)."""
    return 0.299 * frame[:, :1] + 0.587 * frame[:, 1:2] + 0.114 * frame[:, 2:]


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 or uint16 (H, W, 3) RGB into float32 (1, 3, H, W) in [0, 1] on `device`."""
    scale = float(np.iinfo(pixels.dtype).max)
    # torch has few operations on uint16; int32 holds it exactly.
    whole = pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    tensor = torch.from_numpy(np.ascontiguousarray(whole))
    if torch.device(device).type == "cuda":
        # A copy of memory that is not page-locked first waits for all that the device still has to do.
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    else:
        tensor = tensor.to(device)  # waiting: without, Metal reads memory that is free again (pytorch#139550)
    return tensor.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format) / scale


@dataclass(frozen=True)
class Download:
    """Pixels on their way from the device, which works on meanwhile."""

    _pixels: Tensor
    _dtype: np.dtype | type
    _done: "torch.cuda.Event | None"

    @property
    def size(self) -> int:
        """Bytes that come over."""
        return self._pixels.numel() * self._pixels.element_size()

    def wait(self) -> np.ndarray:
        """Return them, uint8 or uint16 (H, W, 3), when they are here."""
        if self._done is not None:
            self._done.synchronize()
        pixels: np.ndarray = self._pixels.cpu().numpy()
        return pixels if pixels.dtype == self._dtype else pixels.astype(self._dtype)


def download(image: Tensor, dtype: np.dtype | type = np.uint8) -> Download:
    """Turn (1, 3, H, W) in [0, 1] into uint8 or uint16 (H, W, 3), rounded, without waiting for a GPU."""
    scale = float(np.iinfo(dtype).max)
    whole = (image[0].permute(1, 2, 0) * scale).round().clamp(0, scale)
    # torch has few operations on uint16; int32 holds it exactly.
    whole = whole.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    if whole.device.type != "cuda":
        return Download(whole, dtype, None)
    # Only page-locked memory is written to while the device works on.
    here = torch.empty(whole.shape, dtype=whole.dtype, pin_memory=True)
    here.copy_(whole, non_blocking=True)
    done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(whole.device))
    return Download(here, dtype, done)


def to_pixels(image: Tensor, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Turn (1, 3, H, W) in [0, 1] into uint8 or uint16 (H, W, 3), rounded; waits for the device."""
    return download(image, dtype).wait()


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Turn uint16 pixels into uint8 for what only looks at them; uint8 ones are returned as they are."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def fit(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring an image (1, 3, H, W) to `size` (width, height): its middle, as large as it goes."""
    width, height = size
    scale = max(width / image.shape[3], height / image.shape[2])
    inner_width, inner_height = (
        min(image.shape[3], round(width / scale)),
        min(image.shape[2], round(height / scale)),
    )
    left, top = (image.shape[3] - inner_width) // 2, (image.shape[2] - inner_height) // 2
    return resize(image[:, :, top : top + inner_height, left : left + inner_width], (height, width)).clamp(0, 1)
