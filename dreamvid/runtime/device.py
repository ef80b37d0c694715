"""Choose the compute device, check what it can do, and explain errors of its memory."""

import errno
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.errors import DeviceError, OutOfMemoryError
from dreamvid.runtime.process import process_is_tuned, tune_malloc


def resolve_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'mps', 'cuda' or 'cuda:N' into a device that exists and can do what is needed.

    Raises DeviceError if it does not exist or cannot.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        metal = torch.backends.mps.is_available() and missing_capability(torch.device("mps")) is None
        return torch.device("mps" if metal else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"`device={name}`: this machine has {count} CUDA devices that PyTorch can use. "
                "Allowed here: auto, cpu" + "".join(f", cuda:{index}" for index in range(count)) + "."
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("`device=mps`: this machine has no Metal device. Allowed here: auto, cpu.")
    if device.type == "mps" and (lack := missing_capability(device)) is not None:
        raise DeviceError(
            f"`device=mps`: this version of PyTorch ({torch.__version__}) cannot do all that is needed there ({lack}). "
            "Upgrade it, pip install -U torch torchvision, or use `device=cpu`."
        )
    return device


def configure_backend(device: torch.device) -> None:
    """Set PyTorch and the allocator up for a device, if `tune_process` has allowed it; else leave them alone."""
    if not process_is_tuned():
        return
    if device.type == "cpu":
        tune_malloc()
    elif device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True  # as PyTorch allows it in convolutions by itself


# Messages of the CPU's allocator, CUDA with cuDNN and cuBLAS, Metal, the C++ library, Python (no room for a thread)
# and oneDNN (no room for its code); few have an exception class of their own.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|not enough memory|can't allocate memory|bad_alloc|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
    r"|can't start new thread|could not create a primitive$",
    re.IGNORECASE | re.MULTILINE,
)


def out_of_memory(error: BaseException) -> bool:
    """Tell if an error says that the device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM  # for another process, such as ffmpeg
    return isinstance(error, RuntimeError) and bool(_OUT_OF_MEMORY.search(str(error)))


@contextmanager
def translate_out_of_memory() -> Iterator[None]:
    """Turn an out-of-memory error that no smaller tile can avoid into one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not out_of_memory(error):
            raise
        first_line = str(error).partition("\n")[0]
        raise OutOfMemoryError(
            f"Out of memory ({first_line[:200] or type(error).__name__}). Close other programs that use it and run the "
            "same command again; or use a smaller `size`, a lower `dream_height`, a smaller `tile`, a smaller network "
            "(`model`), or `device=cpu`."
        ) from error


_CLOSE = 1e-3


def _gradient(x: Tensor) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    kernel = torch.linspace(-1, 1, 27, device=x.device).view(3, 1, 3, 3)
    y = F.hardtanh(F.conv2d(x, kernel, stride=2, padding=1, groups=3), 0.0, 6.0)
    return torch.autograd.grad(y.square().mean(), x)[0]


def _sampled(x: Tensor) -> Tensor:
    rows, columns = torch.linspace(-1.2, 1.1, 11, device=x.device), torch.linspace(-1.1, 1.2, 9, device=x.device)
    grid = torch.stack((columns.expand(11, 9), rows[:, None].expand(11, 9)), dim=-1)[None]
    return F.grid_sample(x, grid, "bicubic", "border", align_corners=False)


_NEEDS: dict[str, Callable[[Tensor], Tensor]] = {
    "a convolution's gradient": _gradient,
    "bicubic sampling up to the border": _sampled,
    "averages over areas": lambda x: F.interpolate(x, (5, 7), mode="area"),
    "resizing with anti-aliasing": lambda x: F.interpolate(x, (9, 7), mode="bicubic", antialias=True),
    "Fourier transforms": lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 2, s=(16, 20)),
}


@functools.cache
def missing_capability(device: torch.device) -> str | None:
    """Return what a device cannot do, or does differently from the CPU; None if there is nothing."""
    image = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    for need, function in _NEEDS.items():
        try:
            with torch.enable_grad():
                difference = (function(image.to(device)).cpu() - function(image)).abs().max()
        except (RuntimeError, TypeError) as error:
            first_line = str(error).partition("\n")[0]
            return f"{need}: {first_line[:200]}"
        if not difference <= _CLOSE:
            return f"{need}: it gives other values than the CPU"
    return None


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished the work of this thread's stream.

    Waiting for all streams of a GPU would spoil a recording that another thread makes.
    """
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()
