"""Dreaming every so many frames only: what those in between get from both sides.

The frames that are dreamed are the first of a shot, every Nth after it, and its last, so that there is always a side
to carry from. They follow from one another as frames do otherwise, only further apart. A frame in between gets

    r = (a · warp(r_before, f) + b · warp(r_after, g)) / (a + b)
    a = (1 - share) · ((validity of f)² + LEAST),   b = share · ((validity of g)² + LEAST)

with the share of the time between the two that has passed. So what a moving thing reveals comes from behind, what it
will cover from before, and where both are there the one turns into the other. Where neither flow holds it is some of
both: a dream that lies a little wrong for one frame is not seen, a bare place is. Flows over several frames are put
together from those between neighbours, which hold where things move far.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch.nn.functional as F
from torch import Tensor

from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.motion.field import FlowWithValidity, MotionField
from dreamvid.motion.warp import compose, warp

T = TypeVar("T")

# Squared validity that a flow has at least, so that a place that is seen in neither keyframe gets a dream too.
LEAST = 0.01
# Strength is compared over cells of this side in pixels; two dreams that have nothing in common lose a factor of 1.41.
CELL, STRONGEST = 8, 1.5


@dataclass(frozen=True)
class Keyframe(Generic[T]):
    """A frame to be dreamed, and how it follows from the key before: None where it follows from nothing.

    elapsed_seconds: the time since then. between: how many frames lie in between; they come after it.
    """

    item: T
    motion: MotionField | None
    elapsed_seconds: float
    between: int


@dataclass(frozen=True)
class InbetweenFrame(Generic[T]):
    """A frame that is not dreamed: how it follows from the keys before and after it.

    share: of the time from the one to the other, what has passed.
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
    elapsed_seconds: float = 0.0  # since the key before


@dataclass
class Cadence(Generic[T]):
    """Sorts frames, as they come, into keys and those between them.

    every: how many frames lie from key to key. follow: estimates how a frame follows from the one before (the first
    two arguments, as given to `add`). follow_both: the same, and how the one before would follow from it. Holds no
    more than `every` items.
    """

    every: int
    follow: Callable[[WorkingFrame, WorkingFrame], MotionField]
    follow_both: Callable[[WorkingFrame, WorkingFrame], tuple[MotionField, FlowWithValidity]]
    _previous: WorkingFrame | None = None
    _so_far: FlowWithValidity | None = None
    _unrest: Tensor | None = None
    _elapsed_seconds: float = 0.0
    _waiting: list[_Waiting[T]] = field(default_factory=list)

    def begin(self, key: WorkingFrame) -> None:
        """Go on after a key that has been dreamed already."""
        assert not self._waiting, "a shot ends with a key"
        self._previous, self._so_far, self._unrest, self._elapsed_seconds = key, None, None, 0.0

    def add(
        self, item: T, frame: WorkingFrame, elapsed_seconds: float, *, anew: bool, last: bool
    ) -> list[Keyframe[T] | InbetweenFrame[T]]:
        """Take in the next frame; return what can be dreamed now: nothing, or a key and then those before it.

        item: what is handed on. frame: the same, for its motion. elapsed_seconds: time since the frame
        before. anew: it begins a shot. last: it ends one.
        """
        if anew or self._previous is None:
            self.begin(frame)
            return [Keyframe(item, None, elapsed_seconds, 0)]
        if self.every == 1:
            motion = self.follow(frame, self._previous)
            self._previous = frame
            return [Keyframe(item, motion, elapsed_seconds, 0)]
        step, forward_flow = self.follow_both(frame, self._previous)
        if self._waiting:
            self._waiting[-1].forward_flow = forward_flow
        self._so_far = compose((step.flow, step.validity), self._so_far)
        moved = None if self._unrest is None else warp(self._unrest, step.flow, mode="bilinear")
        self._unrest = step.temporal_activity if moved is None else moved + step.temporal_activity
        self._elapsed_seconds += elapsed_seconds
        self._previous = frame
        count = len(self._waiting) + 1
        if count < self.every and not last:
            self._waiting.append(_Waiting(item, self._so_far, None, self._elapsed_seconds))
            return []
        motion = MotionField(*self._so_far, self._unrest / count, count)
        key = Keyframe(item, motion, self._elapsed_seconds, count - 1)
        after: FlowWithValidity | None = None
        between: list[InbetweenFrame[T]] = []
        for waiting in reversed(self._waiting):
            assert waiting.forward_flow is not None
            after = compose(waiting.forward_flow, after)
            share = waiting.elapsed_seconds / key.elapsed_seconds if key.elapsed_seconds > 0 else 0.5
            between.append(InbetweenFrame(waiting.item, waiting.before, after, share))
        self._waiting.clear()
        self.begin(frame)
        return [key, *reversed(between)]


def in_display_order(
    steps: Iterable[Keyframe[T] | InbetweenFrame[T]],
    dream: Callable[[Keyframe[T]], Tensor],
    carry: Callable[[InbetweenFrame[T]], Tensor],
) -> Iterator[tuple[T, Tensor]]:
    """Make the images of what `Cadence` gives and put them back into the frames' order, each with its item.

    A key is handed out when those before it have been, so whoever has got it knows that nothing after it was begun.
    """
    held: tuple[T, Tensor] | None = None
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


def blend(before: Tensor, after: Tensor, place: InbetweenFrame[T]) -> Tensor:
    """Carry a residual (1, C, h, w) to a frame between, from the keys on either side of it, as strong as they are.

    Where the two differ their mean is weaker than either, and a film would flicker at every other frame.
    """
    (flow, valid), (forward_flow, forward_validity) = place.before, place.after
    weight, weight_after = (
        (1 - place.share) * (valid.square() + LEAST),
        place.share * (forward_validity.square() + LEAST),
    )
    portion = weight / (weight + weight_after)
    moved, moved_after = warp(before, flow), warp(after, forward_flow)
    mean = portion * moved + (1 - portion) * moved_after
    wanted = portion * moved.square() + (1 - portion) * moved_after.square()
    return mean * (_local(wanted) / _local(mean.square()).clamp_min(1e-9)).sqrt().clamp(1, STRONGEST)


def _local(power: Tensor) -> Tensor:
    """Mean of (1, C, h, w) over its channels and over cells, and what lies between these: (1, 1, h, w)."""
    cells = F.avg_pool2d(power.mean(dim=1, keepdim=True), CELL, ceil_mode=True, count_include_pad=False)
    return F.interpolate(cells, power.shape[2:], mode="bilinear", align_corners=False)
