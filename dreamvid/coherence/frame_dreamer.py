"""Dream one frame after another: the loop that coherence is made of.

Carried from frame to frame is the residual r = dream - source, at the size of the finest octave (which is above the
frame's own where that has fewer than 240 lines):

    r'   = warp(r, flow)                      sampled bicubic, once
    x0   = frame + decay · validity · r'      decay from the half-life and the time since the frame before,
                                              slower for color
    x    = a few warm ascent steps from x0, sized at each position by what is missing there
    r    = x - frame

What is missing is read off the amount that is carried with the residual: 1 where a whole dream is carried, 0 where
something comes into view, and less than 1 where an object comes nearer, as its dream has no detail for its new size.
What is missing grows at once, by small steps on the places that lack it; what fades is renewed everywhere by tiny
steps, and no further than a dream from scratch is strong.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamvid.coherence.disocclusion import grow_disocclusions
from dreamvid.coherence.keyframes import Blend, Cadence, InbetweenFrame
from dreamvid.coherence.large_frame import LargeFrame
from dreamvid.coherence.residual import (
    decay_on_scene_change,
    detail_retention,
    even_strength,
    hold_spectrum,
    limit_grain,
    limit_to_mask,
    mask_residual,
    measure_spectrum,
    reference_image,
)
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.dream.composition import Composition
from dreamvid.dream.octaves import Shifts, enlarged_size
from dreamvid.dream.palette import ColorMap, Palette
from dreamvid.dream.session import DreamSession
from dreamvid.image.tensors import resize
from dreamvid.motion.carry import FlowWithValidity, carry
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import MotionEstimator, MotionField
from dreamvid.motion.warp import warp
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.settings import Settings
from dreamvid.settings.size import Size

# Where the motion is at least this valid, all of a dream is carried: a slightly wrong dream is calmer than a new one.
SURE_ENOUGH = 0.5
# What fades in a frame is renewed by this many times its share of a dream from scratch: where the footage is calm, and
# what comes on top where it is restless. Successive gradients agree only in part (each has its own random shift), so a
# held dream takes more steps than a grown one. Where water or leaves change, the dream loses its hold and has to be
# renewed faster, which is not visible there. Chosen on real clips so that the strength of both kinds holds.
RENEWAL_CALM, RENEWAL_RESTLESS = 2.0, 6.0
# What stands still holds its dream by itself: there it fades this many times as fast as the half-life says, and takes
# much less renewal. What moves this many pixels from keyframe to keyframe is resampled: it fades by the half-life.
STILL_FADING, MOVING = 1 / 4, 1.0
# Successive gradients agree in color less than in light: faded alike, a video pales within seconds. So where it is calm
# color fades this many times as fast as light; where it is restless much is renewed, and both fade alike.
COLOR_FADING = 1 / 2
# How strong a carried dream is held, as a part of the strength of a new one: some of it fades until the next keyframe.
HELD_STRENGTH = 1.01
# Time in which half of a place's difference in strength from a new dream is evened out, as an exponent.
EVENED_SECONDS = 0.035
# What has just grown is brought to that strength at once, by at most this factor: whatever happens to it later is seen.
NEW_STRONGER = 1.6
# The most that the finest detail of a dream may have, as an RMS over the mean change of a pixel by a whole dream.
MOST_GRAIN = 0.6
# A shot that begins in the dark begins with a weak dream; it then grows up to this spectrum: the RMS of a residual, of
# its grain and of what is coarse in it, over the mean change of a pixel by a whole dream.
LEAST_SPECTRUM = LEAST_STRENGTH, _, _ = 0.7, 0.16, 0.36


class FrameDreamer:
    """Dreams a sequence of frames; carries the residual from each to the next.

    Loads the network once. Raises NetworkError, ObjectiveError, DeviceError. Not for use by several threads, except
    that `frame`, `motion` and the motion of `cadence` may run in one other thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._session = DreamSession(settings)
        self.device = self._session.device
        self.ascent = self._session.ascent
        coherence = settings.coherence
        estimator = load_estimator(coherence.flow, self.device, weights=coherence.flow_weights)
        self._motion = MotionEstimator(estimator)
        self._blend = Blend()
        self._composition = Composition()  # that of the settings at the time of each frame
        self._palette = Palette.from_text(settings.dream.palette, self.device)
        self._residual: Tensor | None = None
        self._amount: Tensor | None = None
        self._reference: Tensor | None = None
        # Spectrum of the residual that the shot began with, over the mean change of a pixel by its steps: (3,).
        self._spectrum: Tensor | None = None
        self._earlier: tuple[Tensor, Tensor] | None = None  # residual and amount of the keyframe before

    def update(self, settings: Settings) -> None:
        """Take other settings between two frames; the carried dream is kept, also where its size changes.

        Network, device, flow estimator, tiles and reduction stay as they are. Frames that were taken in before have the
        size of the settings of that time: take the one before in again with `retake`. Raises
        ObjectiveError, SettingsError.
        """
        self._session.update(settings)
        if settings.dream.palette != self.settings.dream.palette:
            self._palette = Palette.from_text(settings.dream.palette, self.device)
        self.settings = settings

    def check_objective(self, objective: str) -> None:
        """Raise ObjectiveError for an objective that the network does not have."""
        self._session.resolve(objective)

    def retake(self, frame: WorkingFrame) -> WorkingFrame:
        """Take a frame in again, at the size that the settings have now; return the same one if that is its size."""
        size = self._sizes(frame.full_size, self.settings)[-1]
        return frame if frame.size == size else frame.resized(size)

    @property
    def flow_fingerprint(self) -> str:
        """What the flows depend on besides the settings: the estimator's distribution and its weights."""
        origin = FLOW_ESTIMATORS.origin(self.settings.coherence.flow)
        return " ".join(filter(None, (origin, self._motion.flow.fingerprint)))

    def frame(self, uploaded: Tensor) -> WorkingFrame:
        """Take in a source frame on the device.

        uploaded: float32 (1, 3, H, W) in [0, 1], or whole numbers (H, W, 3) as `upload` returns them.
        """
        height, width = uploaded.shape[:2] if uploaded.ndim == 3 else uploaded.shape[2:]
        return WorkingFrame(uploaded, self._sizes(Size(height, width), self.settings)[-1], self._motion)

    def large_frame(self, pixels: np.ndarray) -> LargeFrame:
        """Take in a frame of very many pixels, uint8 or uint16 (H, W, 3), which must not change meanwhile."""
        size = self._sizes(Size(pixels.shape[0], pixels.shape[1]), self.settings)[-1]
        return LargeFrame(pixels, size, self._motion, self.device)

    def _sizes(self, full_size: Size, settings: Settings) -> list[Size]:
        """Work out the octave sizes (h, w) for a source frame, coarse to fine; a small frame is dreamed enlarged."""
        size = enlarged_size(*full_size, dream_height=settings.dream.dream_height)
        return self._session.sizes(*size, settings)

    def motion(self, this: WorkingFrame, previous: WorkingFrame) -> MotionField:
        """Estimate how `this` frame follows from `previous`."""
        return self._motion.motion(this.prepared, previous.prepared)

    def _bidirectional(self, this: WorkingFrame, previous: WorkingFrame) -> tuple[MotionField, FlowWithValidity]:
        return self._motion.both_ways(this.prepared, previous.prepared)

    def cadence(self) -> Cadence[Any]:
        """Make what sorts frames into keyframes, which are dreamed, and in-between frames."""
        return Cadence(self.motion, self._bidirectional)

    def dream(
        self,
        frame: WorkingFrame,
        motion: MotionField | None,
        *,
        index: int,
        elapsed_seconds: float,
        time_seconds: float = 0.0,
        signals: Mapping[str, float] = MappingProxyType({}),
        mask: Tensor | None = None,
    ) -> Tensor:
        """Dream the next keyframe; return the dreamed frame, (1, 3, H, W) in [0, 1]. Arguments: those of `grow`."""
        residual = self.grow(
            frame,
            motion,
            index=index,
            elapsed_seconds=elapsed_seconds,
            time_seconds=time_seconds,
            signals=signals,
            mask=mask,
        )
        return self.compose(frame, residual, mask)

    def compose_large(self, frame: LargeFrame, residual: Tensor, mask: Tensor | None) -> np.ndarray:
        """Add what `grow` returned to a frame of very many pixels; return an array of its kind."""
        colors = self._color_map(frame, residual, self._composition)
        return frame.compose(residual, mask, self._composition, self.ascent.rule.add, colors)

    def grow(
        self,
        frame: WorkingFrame,
        motion: MotionField | None,
        *,
        index: int,
        elapsed_seconds: float,
        time_seconds: float = 0.0,
        signals: Mapping[str, float] = MappingProxyType({}),
        mask: Tensor | None = None,
        most_growth: float = 1.0,
    ) -> Tensor:
        """Dream the next keyframe; return what the dream adds to it at the size of the finest octave, (1, 3, h, w).

        motion: how it follows from the keyframe before; None starts a new shot. index: its number in the source, which
        decides the random shifts. elapsed_seconds: time since the keyframe before. time_seconds: its time in the
        source. signals: the audio's curves at that time, for schedules. mask: where to dream, (1, 1, H, W) in [0, 1];
        None everywhere. most_growth: how much of a whole dream grows at most where it is missing; below 1 that takes
        several frames, and no more steps than elsewhere.
        """
        settings = self._session.set_time(time_seconds, index, signals)
        self._composition = Composition.from_settings(settings)
        dream, coherence = settings.dream, settings.coherence
        sizes = self._sizes(frame.full_size, settings)
        source, wanted, whole = frame.at(sizes[-1]), self._wanted(frame, mask), dream.iterations * dream.step_size
        shifts = Shifts(settings.render.seed, index)
        if self._residual is not None and self._amount is not None:
            self._carry_to(frame.size)
            self._earlier = self._residual, self._amount
        if motion is None or self._residual is None or coherence.half_life_seconds == 0:
            step: float | Tensor = dream.step_size if mask is None else dream.step_size * wanted
            residual = self.ascent.grow(source, None, sizes, iterations=dream.iterations, step=step, shifts=shifts)
            residual = residual if mask is None else mask_residual(residual, mask)
            self._amount, self._reference = wanted, reference_image(frame.reduced)
            self._residual = resize(residual, frame.size)
            self._spectrum = _spectrum(self._residual, wanted, whole)
        else:
            motion = motion.at(frame.size)
            decay = 0.5 ** (elapsed_seconds / coherence.half_life_seconds)
            motion = self._decay_on_scene_change(frame, motion, decay)
            carried, amount, lack, renewal = self._warp_state(motion, decay, wanted)
            if coherence.warm_iterations:
                carried, renewal = self._hold(carried, amount, renewal, whole * wanted, elapsed_seconds)
            growth = grow_disocclusions(
                self.ascent,
                frame.reduced.clamp(0, 1),
                carried,
                amount,
                lack=lack,
                renewal=renewal,
                whole=whole,
                whole_iterations=dream.iterations,
                sizes=self._sizes(frame.full_size, self.settings),
                warm_iterations=coherence.warm_iterations,
                own_iterations=coherence.disocclusion_iterations,
                shifts=Shifts(settings.render.seed, index + 2**32),  # others than those of the whole frame
                most=most_growth,
            )
            residual = self.ascent.grow(
                source,
                growth.residual,
                sizes,
                iterations=growth.iterations,
                step=growth.step,
                shifts=shifts,
                coarser_iterations=growth.coarser_iterations,
                coarser_step=growth.coarser_step,
            )
            residual = limit_grain(residual, MOST_GRAIN * whole)
            if coherence.warm_iterations:
                evened, _ = even_strength(residual, self._held_strength(whole * wanted), most=NEW_STRONGER)
                residual = torch.lerp(residual, evened, growth.grown)
            residual = residual if mask is None else mask_residual(residual, mask)
            self._amount, self._residual = growth.amount, resize(residual, frame.size)
        return residual

    def _carry_to(self, size: Size) -> None:
        """Resample what is carried to a frame's size, which differs after a change of the settings."""
        assert self._residual is not None
        assert self._amount is not None
        assert self._reference is not None
        if (self._residual.shape[2], self._residual.shape[3]) != size:
            self._residual, self._amount = resize(self._residual, size), resize(self._amount, size).clamp(0, 1)
            self._reference = resize(self._reference, size)

    def interpolate(
        self,
        frame: WorkingFrame,
        between: InbetweenFrame[Any],
        *,
        index: int,
        time_seconds: float = 0.0,
        signals: Mapping[str, float] = MappingProxyType({}),
        mask: Tensor | None = None,
    ) -> Tensor:
        """Give an in-between frame the dreams of the last two keyframes, moved along; returns what `dream` does.

        index, time_seconds, signals, mask: those of this frame, as in `grow`.
        """
        assert self._earlier is not None, "the keyframes before and after have to be dreamed first"
        assert self._residual is not None
        assert self._amount is not None
        residual = self._blend(self._earlier[0], self._residual, between)
        if mask is not None:
            amount = self._blend(self._earlier[1], self._amount, between)
            residual, _ = limit_to_mask(residual, amount, self._wanted(frame, mask))
            residual = mask_residual(residual, mask)
        self._composition = Composition.from_settings(self.settings.at(time_seconds, index, signals))
        return self.compose(frame, residual, mask)

    @property
    def composition(self) -> Composition:
        """How the latest frame is composed."""
        return self._composition

    def compose(
        self, frame: WorkingFrame, residual: Tensor, mask: Tensor | None, composition: Composition | None = None
    ) -> Tensor:
        """Add a residual (1, 3, h, w) to its frame, which stays as it is where the mask is black.

        composition: that of an earlier frame, if others came since; None for the latest one's.
        """
        composition = composition or self._composition
        full, colors = frame.full, self._color_map(frame, residual, composition)
        enlarged = resize(residual, frame.full_size)
        dreamed = composition.compose(full, enlarged, self.ascent.rule.add, colors=colors, mask=mask)
        return dreamed if mask is None else torch.where(mask > 0, dreamed, full)

    def _color_map(self, frame: WorkingFrame, residual: Tensor, composition: Composition) -> ColorMap | None:
        """Measure how the frame's colors are held to the palette."""
        source = resize(frame.reduced, (residual.shape[2], residual.shape[3]))
        return composition.color_map(self._palette, source, residual, self.ascent.rule.add)

    def _wanted(self, frame: WorkingFrame, mask: Tensor | None) -> Tensor:
        """Say how much of a whole dream each position is to have, (1, 1, h, w)."""
        if mask is None:
            return frame.reduced.new_ones(1, 1, *frame.size)
        return resize(mask, frame.size).clamp(0, 1)

    def _decay_on_scene_change(self, frame: WorkingFrame, motion: MotionField, decay: float) -> MotionField:
        """Lower the validity where the frame no longer shows what the carried dream was grown on."""
        assert self._reference is not None
        now = reference_image(frame.reduced)
        trust = (motion.validity / SURE_ENOUGH).clamp_max(1)
        kept, self._reference = decay_on_scene_change(self._reference, now, motion.flow, trust, decay, motion.frames)
        return replace(motion, validity=kept)

    def _warp_state(self, motion: MotionField, decay: float, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move what is carried to the new frame.

        decay: the part of its light that is left. wanted: (1, 1, h, w), how much of a whole dream is to be there.
        Returns the residual (1, 3, h, w), the amount that is carried, and by which parts of a dream from scratch each
        position is to grow: for what is missing, and for what fades; (1, 1, h, w).
        """
        assert self._residual is not None
        assert self._amount is not None
        residual = motion.validity * carry(self._residual, motion.flow, motion.coarse_flow)
        light = residual.mean(dim=1, keepdim=True)
        calm = 1 - motion.temporal_activity
        still = (1 - motion.flow.square().sum(dim=1, keepdim=True).sqrt() / MOVING).clamp_min(0)
        fading = 1 - (1 - STILL_FADING) * still * calm
        light_decay = decay**fading
        color_decay = decay ** (fading * (1 - (1 - COLOR_FADING) * calm))
        residual = light_decay * light + color_decay * (residual - light)
        amount = motion.validity * warp(self._amount, motion.flow, mode="bilinear") * detail_retention(motion.flow)
        residual, amount = limit_to_mask(residual, amount, wanted)
        lack = (wanted - amount).clamp_min(0)
        renewal = (RENEWAL_CALM + RENEWAL_RESTLESS * motion.temporal_activity) * (1 - light_decay)
        return residual, amount, lack, renewal * wanted

    def _hold(
        self, residual: Tensor, amount: Tensor, renewal: Tensor, whole: Tensor, elapsed_seconds: float
    ) -> tuple[Tensor, Tensor]:
        """Even out the strength and the spectrum of what is carried; renew it no further than a new dream is strong.

        residual: (1, 3, h, w). amount, renewal: (1, 1, h, w), as `_warp_state` returns them. whole: the mean change of
        a pixel by a whole dream there, (1, 1, h, w). Returns the residual and the renewal.
        """
        assert self._spectrum is not None
        share = 1 - 0.5 ** (elapsed_seconds / EVENED_SECONDS)
        residual = hold_spectrum(residual, amount, self._spectrum * whole.max(), share)
        residual, power = even_strength(residual, self._held_strength(whole), share)
        return residual, renewal * (1 / power.clamp_min(1e-9)).clamp_max(1)

    def _held_strength(self, whole: Tensor) -> Tensor:
        """Return the RMS that a residual is to have where a whole dream changes a pixel by `whole`, (1, 1, h, w)."""
        assert self._spectrum is not None
        return HELD_STRENGTH * self._spectrum[0] * whole

    def state(self) -> dict[str, Tensor]:
        """Return what is carried to the next frame, exactly, on the CPU; empty when nothing is."""
        carried = {
            "residual": self._residual,
            "amount": self._amount,
            "reference": self._reference,
            "spectrum": self._spectrum,
        }
        return {name: tensor.cpu() for name, tensor in carried.items() if tensor is not None}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned."""
        self.reset()
        if state:
            self._residual = state["residual"].to(self.device)
            self._amount = state["amount"].to(self.device)
            self._reference = state["reference"].to(self.device)
            self._spectrum = state["spectrum"].to(self.device)

    def reset(self) -> None:
        """Forget what is carried: the next frame starts a new shot."""
        self._residual = None
        self._amount = None
        self._reference = None
        self._spectrum = None
        self._earlier = None


def _spectrum(residual: Tensor, wanted: Tensor, whole: float) -> Tensor:
    """Return the spectrum of a shot's first residual over the mean change of a pixel by its steps."""
    found = measure_spectrum(residual, wanted) / max(whole, 1e-9)
    # Filled on the device: a copy from the CPU would wait for it.
    least = torch.stack([found.new_full((), part) for part in LEAST_SPECTRUM])
    return torch.where(found[0] < LEAST_STRENGTH, least, found)
