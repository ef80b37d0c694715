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
    flow, reverse = estimator(this, previous), estimator(previous, this)
    still = stands_still(this, previous, flow)
    flow, reverse = hold_still(flow, still), hold_still(reverse, still)
    moved = warp(previous, flow)
    return flow, validity(flow, reverse) * photometric_validity(this, moved), unrest(this, moved)
