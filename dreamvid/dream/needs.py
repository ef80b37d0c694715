"""What dreams ask of a device beside arithmetic: tried once, where devices differ.

PyTorch's Metal device has got one operation after the other, some of them wrong at first; sampling up to the border and
averages over areas of any size came late. Small tensors tell within milliseconds what a render would meet later.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

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
def lacking(device: torch.device) -> str | None:
    """Say what a device cannot do, or does otherwise than the CPU; None if there is nothing."""
    picture = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    for need, function in _NEEDS.items():
        try:
            with torch.enable_grad():
                difference = (function(picture.to(device)).cpu() - function(picture)).abs().max()
        except (RuntimeError, TypeError) as error:
            first_line = str(error).partition("\n")[0]
            return f"{need}: {first_line[:200]}"
        if not difference <= _CLOSE:
            return f"{need}: it gives other values than the CPU"
    return None
