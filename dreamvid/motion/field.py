"""The motion between two frames: a flow that holds, and a map of where it can be trusted."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.estimator import FlowEstimator
from dreamvid.motion.fill import fill_flow
from dreamvid.motion.occlusion import agreement, validity
from dreamvid.motion.photometric import explained, photometric_validity, temporal_activity
from dreamvid.motion.static import static_mask, surround, zero_static_flow
from dreamvid.motion.warp import resize_flow, warp

# Flows are estimated in full and judged on images of at most this height: a judgement of a place is soft anyway, and
# thresholds in pixels mean the same at every size.
JUDGED_HEIGHT = 160
# A frame of at least this height is reduced to half for a second estimate. Where water or leaves change, a flow of full
# detail follows the ripples and a reduced one the waves, and a dream that follows the middle of both is the calmest.
COARSE_FROM_HEIGHT = 320

# A flow (1, 2, h, w) with its validity (1, 1, h, w).
FlowWithValidity = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MotionField:
    """How a frame follows from an earlier one, at the size of the finest octave.

    flow: backward (1, 2, h, w), x then y in pixels, exactly zero where nothing moves. validity: (1, 1, h, w) in [0, 1],
    1 where the flow can be trusted, 0 where something comes into view, in between where the flows disagree, objects
    meet or the images differ. temporal_activity: (1, 1, h, w) in [0, 1), how much the footage changes besides its
    motion from one frame to the next. frames: the number of frames from the one to the other.
    """

    flow: Tensor
    validity: Tensor
    temporal_activity: Tensor
    frames: int = 1


@dataclass(frozen=True)
class PreparedFrame:
    """A frame as motion needs it, computed once: itself, reduced for judging, and what the estimator made of it.

    image: (1, 3, H, W) in [0, 1]. reduced: (1, 3, h, w), at most `JUDGED_HEIGHT` high. features, coarse_features: what
    the estimator made of the image, and of one of half the size; None for a small frame.
    """

    image: Tensor
    reduced: Tensor
    features: Any
    coarse_features: Any


def prepare_frame(estimator: FlowEstimator, image: Tensor) -> PreparedFrame:
    """Compute what all motion from and to a frame (1, 3, H, W) in [0, 1] needs of it."""
    height, width = image.shape[2:]
    part = min(1.0, JUDGED_HEIGHT / height)
    size = max(1, round(height * part)), max(1, round(width * part))
    coarse = estimator.prepare(_reduce(image, (height // 2, width // 2))) if height >= COARSE_FROM_HEIGHT else None
    return PreparedFrame(image, _reduce(image, size), estimator.prepare(image), coarse)


def estimate_motion(estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame) -> MotionField:
    """Estimate how `this` frame follows from `previous`."""
    backward, _ = _estimate(estimator, this, previous)
    return backward.evaluate()


def estimate_bidirectional(
    estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame
) -> tuple[MotionField, FlowWithValidity]:
    """Estimate how `this` frame follows from `previous`, and how `previous` would follow from `this`.

    Returns what `estimate_motion` does; and the flow that says where in `this` each pixel of `previous` is, with its
    validity: 0 where something is about to be covered.
    """
    backward, forward = _estimate(estimator, this, previous)
    ahead = forward.evaluate()
    return backward.evaluate(), (ahead.flow, ahead.validity)


@dataclass(frozen=True)
class _Direction:
    """How a frame follows from another: the flow in full, and both frames and both flows at the size for judging.

    still: (1, 1, H, W), true where nothing moves; the small flows are held there, the full one when it is asked for.
    Where the two flows disagree, the flow is that of what looks alike nearby, and it is judged by the images. Where the
    footage is restless it is mixed with the coarse flow, (1, 2, H', W'), if there is one.
    """

    flow: Tensor
    coarse_flow: Tensor | None
    still: Tensor
    this: Tensor
    previous: Tensor
    small: Tensor
    small_reverse: Tensor

    def evaluate(self) -> MotionField:
        agrees = agreement(self.small, self.small_reverse)
        small = fill_flow(self.small, agrees, self.this)
        moved = warp(self.previous, small)
        sure = validity(small, torch.maximum(agrees, explained(self.this, moved)))
        sure = sure * photometric_validity(self.this, moved)
        size = (self.flow.shape[2], self.flow.shape[3])
        flow, activity = self.flow, _enlarge(temporal_activity(self.this, moved), self.flow)
        if self.coarse_flow is not None:
            flow = torch.lerp(flow, resize_flow(self.coarse_flow, size), activity)
        flow = zero_static_flow(torch.lerp(resize_flow(small, size), flow, _enlarge(agrees, flow)), self.still)
        return MotionField(flow, _enlarge(sure, flow), activity)


def _estimate(estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame) -> tuple[_Direction, _Direction]:
    """Estimate both directions: backward and forward."""
    flow, reverse = estimator.estimate(this.features, previous.features)
    coarse, coarse_reverse = None, None
    if this.coarse_features is not None and previous.coarse_features is not None:
        coarse, coarse_reverse = estimator.estimate(this.coarse_features, previous.coarse_features)
    now, before = this.reduced, previous.reduced
    size = (now.shape[2], now.shape[3])
    small, small_reverse = resize_flow(flow, size), resize_flow(reverse, size)
    still = static_mask(now, before, small) | surround(now, before)
    small, small_reverse = zero_static_flow(small, still), zero_static_flow(small_reverse, still)
    still = _enlarge(still.to(flow.dtype), flow) > 0.5
    return (
        _Direction(flow, coarse, still, now, before, small, small_reverse),
        _Direction(reverse, coarse_reverse, still, before, now, small_reverse, small),
    )


def _reduce(frame: Tensor, size: tuple[int, int]) -> Tensor:
    return frame if frame.shape[2:] == size else F.interpolate(frame, size, mode="area")


def _enlarge(judged: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    return judged if judged.shape[2:] == size else F.interpolate(judged, size, mode="bilinear", align_corners=False)
