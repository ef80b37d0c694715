"""Convert images between the edge of the program (arrays of whole numbers) and its inside (float32 tensors)."""

import math
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.errors import InputError
from dreamvid.image.planes import Plane, each_plane, is_plain
from dreamvid.image.strips import LARGE_PIXELS, row_strips
from dreamvid.settings.size import Size

Frame = TypeVar("Frame", np.ndarray, Tensor)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of each channel (RGB in [0, 1]) over the images of ImageNet."""

_ROUNDING = 1 / 255
"""How far a float frame may leave [0, 1] by rounding; such values are clamped, others are refused."""


def to_image(frame: np.ndarray | Tensor, device: torch.device | str) -> Tensor:
    """Check a frame from outside and bring it to float32 (1, 3, H, W) in [0, 1] on `device`: always a copy.

    frame: a uint8 or uint16 array (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in [0, 1]; RGB. Raises
    InputError, which says what was got, for anything else.
    """
    if isinstance(frame, np.ndarray):
        if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype in (np.uint8, np.uint16) and frame.size:
            return to_tensor(frame, device)
        got = f"an array of {frame.dtype} of shape {frame.shape}"
    elif isinstance(frame, Tensor):
        batch = frame if frame.ndim == 4 else frame[None]
        if batch.ndim == 4 and batch.shape[:2] == (1, 3) and frame.is_floating_point() and frame.numel():
            return _in_range(batch.detach().to(device, torch.float32))
        got = f"a tensor of {frame.dtype} of shape {tuple(frame.shape)}"
    else:
        got = f"a {type(frame).__name__}"
    raise InputError(
        "A frame has to be RGB: a uint8 or uint16 array (height, width, 3), or a float tensor (3, height, width) in "
        f"[0, 1]. Got {got}."
    )


def _in_range(image: Tensor) -> Tensor:
    """Clamp an image to [0, 1]. Raises InputError for values that are not near it, and for NaN."""
    # Waits for the device, once a frame: a value that is out of range would spoil all that follows.
    low, high = torch.stack(torch.aminmax(image)).tolist()
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return image.clamp(0, 1)
    if math.isnan(low):
        got, advice = "NaN in it", "Replace it first, for example by frame.nan_to_num()."
    elif math.isinf(low) or math.isinf(high):
        got, advice = "infinity in it", "Replace it first, for example by frame.nan_to_num(posinf=1, neginf=0)."
    elif low >= 0 and 1.5 < high <= 255:
        got, advice = f"values from {low:g} to {high:g}", "Divide it by 255, or clamp it if they are meant so."
    else:
        got, advice = f"values from {low:g} to {high:g}", "Scale it, or clamp it: frame.clamp(0, 1)."
    raise InputError(f"A float frame has values in [0, 1], and this one has {got}. {advice}")


def like_frame(image: Tensor, frame: Frame) -> Frame:
    """Bring an image (1, 3, H, W) in [0, 1] to the kind of a frame: its type, its device, its number of dimensions."""
    if isinstance(frame, np.ndarray):
        return to_pixels(image, frame.dtype)
    return (image if frame.ndim == 4 else image[0]).to(frame)


def frame_pixels(frame: np.ndarray | Tensor) -> np.ndarray:
    """Check a frame as `to_image` does and copy it to a uint8 array (H, W, 3). Raises InputError."""
    image = to_image(frame, "cpu")
    return to_8_bits(frame).copy() if isinstance(frame, np.ndarray) else to_pixels(image)


def copy_frame(frame: Frame) -> Frame:
    """Copy a frame that is kept: its owner may fill the same memory with the next one."""
    if isinstance(frame, np.ndarray):
        return frame.copy()
    return frame.detach().clone() if isinstance(frame, Tensor) else frame


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (N, C, H, W) to (h, w): bicubic, anti-aliased when shrinking, pixel areas aligned (not corners).

    On a CPU, OpenCV enlarges in a seventh of PyTorch's time, with the same weights to 1e-4 of the values.
    """
    if tuple(x.shape[2:]) == size:
        return x
    shrinks = size[0] < x.shape[2] or size[1] < x.shape[3]
    if shrinks or not is_plain(x):
        return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=shrinks)
    return _enlarge(x, size, cv2.INTER_CUBIC)


def image_mean(x: Tensor) -> Tensor:
    """Average each image (N, C, H, W) over channels and positions: (N, 1, 1, 1), the same for any number of threads.

    PyTorch adds up a whole image in as many parts as it has threads, but each row by itself in one order, and so few
    numbers as there are rows too.
    """
    return x.mean(dim=3, keepdim=True).mean(dim=(1, 2), keepdim=True)


