"""Pictures at the edge of the program (numpy, whole numbers) and inside it (float32 tensors)."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 or uint16 (H, W, 3) RGB into float32 (1, 3, H, W) in [0, 1] on `device`."""
    scale = float(np.iinfo(pixels.dtype).max)
    # torch has few operations on uint16; int32 holds it exactly.
    whole = pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    tensor = torch.from_numpy(np.ascontiguousarray(whole)).to(device, non_blocking=True)
    return tensor.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format) / scale


def to_pixels(picture: Tensor, dtype: np.dtype | type = np.uint8) -> np.ndarray:
    """Turn (1, 3, H, W) in [0, 1] into uint8 or uint16 (H, W, 3), rounded; waits for the device."""
    scale = float(np.iinfo(dtype).max)
    whole = (picture[0].permute(1, 2, 0) * scale).round().clamp(0, scale)
    if dtype == np.uint8:
        return whole.to(torch.uint8).cpu().numpy()
    return whole.to(torch.int32).cpu().numpy().astype(dtype)


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Turn uint16 pixels into uint8 for what only looks at them; uint8 ones are returned as they are."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
