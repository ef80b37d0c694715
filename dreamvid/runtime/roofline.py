"""Count the arithmetic of a network's gradients, and measure the peak of the device."""

import copy
import math
import time
from collections.abc import Mapping

import torch
from torch import nn

from dreamvid.runtime.device import synchronize

_TRIALS = 5


def gradient_flop(network: nn.Module, evaluated: Mapping[tuple[int, ...], int]) -> float:
    """Count the floating-point operations of gradients with respect to images; a multiply-add counts as two.

    network: of `Network.truncate`. evaluated: how many gradients, by the shape (N, 3, H, W) of the images. With frozen
    weights the backward pass takes as many products as the forward pass.
    """
    from torch.utils.flop_counter import FlopCounterMode  # which loads Triton

    shapes = copy.deepcopy(network).to("meta")
    total = 0.0
    for shape, count in evaluated.items():
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            shapes(torch.empty(shape, device="meta", dtype=next(network.parameters()).dtype))
        total += 2.0 * counter.get_total_flops() * count
    return total


def measured_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the operations per second of a large matrix product in a number format; takes about a second."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = math.inf
    for _ in range(_TRIALS + 1):  # the first one also warms up
        synchronize(device)
        began = time.perf_counter()
        a @ b
        synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * side**3 / best
