"""Search for a flow and refine it at one scale on a CUDA device, by kernels of its own (inverse_search.cu).

They do what patch_search.py and variational.py do, in 45 launches instead of a thousand: on images this small an
operation of PyTorch takes longer to begin than to run. They are compiled when they are first needed.
"""

import warnings
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from dreamvid.motion.patch_search import DAMPING, PATCH, REACHES, ROUNDS, STEPS, STRIDE, patch_grid
from dreamvid.motion.variational import ALPHA, DELTA, EPSILON, GAMMA, LINEARIZATIONS, RELAXATION, SWEEPS, ZETA
from dreamvid.runtime.nvrtc import CompileError, Kernels

SOURCE = Path(__file__).with_name("inverse_search.cu")
CONSTANTS = {
    "PATCH": PATCH,
    "STRIDE": STRIDE,
    "DAMPING": DAMPING,
    "ALPHA": ALPHA,
    "DELTA": DELTA,
    "GAMMA": GAMMA,
    "ZETA": ZETA,
    "EPSILON": EPSILON,
    "RELAXATION": RELAXATION,
}


class SearchKernels:
    """The kernels on one device. Images (N, 1, h, w) of 0 to 255, flows (N, 2, h, w). Raises CompileError."""

    def __init__(self, device: torch.device) -> None:
        self._launch = Kernels(SOURCE.read_text(encoding="utf-8"), CONSTANTS, device).launch

    def search_patches(self, this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """Do as patch_search.search_patches."""
        images, _, height, width = this.shape
        rows, columns = patch_grid(height, width)
        count = rows * columns
        this, previous, flow = this.contiguous(), previous.contiguous(), flow.contiguous()
        content, systems = this.new_empty(images, 3, PATCH**2, count), this.new_empty(images, 5, count)
        states, others = (this.new_empty(images, 5, count) for _ in range(2))
        sizes = height, width, columns, count
        self._launch("cut_patches", count, images, this, previous, flow, content, systems, states, *sizes)
        for _ in range(ROUNDS):
            for reach in REACHES:
                steps = STEPS if reach == REACHES[-1] else 0
                patches = previous, content, systems, states, others
                self._launch("search_around", count, images, *patches, *sizes, reach, steps)
                states, others = others, states
        found = torch.empty_like(flow)
        self._launch("average_patches", height * width, images, this, previous, states, found, *sizes)
        return found

    def refine_flow(self, flow: Tensor, this: Tensor, previous: Tensor) -> Tensor:
        """Do as variational.refine_flow."""
        images, _, *size = this.shape
        pixels = size[0] * size[1]
        this, previous, flow = this.contiguous(), previous.contiguous(), flow.contiguous()
        mean, change, weights = (torch.empty_like(this) for _ in range(3))
        systems, added = this.new_empty(images, 5, *size), torch.zeros_like(flow)
        self._launch("compare", pixels, images, this, previous, flow, mean, change, *size)
        for _ in range(LINEARIZATIONS):
            self._launch("weigh_smoothness", pixels, images, flow, added, weights, *size)
            self._launch("linearize", pixels, images, mean, change, flow, added, weights, systems, *size)
            for _ in range(SWEEPS):
                for odd in (0, 1):
                    self._launch("sweep", pixels, images, systems, weights, added, *size, odd)
        return flow + added


def search_kernels(device: torch.device) -> SearchKernels | None:
    """Return the kernels of a device; None for one that is not CUDA's, and with a warning where they cannot be had."""
    if device.type != "cuda" or torch.version.hip is not None or not torch.cuda.is_available():
        return None
    return _compiled(torch.cuda.current_device() if device.index is None else device.index)


@cache
def _compiled(index: int) -> SearchKernels | None:
    try:
        return SearchKernels(torch.device("cuda", index))
    except CompileError as error:
        major = str(torch.version.cuda).partition(".")[0]
        warnings.warn(
            f"motion takes three times as long on this GPU, as its kernels cannot be compiled ({str(error)[:200]}). "
            f'To get what that needs: pip install "cuda-bindings=={major}.*"',
            stacklevel=3,
        )
        return None
