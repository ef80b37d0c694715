"""From two frames to a flow that holds and a map of where it can be trusted."""

from torch import Tensor

from dreamvid.motion.flow import FlowEstimator
from dreamvid.motion.photometric import photometric_validity
from dreamvid.motion.still import hold_still, stands_still
from dreamvid.motion.unrest import unrest
from dreamvid.motion.validity import validity
from dreamvid.motion.warp import warp


def estimate_motion(estimator: FlowEstimator, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate how `this` frame follows from `previous`, both (1, 3, H, W) in [0, 1].

    Returns the backward flow (1, 2, H, W) in pixels, exactly zero where nothing moves; its validity (1, 1, H, W) in
    [0, 1]: 0 where something is newly seen, in between where the flows disagree, objects meet or the pictures do; and
    the unrest (1, 1, H, W) in [0, 1): how much the footage changes beside its motion.
    """
    return _judge(this, previous, *_flows(estimator, this, previous))


def estimate_both_ways(
    estimator: FlowEstimator, this: Tensor, previous: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Estimate how `this` frame follows from `previous`, and how `previous` would from `this`.

    Returns what `estimate_motion` does; and the flow that says where in `this` each pixel of `previous` is, with its
    validity: 0 where something is about to be covered.
    """
    flow, reverse = _flows(estimator, this, previous)
    flow_back, valid_back, _ = _judge(previous, this, reverse, flow)
    return _judge(this, previous, flow, reverse), (flow_back, valid_back)


def _flows(estimator: FlowEstimator, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
    """The flow and that of the other direction, both held still where nothing moves."""
    flow, reverse = estimator(this, previous), estimator(previous, this)
    still = stands_still(this, previous, flow)
    return hold_still(flow, still), hold_still(reverse, still)


def _judge(this: Tensor, previous: Tensor, flow: Tensor, reverse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A flow with its validity and the unrest that it leaves."""
    moved = warp(previous, flow)
    return flow, validity(flow, reverse) * photometric_validity(this, moved), unrest(this, moved)
