"""Choosing the compute device and the number format."""

import torch

from dreamvid.errors import DeviceError


def find_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N' into a device that is there. Raises DeviceError if it is not."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"--device {name}: this machine has {count} CUDA devices that PyTorch can use. "
                "Allowed here: auto, cpu" + "".join(f", cuda:{index}" for index in range(count)) + "."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("--device mps: this machine has no Metal device. Allowed here: auto, cpu.")
    return device


def find_precision(name: str, device: torch.device) -> torch.dtype:
    """Turn 'auto' or a format's name into a dtype: float32 on a CPU, bfloat16 on a GPU that computes with it."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32