def enlarge_bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge (N, C, H, W) bilinearly to (h, w), not smaller, pixel areas aligned; on a CPU by OpenCV.

    The same for any number of threads: of three channels together PyTorch computes other bits on one than on several.
    """
    if tuple(x.shape[2:]) == size:
        return x
    if is_plain(x):
        return _enlarge(x, size, cv2.INTER_LINEAR)
    planes = x.reshape(-1, 1, x.shape[2], x.shape[3])
    return F.interpolate(planes, size, mode="bilinear", align_corners=False).view(x.shape[0], x.shape[1], *size)


def _enlarge(x: Tensor, size: tuple[int, int], interpolation: int) -> Tensor:
    def enlarge(plane: Plane, result: Plane) -> None:
        cv2.resize(plane, size[::-1], dst=result, interpolation=interpolation)

    return each_plane(x, size, enlarge)


def cell_means(x: Tensor, cell: int) -> Tensor:
    """Average (N, C, H, W) over squares of side `cell`, cut off at the end: (N, C, H / cell, W / cell), rounded up."""
    return F.avg_pool2d(x, cell, ceil_mode=True, count_include_pad=False)


def luma(frame: Tensor) -> Tensor:
    """Luma (BT.601) of (N, 3, H, W): (N, 1, H, W)."""
    return 0.299 * frame[:, :1] + 0.587 * frame[:, 1:2] + 0.114 * frame[:, 2:]


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 or uint16 (H, W, 3) RGB into float32 (1, 3, H, W) in [0, 1] on `device`."""
    return to_float(upload(pixels, device))


def upload(pixels: np.ndarray, device: torch.device | str) -> Tensor:
    """Bring uint8 or uint16 (H, W, 3) RGB to `device` as whole numbers (H, W, 3): uint8, or int32 for uint16.

    On the CPU the memory is shared where that is possible.
    """
    # torch has few operations on uint16; int32 holds it exactly.
    whole = pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    whole = np.ascontiguousarray(whole)
    # torch warns of read-only memory
    return send(torch.from_numpy(whole if whole.flags.writeable else whole.copy()), device)


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Send a tensor from the CPU to `device`; a GPU is not waited for."""
    if torch.device(device).type == "cuda":
        # A copy of memory that is not page-locked first waits for all that the device still has to do.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)  # blocking: otherwise Metal reads memory that is freed already (pytorch#139550)


def to_float(uploaded: Tensor) -> Tensor:
    """Turn what `upload` returned into float32 (1, 3, H, W) in [0, 1]."""
    scale = float(np.iinfo(np.uint8 if uploaded.dtype == torch.uint8 else np.uint16).max)
    # In place: of a large frame every copy counts.
    return uploaded.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format).div_(scale)


@dataclass(frozen=True)
class Download:
    """Hold pixels that are on their way from the device, which works on meanwhile."""

    _pixels: Tensor
    _dtype: np.dtype | type
    _done: "torch.cuda.Event | None"

    @property
    def size(self) -> int:
        """Number of bytes that are transferred."""
        return self._pixels.numel() * self._pixels.element_size()

    def wait(self) -> np.ndarray:
        """Wait for the transfer and return the pixels, uint8 or uint16 (H, W, 3)."""
        if self._done is not None:
            self._done.synchronize()
        pixels: np.ndarray = self._pixels.cpu().numpy()
        return pixels if pixels.dtype == self._dtype else pixels.astype(self._dtype)


def download(image: Tensor, dtype: np.dtype | type = np.uint8) -> Download:
    """Turn (1, 3, H, W) in [0, 1] into uint8 or uint16 (H, W, 3), rounded, without waiting for a GPU."""
    scale = float(np.iinfo(dtype).max)
    whole = (image[0].permute(1, 2, 0) * scale).round_().clamp_(0, scale)
    # torch has few operations on uint16; int32 holds it exactly.
    whole = whole.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    if whole.device.type != "cuda":
        return Download(whole, dtype, None)
    # Only page-locked memory is written to while the device works on.
    target = torch.empty(whole.shape, dtype=whole.dtype, pin_memory=True)
    target.copy_(whole, non_blocking=True)
    done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(whole.device))
    return Download(target, dtype, done)


def to_pixels(image: Tensor, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Turn (1, 3, H, W) in [0, 1] into uint8 or uint16 (H, W, 3), rounded; waits for the device."""
    return download(image, dtype).wait()


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Turn uint16 pixels into uint8; uint8 ones are returned as they are."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def fit(image: Tensor, size: Size) -> Tensor:
    """Crop an image (1, 3, H, W) to the shape of `size`, around its center, and resize it to that."""
    rows, columns = _center(Size(image.shape[2], image.shape[3]), size)
    return resize(image[:, :, rows, columns], size).clamp(0, 1)


def fit_pixels(pixels: np.ndarray, size: Size) -> Tensor:
    """Do as `fit` with an array (H, W, 3), uint8 or uint16; of very many pixels never all are held as floats."""
    if pixels.shape[0] * pixels.shape[1] <= LARGE_PIXELS:
        return fit(to_tensor(pixels), size)
    rows, columns = _center(Size(pixels.shape[0], pixels.shape[1]), size)
    return reduce_pixels(pixels[rows, columns], size).clamp(0, 1)


def _center(full_size: Size, size: Size) -> tuple[slice, slice]:
    """Find the rows and columns in the middle of an image of `full_size` that have the shape of `size`."""
    height, width = full_size
    scale = max(size.width / width, size.height / height)
    inner_width, inner_height = min(width, round(size.width / scale)), min(height, round(size.height / scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return slice(top, top + inner_height), slice(left, left + inner_width)


def reduce_pixels(pixels: np.ndarray, size: Size, device: torch.device | str = "cpu") -> Tensor:
    """Resample an array (H, W, 3) to a size (h, w) as `resize` does, in strips: float32 (1, 3, h, w)."""
    strips = row_strips(pixels.shape[0], pixels.shape[1])
    narrowed = [resize(to_tensor(pixels[rows], device), (rows.stop - rows.start, size.width)) for rows in strips]
    return resize(torch.cat(narrowed, dim=2), size)
