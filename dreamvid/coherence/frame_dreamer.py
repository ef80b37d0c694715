"""Dreaming one frame after another: what coherence is made of.

Carried from frame to frame is the residual r = dream - source, at the size of the finest octave:

    r'   = warp(r, flow)                      sampled bicubic, once
    x0   = frame + decay · validity · r'      decay from the half-life and the time since the frame before,
                                              slower for color
    x    = a few warm ascent steps from x0, sized per place by what it lacks
    r    = x - frame

What a place lacks is read off the amount that rides along with the residual: 1 where a whole dream is carried, 0 where
a place is newly seen, and less where it comes nearer, as its dream has no detail for its new size. Most of a lack is
made up for at once, while nobody has seen the place without its dream; what fades is renewed everywhere by tiny steps.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from dreamvid.coherence.disocclusion import find_region, grow_region
from dreamvid.coherence.keyframes import Cadence, InbetweenFrame, blend
from dreamvid.coherence.residual import (
    decay_on_scene_change,
    detail_retention,
    limit_to_mask,
    mask_residual,
    reference_image,
)
from dreamvid.dream.octaves import Shifts
from dreamvid.dream.session import DreamSession
from dreamvid.image.tensors import resize
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import (
    FlowWithValidity,
    MotionField,
    PreparedFrame,
    estimate_bidirectional,
    estimate_motion,
    prepare_frame,
)
from dreamvid.motion.warp import warp
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.settings import Settings

# Where the motion is this sure or more, all of a dream is carried: a little wrong it is calmer than begun anew.
SURE_ENOUGH = 0.5
# What fades in a frame is renewed by this many times its share of a dream from scratch: where the footage is calm, and
# what comes on top where it is restless. Successive gradients agree only in part (each has its own random shift), so a
# held dream takes more steps than a grown one. Where water or leaves change the dream loses its hold and has to be
# renewed faster, and it is not seen there. Chosen on real clips so that the strength of both kinds holds.
RENEWAL_CALM, RENEWAL_RESTLESS = 2.0, 5.5
# What is large lives long by itself: renewed as much as the rest it outgrows the dream of the first frame and runs into
# the rails, not at all it fades. So of the steps on a frame that carries a dream, the octaves below the finest take two
# in three, half as long where they renew; where a dream is to grow they are as long as the finest octave's, as shapes
# begin there.
COARSER_STEPS, COARSER_RENEWAL = Fraction(2, 3), 1 / 2
# Successive gradients agree in color less than in light: faded alike, a film pales within seconds. So where it is calm
# color fades this many times as fast as light; where it is restless much is renewed, and it fades as fast.
COLOR_FADING = 1 / 2
# So much of what a place lacks counts as made up for by a frame's growth. What drives in is seen in slivers first, and
# out of those nothing grows but grain: the rest of its dream comes while more of it is in view.
MADE_UP = 0.7


class FrameDreamer:
    """Dreams a sequence of frames; carries the residual from each to the next.

    Loads the network once. Raises NetworkError, ObjectiveError, DeviceError. Not for use by several threads, except
    that `motion` may run in one other thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._scheduled = DreamSession(settings)
        self.device = self._scheduled.device
        self.ascent = self._scheduled.ascent
        coherence = settings.coherence
        self._estimator = load_estimator(coherence.flow, self.device, weights=coherence.flow_weights)
        self._residual: Tensor | None = None
        self._amount: Tensor | None = None
        self._reference: Tensor | None = None
        self._earlier: tuple[Tensor, Tensor] | None = None  # residual and amount of the frame dreamed before

    @property
    def flow_fingerprint(self) -> str:
        """What the flows depend on besides the settings: the estimator's distribution and its weights."""
        origin = FLOW_ESTIMATORS.origin(self.settings.coherence.flow)
        return " ".join(filter(None, (origin, self._estimator.fingerprint)))

    def _size(self, frame: Tensor) -> tuple[int, int]:
        """Size (h, w) at which the residual is carried: that of the finest octave, unchanged by schedules."""
        return self._scheduled.sizes(frame.shape[2], frame.shape[3])[-1]

    def motion(self, this: Tensor, previous: Tensor) -> MotionField:
        """Estimate how `this` source frame (1, 3, H, W) in [0, 1] follows from `previous`."""
        return self._follow(self.prepare(this), self.prepare(previous))

    def prepare(self, frame: Tensor) -> PreparedFrame:
        """Compute once what the motion from and to a source frame (1, 3, H, W) in [0, 1] needs of it."""
        return prepare_frame(self._estimator, self._small(frame))

    def _small(self, frame: Tensor) -> Tensor:
        """Bring a source frame to the size of the finest octave, at which the residual is carried."""
        return resize(frame, self._size(frame)).clamp(0, 1)

    def cadence(self, fps: float | Fraction) -> Cadence[Any]:
        """Sort frames, each given with what `prepare` made of it, into those to be dreamed and those between them."""
        return Cadence(self.settings.coherence.cadence_at(fps), self._follow, self._follow_both)

    def _follow(self, now: PreparedFrame, before: PreparedFrame) -> MotionField:
        return estimate_motion(self._estimator, now, before)

    def _follow_both(self, now: PreparedFrame, before: PreparedFrame) -> tuple[MotionField, FlowWithValidity]:
        return estimate_bidirectional(self._estimator, now, before)

    def dream(
        self,
        frame: Tensor,
        motion: MotionField | None,
        *,
        index: int,
        elapsed_seconds: float,
        time_seconds: float = 0.0,
        signals: Mapping[str, float] = MappingProxyType({}),
        mask: Tensor | None = None,
    ) -> Tensor:
        """Dream the next frame.

        frame: source (1, 3, H, W) in [0, 1] on the device. motion: how it follows from the frame before, or None to
        begin anew (first frame, cut). index: its number in the source, which decides the random shifts.
        elapsed_seconds: time since the frame that `motion` comes from. time_seconds: its time in the source, and
        signals: what the sound does there, for schedules. mask: where to dream, (1, 1, H, W) in [0, 1]; None
        everywhere.
        Returns the dreamed frame, (1, 3, H, W) in [0, 1].
        """
        settings = self._scheduled.set_time(time_seconds, index, signals)
        dream, coherence = settings.dream, settings.coherence
        sizes = self._scheduled.sizes(frame.shape[2], frame.shape[3], settings)
        kept = self._residual, self._amount
        self._earlier = None if kept[0] is None or kept[1] is None else (kept[0], kept[1])
        if motion is None or self._residual is None or coherence.half_life_seconds == 0:
            carried, iterations, coarser, coarser_step = None, dream.iterations, None, None
            step: float | Tensor = dream.step_size if mask is None else dream.step_size * self._wanted(frame, mask)
            self._amount = self._wanted(frame, mask)
            self._reference = reference_image(resize(frame, self._size(frame)))
        else:
            decay = 0.5 ** (elapsed_seconds / coherence.half_life_seconds)
            wanted, whole = self._wanted(frame, mask), dream.iterations * dream.step_size
            carried, self._amount, growth, renewal = self._warp_state(
                self._recognise(frame, motion, decay), decay, wanted
            )
            region = find_region(growth) if coherence.disocclusion_iterations else None
            if region is not None:
                carried = grow_region(
                    self.ascent,
                    self._small(frame),
                    carried,
                    self._scheduled.sizes(frame.shape[2], frame.shape[3]),
                    region,
                    iterations=coherence.disocclusion_iterations,
                    step=growth * (whole / coherence.disocclusion_iterations),
                    shifts=Shifts(settings.render.seed, index + 2**32),  # others than those of the whole
                )
                growth[region] = 0
            iterations = coherence.warm_iterations
            coarser = math.ceil(iterations * COARSER_STEPS)
            each = whole / max(1, iterations)
            step, coarser_step = (growth + renewal) * each, (growth + COARSER_RENEWAL * renewal) * each
        residual = self._scheduled.ascent.grow(
            frame,
            carried,
            sizes,
            iterations=iterations,
            step=step,
            shifts=Shifts(settings.render.seed, index),
            coarser_iterations=coarser,
            coarser_step=coarser_step,
        )
        if mask is not None:
            residual = mask_residual(residual, mask)
        self._residual = resize(residual, self._size(frame))
        return self._compose(frame, residual, mask)

    def interpolate(self, frame: Tensor, between: InbetweenFrame[Any], *, mask: Tensor | None = None) -> Tensor:
        """Give a frame that lies between the last two dreamed ones what they have, moved along; as `dream` does."""
        assert self._earlier is not None, "the frames before and after have to be dreamed first"
        assert self._residual is not None
        assert self._amount is not None
        residual = blend(self._earlier[0], self._residual, between)
        if mask is not None:
            amount = blend(self._earlier[1], self._amount, between)
            residual, _ = limit_to_mask(residual, amount, self._wanted(frame, mask))
            residual = mask_residual(residual, mask)
        return self._compose(frame, residual, mask)

    def _compose(self, frame: Tensor, residual: Tensor, mask: Tensor | None) -> Tensor:
        """Add a residual (1, 3, h, w) to its frame, which stays as it is where the mask is black."""
        dreamed = self._scheduled.ascent.rule.add(frame, resize(residual, (frame.shape[2], frame.shape[3])))
        return dreamed if mask is None else torch.where(mask > 0, dreamed, frame)

    def _wanted(self, frame: Tensor, mask: Tensor | None) -> Tensor:
        """How much of a whole dream each place is to have, (1, 1, h, w)."""
        if mask is None:
            return frame.new_ones(1, 1, *self._size(frame))
        return resize(mask, self._size(frame)).clamp(0, 1)

    def _recognise(self, frame: Tensor, motion: MotionField, decay: float) -> MotionField:
        """Trust the motion less where the frame is no longer what the carried dream was grown on."""
        assert self._reference is not None
        now = reference_image(resize(frame, self._size(frame)))
        trust = (motion.validity / SURE_ENOUGH).clamp_max(1)
        kept, self._reference = decay_on_scene_change(self._reference, now, motion.flow, trust, decay, motion.frames)
        return replace(motion, validity=kept)

    def _warp_state(self, motion: MotionField, decay: float, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move what is carried to the new frame; `decay`: what is left of its light, `wanted`: how much is to be there.

        Returns the residual there (1, 3, h, w), the amount with this frame's growth counted in (1, 1, h, w), and by
        which portions of a dream from scratch each place is to grow: for what it lacks, for what fades; (1, 1, h, w).
        """
        assert self._residual is not None
        assert self._amount is not None
        residual = motion.validity * warp(self._residual, motion.flow)
        light = residual.mean(dim=1, keepdim=True)
        color_decay = decay ** (COLOR_FADING + (1 - COLOR_FADING) * motion.temporal_activity)
        residual = decay * light + color_decay * (residual - light)
        amount = motion.validity * warp(self._amount, motion.flow, mode="bilinear") * detail_retention(motion.flow)
        residual, amount = limit_to_mask(residual, amount, wanted)
        growth = (wanted - amount).clamp_min(0)
        renewal = (RENEWAL_CALM + RENEWAL_RESTLESS * motion.temporal_activity) * (1 - decay)
        return residual, amount + MADE_UP * growth, growth, renewal * wanted

    def state(self) -> dict[str, Tensor]:
        """What is carried to the next frame, exactly; empty when nothing is."""
        if self._residual is None or self._amount is None or self._reference is None:
            return {}
        return {
            "residual": self._residual.cpu(),
            "amount": self._amount.cpu(),
            "reference": self._reference.cpu(),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.reset()
        if state:
            self._residual = state["residual"].to(self.device)
            self._amount = state["amount"].to(self.device)
            self._reference = state["reference"].to(self.device)

    def reset(self) -> None:
        """Forget what is carried: the next frame begins anew."""
        self._residual = None
        self._amount = None
        self._reference = None
        self._earlier = None
