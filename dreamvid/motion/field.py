"""The motion between two frames: a flow that holds, and a map of where it can be trusted."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dreamvid.image.tensors import enlarge_bilinear
from dreamvid.motion.averages import reduce
from dreamvid.motion.carry import FlowWithValidity
from dreamvid.motion.estimator import CoarseToFine, FlowEstimator
from dreamvid.motion.fill import color_affinity, fill_flow
from dreamvid.motion.occlusion import agreement, validity
from dreamvid.motion.photometric import explained, photometric_validity, temporal_activity
from dreamvid.motion.static import static_mask, surround, zero_static_flow
from dreamvid.motion.warp import follow, resize_flow
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings.size import Size

# Flows are judged on images of at most so many pixels: a judgement of a place is soft anyway, and thresholds in pixels
# mean the same at every size.
JUDGED_PIXELS = 160 * 213
# In a frame of at least this height coarse structure follows a flow of its own where the footage is restless, estimated
# on an image of half the size: wholly where the temporal activity times the second number is 1 or more.
COARSE_FROM_HEIGHT, RESTLESS_GAIN = 320, 3.0
# A frame whose shorter side is at least this long is estimated from coarse to fine, if the estimator can do so.
FINE_FROM_SIDE = 128


@dataclass(frozen=True)
class MotionField:
    """How a frame follows from an earlier one, at a size of its own: that of the frame or half of it.

    flow: backward (1, 2, h, w), x then y in pixels, exactly zero where nothing moves. validity: (1, 1, h, w) in [0, 1],
    1 where the flow can be trusted, 0 where something comes into view, in between where the flows disagree, objects
    meet or the images differ. temporal_activity: (1, 1, h, w) in [0, 1), how much the footage changes besides its
    motion from one frame to the next. frames: the number of frames from the one to the other. coarse_flow: what coarse
    structure follows, like `flow`; None where that is the same.
    """

    flow: Tensor
    validity: Tensor
    temporal_activity: Tensor
    frames: int = 1
    coarse_flow: Tensor | None = None

    def at(self, size: tuple[int, int]) -> "MotionField":
        """Bring it to another size (h, w), except for `coarse_flow`, which `carry` takes at any size."""
        if self.flow.shape[2:] == size:
            return self
        validity, activity = (enlarge_bilinear(each, size) for each in (self.validity, self.temporal_activity))
        return replace(self, flow=resize_flow(self.flow, size), validity=validity, temporal_activity=activity)


@dataclass(frozen=True)
class PreparedFrame:
    """A frame as motion needs it, computed once: reduced for judging, and what the estimator made of it.

    size: of the frame. reduced: (1, 3, h, w), at most `JUDGED_PIXELS` large. affinity: its `color_affinity`. features,
    coarse_features: what the estimator made of the image, and of one of half the size; None for a small frame, and for
    an estimator that works from coarse to fine itself.
    """

    size: Size
    reduced: Tensor
    affinity: Tensor
    features: Any
    coarse_features: Any


@dataclass(frozen=True)
class _Flows:
    """What an estimator says of two frames, backward and then forward: (2, 2, h, w) each.

    coarse: what coarse structure follows where the footage is restless; None: the full ones. independent: two that say
    more than the full ones about whether they are right; None: none do.
    """

    full: Tensor
    coarse: Tensor | None
    independent: Tensor | None = None


class MotionEstimator:
    """Estimates the motion between frames with a flow estimator, and judges it.

    On a CUDA device, frames are reduced and flows are judged by recordings: that takes some thousand small operations.
    Not for use by several threads at once.
    """

    def __init__(self, estimator: FlowEstimator) -> None:
        self.flow = estimator
        self._reduce = CudaGraphCache(_reduce)
        self._judge_one, self._judge_both = (
            CudaGraphCache(partial(_judge, directions=directions)) for directions in (1, 2)
        )

    def prepare(self, image: Tensor) -> PreparedFrame:
        """Compute what all motion from and to a frame (1, 3, H, W) in [0, 1] needs of it."""
        height, width = image.shape[2:]
        reduced, affinity = self._reduce(image)
        coarse = None
        if height >= COARSE_FROM_HEIGHT and not isinstance(self.flow, CoarseToFine):
            coarse = self.flow.prepare(reduce(image, (height // 2, width // 2)))
        return PreparedFrame(Size(height, width), reduced, affinity, self.flow.prepare(image), coarse)

    def motion(self, this: PreparedFrame, previous: PreparedFrame) -> MotionField:
        """Estimate how `this` frame follows from `previous`."""
        flows, activity = self._judged(self._judge_one, this, previous)
        return _motion(flows[0], activity)

    def both_ways(self, this: PreparedFrame, previous: PreparedFrame) -> tuple[MotionField, FlowWithValidity]:
        """Estimate how `this` frame follows from `previous`, and how `previous` would follow from `this`.

        Returns what `motion` does; and the flow that says where in `this` each pixel of `previous` is, with its
        validity: 0 where something is about to be covered.
        """
        flows, activity = self._judged(self._judge_both, this, previous)
        return _motion(flows[0], activity), flows[1]

    def _judged(
        self, judge: CudaGraphCache[tuple[Tensor, Tensor, Tensor]], this: PreparedFrame, previous: PreparedFrame
    ) -> tuple[list[FlowWithValidity], Tensor]:
        flows = _estimate(self.flow, this, previous)
        reduced, affinities = (this.reduced, previous.reduced), (this.affinity, previous.affinity)
        flow, sure, activity = judge(*reduced, *affinities, flows.full, flows.coarse, flows.independent)
        coarse = None if flows.coarse is None else flow[:, 2:]
        each = (slice(number, number + 1) for number in range(len(flow)))
        return [FlowWithValidity(flow[n, :2], sure[n], None if coarse is None else coarse[n]) for n in each], activity


def _motion(flow: FlowWithValidity, activity: Tensor) -> MotionField:
    return MotionField(flow.flow, flow.validity, activity, coarse_flow=flow.coarse_flow)


def _reduce(image: Tensor) -> tuple[Tensor, Tensor]:
    height, width = image.shape[2:]
    part = min(1.0, math.sqrt(JUDGED_PIXELS / (height * width)))
    reduced = reduce(image, (max(1, round(height * part)), max(1, round(width * part))))
    return reduced, color_affinity(reduced)


def _estimate(estimator: FlowEstimator, this: PreparedFrame, previous: PreparedFrame) -> _Flows:
    """Estimate both directions; if it can be done from coarse to fine, only the backward one finely.

    The forward one then is its inverse, found from the coarse one: -b at p + f(p).
    """
    height, width = this.size
    if isinstance(estimator, CoarseToFine) and min(height, width) >= FINE_FROM_SIDE:
        half = height // 2, width // 2
        rough = torch.cat(estimator.estimate_coarse(this.features, previous.features))
        coarse = resize_flow(rough, half)
        backward = estimator.refine(this.features, previous.features, coarse[:1])
        forward = -follow(backward, coarse[1:])
        return _Flows(torch.cat((backward, forward)), coarse if height >= COARSE_FROM_HEIGHT else None, rough)
    full = torch.cat(estimator.estimate(this.features, previous.features))
    if this.coarse_features is None or previous.coarse_features is None:
        return _Flows(full, None)
    coarse = torch.cat(estimator.estimate(this.coarse_features, previous.coarse_features))
    return _Flows(full, resize_flow(coarse, (full.shape[2], full.shape[3])))


def _judge(
    this: Tensor,
    previous: Tensor,
    affinity: Tensor,
    previous_affinity: Tensor,
    full: Tensor,
    coarse: Tensor | None,
    independent: Tensor | None,
    *,
    directions: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Judge the flows of both directions together; return the backward one, or both.

    this, previous: the reduced frames, (1, 3, h, w), with their affinities. full, coarse, independent: as in `_Flows`.
    Where the two flows disagree, the flow is that of what looks alike nearby, and it is judged by the images. Returns
    the flows (N, 2, H, W), with the coarse ones as two more channels if there are any, and their validity (N, 1, H, W),
    backward and then forward, and the temporal activity of `this`, (1, 1, H, W).
    """
    size = full.shape[2], full.shape[3]
    now = torch.cat((this, previous))
    judged = now.shape[2], now.shape[3]
    small = resize_flow(full, judged)
    still = static_mask(this, previous, small[:1], affinity)
    still = still | surround(this, previous)
    small = zero_static_flow(small, still)
    now, before, full = now[:directions], now.flip(0)[:directions], full[:directions]
    agrees = agreement(small[:directions], small.flip(0)[:directions])
    if independent is not None:
        rough = zero_static_flow(resize_flow(independent, judged), still)
        agrees = torch.minimum(agrees, agreement(rough[:directions], rough.flip(0)[:directions]))
    alone = enumerate((affinity, previous_affinity)[:directions])
    small = torch.cat([fill_flow(small[n : n + 1], agrees[n : n + 1], its_own) for n, its_own in alone])
    moved = follow(before, small, mode="bicubic")
    sure = validity(small, torch.maximum(agrees, explained(now, moved))) * photometric_validity(now, moved)
    restless = directions if coarse is not None else 1
    activity = enlarge_bilinear(temporal_activity(now[:restless], moved[:restless]), size)
    filled, agrees = resize_flow(small, size), enlarge_bilinear(agrees, size)
    each = [full]
    if coarse is not None:
        each.append(torch.lerp(full, coarse[:directions], (RESTLESS_GAIN * activity).clamp_max(1)))
    flow = torch.cat([torch.lerp(filled, one, agrees) for one in each], dim=1)
    flow = zero_static_flow(flow, enlarge_bilinear(still.to(flow.dtype), size) > 0.5)
    return flow, enlarge_bilinear(sure, size), activity[:1]
