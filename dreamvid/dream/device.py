"""Choosing the compute device; what is said when its memory is too small."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from dreamvid.dream.memory import keep_freed_memory
from dreamvid.dream.needs import lacking
from dreamvid.errors import DeviceError


def find_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N' into a device that is there and can do what is needed.

    Raises DeviceError if it is not there, or cannot.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        metal = torch.backends.mps.is_available() and lacking(torch.device("mps")) is None
        return torch.device("mps" if metal else "cpu")
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
    if device.type == "mps" and (lack := lacking(device)) is not None:
        raise DeviceError(
            f"--device mps: this version of PyTorch ({torch.__version__}) cannot do all that is needed there ({lack}). "
            "Upgrade it, pip install -U torch torchvision, or use --device cpu."
        )
    return device


def prepare(device: torch.device) -> None:
    """Set up what holds for everything that is computed on a device from now on."""
    if device.type == "cpu":
        keep_freed_memory()
    elif device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # the same few shapes come again and again


# What the allocator of CPUs, CUDA with cuDNN and cuBLAS, Metal, the C++ library and oneDNN (no room for its code) say;
# few have a class of their own.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|bad_alloc|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
    r"|could not create a primitive$",
    re.IGNORECASE | re.MULTILINE,
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn running out of memory, where no smaller tile can help any more, into a DeviceError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        raise DeviceError(
            f"Out of memory ({first_line[:200] or type(error).__name__}). Close other programs that use it and run the "
            "same command again; or use a smaller --size, a lower --dream-height, a smaller --tile, a smaller network "
            "(--model), or --device cpu."
        ) from error
