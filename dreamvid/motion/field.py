"""The motion between two frames: a flow that holds, and a map of where it can be trusted."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.motion.estimator import FlowEstimator
from dreamvid.motion.fill import Affinity, color_affinity, fill_flow
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

    image: (1, 3, H, W) in [0, 1]. reduced: (1, 3, h, w), at most `JUDGED_HEIGHT` high. affinity: that of `reduced`.
    features, coarse_features: what the estimator made of the image, and of one of half the size; None for a small
    frame.
    """

    image: Tensor
    reduced: Tensor
    affinity: Affinity
    features: Any
    coarse_features: Any


def prepare_frame(estimator: FlowEstimator, image: Tensor) -> PreparedFrame:
    """Compute what all motion from and to a frame (1, 3, H, W) in [0, 1] needs of it."""
    height, width = image.shape[2:]
    part = min(1.0, JUDGED_HEIGHT / height)
    size = max(1, round(height * part)), max(1, round(width * part))
    reduced = _reduce(image, size)
    coarse = estimator.prepare(_reduce(image, (height // 2, width // 2))) if height >= COARSE_FROM_HEIGHT else None
    return PreparedFrame(image, reduced, color_affinity(reduced), estimator.prepare(image), coarse)


def estimate_motion(estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame) -> MotionField:
    """Estimate how `this` frame follows from `previous`."""
    return MotionField(*_judge(estimator, this, previous, directions=1))


def estimate_bidirectional(
    estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame
) -> tuple[MotionField, FlowWithValidity]:
    """Estimate how `this` frame follows from `previous`, and how `previous` would follow from `this`.

    Returns what `estimate_motion` does; and the flow that says where in `this` each pixel of `previous` is, with its
    validity: 0 where something is about to be covered.
    """
    flow, sure, activity = _judge(estimator, this, previous, directions=2)
    return MotionField(flow[:1], sure[:1], activity), (flow[1:], sure[1:])


def _judge(
    estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame, *, directions: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate both directions and judge them together, or the backward one alone.

    Where the two flows disagree, the flow is that of what looks alike nearby, and it is judged by the images. Where the
    footage is restless it is mixed with the coarse flow, if there is one. Returns the flows (N, 2, H, W) and their
    validity (N, 1, H, W), backward and then forward, and the temporal activity of `this`, (1, 1, H, W).
    """
    frames = (this, previous)
    full = torch.cat(estimator.estimate(this.features, previous.features))
    now = torch.cat([frame.reduced for frame in frames])
    small = resize_flow(full, (now.shape[2], now.shape[3]))
    still = static_mask(this.reduced, previous.reduced, small[:1], this.affinity)
    still = still | surround(this.reduced, previous.reduced)
    small = zero_static_flow(small, still)
    agrees = agreement(small, small.flip(0))
    now, before, full, agrees = now[:directions], now.flip(0)[:directions], full[:directions], agrees[:directions]
    alone = [(frames[index], slice(index, index + 1)) for index in range(directions)]
    small = torch.cat([fill_flow(small[one], agrees[one], frame.affinity) for frame, one in alone])
    moved = warp(before, small)
    sure = validity(small, torch.maximum(agrees, explained(now, moved))) * photometric_validity(now, moved)
    activity = _enlarge(temporal_activity(now, moved), full)
    size = (full.shape[2], full.shape[3])
    if this.coarse_features is not None and previous.coarse_features is not None:
        coarse = torch.cat(estimator.estimate(this.coarse_features, previous.coarse_features))[:directions]
        full = torch.lerp(full, resize_flow(coarse, size), activity)
    flow = torch.lerp(resize_flow(small, size), full, _enlarge(agrees, full))
    flow = zero_static_flow(flow, _enlarge(still.to(full.dtype), full) > 0.5)
    return flow, _enlarge(sure, flow), activity[:1]


def _reduce(frame: Tensor, size: tuple[int, int]) -> Tensor:
    return frame if frame.shape[2:] == size else F.interpolate(frame, size, mode="area")


def _enlarge(judged: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    return judged if judged.shape[2:] == size else F.interpolate(judged, size, mode="bilinear", align_corners=False)
