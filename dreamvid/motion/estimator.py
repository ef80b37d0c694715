"""Define what an optical flow estimator is, and load one by its name."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from dreamvid.errors import SettingsError
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.runtime.threads import keep_threads


class FlowEstimator(Protocol):
    """Estimates optical flow between two frames.

    fingerprint: what its flows depend on besides its name, such as a hash of its weights; "" if nothing. It is part of
    a render's fingerprint.
    """

    fingerprint: str

    def prepare(self, frame: Tensor) -> Any:
        """Compute, once per frame, what `estimate` needs of it; frame: (1, 3, H, W) in [0, 1], any size."""
        ...

    def estimate(self, this: Any, previous: Any) -> tuple[Tensor, Tensor]:
        """Estimate the flow between two prepared frames in both directions.

        Returns the backward flow, which says where in the previous frame each pixel of this one was, and the forward
        flow, which says where in this frame each pixel of the previous one is; both (1, 2, H, W) float32, x then y, in
        pixels, on the frames' device.
        """
        ...


@runtime_checkable
class CoarseToFine(Protocol):
    """A flow estimator that works from coarse to fine, and may stop on the way.

    So one direction can be estimated finely, and the other one only as far as it is needed to judge the first.
    """

    fingerprint: str

    def prepare(self, frame: Tensor) -> Any:
        """Do as a `FlowEstimator`."""
        ...

    def estimate(self, this: Any, previous: Any) -> tuple[Tensor, Tensor]:
        """Do as a `FlowEstimator`."""
        ...

    def estimate_coarse(self, this: Any, previous: Any) -> tuple[Tensor, Tensor]:
        """Estimate both directions on images of a quarter of the size: (1, 2, H // 4, W // 4), in pixels of these."""
        ...

    def refine(self, this: Any, previous: Any, flow: Tensor) -> Tensor:
        """Refine a backward flow on images of half the size: (1, 2, H // 2, W // 2), in pixels of these."""
        ...


class FlowEstimatorFactory(Protocol):
    """What a module in motion/estimators/, or an entry point, gives as its plugin: usually the class itself."""

    def __call__(self, device: torch.device, weights: str | None) -> FlowEstimator:
        """Make an estimator for frames on `device`.

        weights: a checkpoint file in place of the published weights, "random" for fixed random ones, or None. Raises
        NetworkError if they cannot be had, SettingsError if the estimator has none.
        """
        ...


# Estimators whose flows have the same bits for any number of PyTorch's threads.
_ANY_THREADS = frozenset({"dis", "none"})


def load_estimator(name: str, device: torch.device | str = "cpu", *, weights: str | None = None) -> FlowEstimator:
    """Make the estimator of a name; arguments and errors as for `FlowEstimatorFactory`, InputError for a wrong name."""
    factory: FlowEstimatorFactory = FLOW_ESTIMATORS.load(name)
    if name not in _ANY_THREADS:
        keep_threads()
    return factory(torch.device(device), weights)


def refuse_weights(name: str, weights: str | None) -> None:
    """Raise SettingsError if weights are given to an estimator that has none."""
    if weights is not None:
        raise SettingsError(f"flow_weights got {weights!r}, but the flow estimator {name!r} has no weights.")
