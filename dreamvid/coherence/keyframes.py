"""Sort frames into keyframes, which are dreamed, and in-between frames, which are interpolated from both sides.

Keyframes are the first frame of a shot, its last frame, so that an in-between frame has a keyframe on either side, and
those that `Pace` chooses between them. Keyframes follow from one another as neighboring frames do, only further apart.
An in-between frame gets

    r = (a · warp(r_before, f) + b · warp(r_after, g)) / (a + b)
    a = (1 - share) · ((validity of f)² + LEAST),   b = share · ((validity of g)² + LEAST)

where `share` is the part of the time between the two keyframes that has passed. So what a moving object uncovers comes
from the later keyframe, what it will cover from the earlier one, and elsewhere the one dream turns into the other.
Where neither flow holds, it is a mixture of both: nobody sees a dream that is slightly displaced for one frame, but
everybody sees a bare patch. Flows over several frames are composed of those between neighbors, which hold for large
motions too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from dreamvid.coherence.residual import power
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.image.tensors import cell_means, enlarge_bilinear
from dreamvid.motion.carry import FlowWithValidity, carry, compose
from dreamvid.motion.field import MotionField
from dreamvid.motion.warp import follow
from dreamvid.runtime.cuda import CudaGraphCache

T = TypeVar("T")
Image = TypeVar("Image")

# The least squared validity of a flow, so that a position that is visible in neither keyframe gets a dream too.
LEAST = 0.01
# Strength is compared over cells of this side in pixels; two dreams that have nothing in common lose a factor of 1.41.
CELL, STRONGEST = 8, 1.5


@dataclass(frozen=True)
class Keyframe(Generic[T]):
    """A frame to dream, and how it follows from the keyframe before: None at the start of a shot.

    elapsed_seconds: the time since the keyframe before. between: the number of in-between frames; they come after it.
    """

    item: T
    motion: MotionField | None
    elapsed_seconds: float
    between: int


@dataclass(frozen=True)
class InbetweenFrame(Generic[T]):
    """A frame to interpolate, and how it follows from the keyframes before and after it.

    share: the part of the time from the one to the other that has passed.
    """

    item: T
    before: FlowWithValidity
    after: FlowWithValidity
    share: float


@dataclass
class _Waiting(Generic[T]):
    item: T
    before: FlowWithValidity
    forward_flow: FlowWithValidity | None = None  # to the frame after it
    elapsed_seconds: float = 0.0  # since the keyframe before


@dataclass
class Cadence(Generic[T]):
    """Sorts frames, as they come, into keyframes and in-between frames; holds those since the last keyframe.

    follow: estimates how its first argument follows from its second, two frames as given to `add`. follow_both:
    estimates that and the opposite direction.
    """

    follow: Callable[[WorkingFrame, WorkingFrame], MotionField]
    follow_both: Callable[[WorkingFrame, WorkingFrame], tuple[MotionField, FlowWithValidity]]
    _previous: WorkingFrame | None = None
    _so_far: FlowWithValidity | None = None
    _unrest: Tensor | None = None
    _elapsed_seconds: float = 0.0
    _waiting: list[_Waiting[T]] = field(default_factory=list)

    def begin(self, key: WorkingFrame) -> None:
        """Continue after a keyframe that has been dreamed already."""
        assert not self._waiting, "a shot ends with a keyframe"
        self._previous, self._so_far, self._unrest, self._elapsed_seconds = key, None, None, 0.0

    def add(
        self, item: T, frame: WorkingFrame, elapsed_seconds: float, *, new_shot: bool, key: bool
    ) -> list[Keyframe[T] | InbetweenFrame[T]]:
        """Take in the next frame; return what can be dreamed now: nothing, or a keyframe and then those before it.

        item: what is returned for the frame. frame: the frame itself, for its motion. elapsed_seconds: time since the
        frame before. new_shot: the frame starts a shot. key: it is a keyframe, as the last one of a shot has to be.
        """
        if new_shot or self._previous is None:
            self.begin(frame)
            return [Keyframe(item, None, elapsed_seconds, 0)]
        if self._waiting:
            step, self._waiting[-1].forward_flow = self.follow_both(frame, self._previous)
        else:
            step = self.follow(frame, self._previous)
        self._previous.forget_motion()
        self._so_far = compose(FlowWithValidity(step.flow, step.validity, step.coarse_flow), self._so_far)
        moved = None if self._unrest is None else follow(self._unrest, step.flow)
        self._unrest = step.temporal_activity if moved is None else moved + step.temporal_activity
        self._elapsed_seconds += elapsed_seconds
        self._previous = frame
        count = len(self._waiting) + 1
        if not key:
            self._waiting.append(_Waiting(item, self._so_far, None, self._elapsed_seconds))
            return []
        so_far = self._so_far
        motion = MotionField(so_far.flow, so_far.validity, self._unrest / count, count, so_far.coarse_flow)
        keyframe = Keyframe(item, motion, self._elapsed_seconds, count - 1)
        after: FlowWithValidity | None = None
        between: list[InbetweenFrame[T]] = []
        for waiting in reversed(self._waiting):
            assert waiting.forward_flow is not None
            after = compose(waiting.forward_flow, after)
            share = waiting.elapsed_seconds / keyframe.elapsed_seconds if keyframe.elapsed_seconds > 0 else 0.5
            between.append(InbetweenFrame(waiting.item, waiting.before, after, share))
        self._waiting.clear()
        self.begin(frame)
        return [keyframe, *reversed(between)]


def in_display_order(
    steps: Iterable[Keyframe[T] | InbetweenFrame[T]],
    dream: Callable[[Keyframe[T]], Image],
    carry: Callable[[InbetweenFrame[T]], Image],
) -> Iterator[tuple[T, Image]]:
    """Dream and interpolate what `Cadence` returns; yield the images in display order, each with its item.

    An image is whatever both functions return. A keyframe's is held, and yielded after the in-between frames before it;
    nothing after it has been dreamed by then.
    """
    held: tuple[T, Image] | None = None
    missing = 0
    for step in steps:
        if isinstance(step, Keyframe):
            held, missing = (step.item, dream(step)), step.between
        else:
            yield step.item, carry(step)
            missing -= 1
        if missing == 0 and held is not None:
            yield held
            held = None


class Blend:
    """Interpolates the residuals of the keyframes before and after an in-between frame; on a GPU as a recording."""

    def __init__(self) -> None:
        self._recorded = CudaGraphCache(_blend)

    def __call__(self, before: Tensor, after: Tensor, frame: InbetweenFrame[T]) -> Tensor:
        """Interpolate residuals (1, C, h, w).

        Where the two differ, their mean is weaker than either, and the video would flicker at every other frame. So the
        result is amplified to the strength of the two.
        """
        # Filled on the device: a copy from the CPU would wait for it.
        shares = (frame.before.validity.new_full((), share) for share in (1 - frame.share, frame.share))
        return self._recorded(before, after, *frame.before, *frame.after, *shares)


def _blend(
    before: Tensor,
    after: Tensor,
    flow: Tensor,
    validity: Tensor,
    coarse_flow: Tensor | None,
    flow_after: Tensor,
    validity_after: Tensor,
    coarse_flow_after: Tensor | None,
    share: Tensor,
    share_after: Tensor,
) -> Tensor:
    """Do what `Blend` does. share, share_after: how much the keyframe before and the one after count, 0-dimensional."""
    size = before.shape[2], before.shape[3]
    weight, weight_after = share * (validity.square() + LEAST), share_after * (validity_after.square() + LEAST)
    portion = enlarge_bilinear(weight / (weight + weight_after), size)
    before = carry(before, flow, coarse_flow, move=follow)
    after = carry(after, flow_after, coarse_flow_after, move=follow)
    return mix(before, after, portion)


def mix(before: Tensor, after: Tensor, portion: Tensor | float) -> Tensor:
    """Mix two residuals (1, C, h, w), of the first one `portion`; the result is as strong as the two."""
    mean = torch.lerp(after, before, portion)
    wanted = torch.lerp(power(after), power(before), portion)
    gain = (cell_means(wanted, CELL) / cell_means(power(mean), CELL).clamp_min(1e-9)).sqrt().clamp(1, STRONGEST)
    return mean * enlarge_bilinear(gain, (mean.shape[2], mean.shape[3]))
