"""Gradients inside a host that has turned them off for good: `torch.inference_mode`, as in every ComfyUI node."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Leave `torch.inference_mode` for a while: tensors made inside can be read by autograd; grad mode is off."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():  # leaving it alone would turn grad mode on
        yield


def as_normal_tensor(x: Tensor) -> Tensor:
    """Copy a tensor that was made in inference mode, which autograd refuses; return any other as it is."""
    return x.clone() if x.is_inference() else x
