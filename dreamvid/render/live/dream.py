"""Dream frames as they come, on footage or as an animation without an end, with settings that change meanwhile."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvid.camera.camera_dreamer import CameraDreamer
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import Cadence, InbetweenFrame, Keyframe, in_display_order
from dreamvid.coherence.pace import PACE_HEIGHT, Pace
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.image.tensors import to_pixels, upload
from dreamvid.render.live.slot import LiveFrame
from dreamvid.render.live.steadiness import Steadiness
from dreamvid.render.start_image import StartImage
from dreamvid.settings import Settings
from dreamvid.settings.size import Size
from dreamvid.video.mask import Mask, open_mask
from dreamvid.video.mattes.matte import Matte

# Speeds and half-lives are per second. After a pause, no more than this counts as the time since the frame before.
LONGEST_SECONDS = 0.5
# For what fades it is less: what fades in a longer time would be renewed in one large step, which is grain.
_LONGEST_FADE_SECONDS = 0.1
# The part of a dream that grows in a frame at most, where it grows over several frames.
_MOST_GROWTH = 0.3


@dataclass(frozen=True)
class Moment:
    """When a frame is dreamed. index: its number. time_seconds: on the live clock. signals: what the sound does."""

    index: int
    time_seconds: float
    signals: Mapping[str, float]


Dreamed = tuple[LiveFrame, npt.NDArray[np.uint8]]
"""A frame as it came in, and its dream, uint8 (H, W, 3)."""


@dataclass(frozen=True)
class Thrift:
    """How a dream saves time that a render takes.

    spread: what comes into view grows over several frames, in the steps that the whole frame takes anyway. carried:
    frames after each dreamed one to which the dream is only carried along the motion.
    """

    spread: bool = False
    carried: int = 0


NO_THRIFT = Thrift()


class LiveDream(Protocol):
    """A dream that goes on frame by frame. Belongs to one thread."""

    def update(self, settings: Settings, thrift: Thrift = NO_THRIFT) -> None:
        """Take other settings, without schedules. Raises ObjectiveError."""

    def check_objective(self, objective: str) -> None:
        """Raise ObjectiveError for an objective that the network does not have."""

    def dream(self, frame: LiveFrame, moment: Moment) -> Iterator[Dreamed]:
        """Take in the next frame; yield the dreams that can be made now, in their order."""

    def reset(self) -> None:
        """Forget the dream: the next frame is the first."""

    def close(self) -> None:
        """Close the files that are read."""


@dataclass(frozen=True)
class _Shown:
    frame: LiveFrame
    working: WorkingFrame
    moment: Moment
    mask: Tensor | None


class FootageDream:
    """The `LiveDream` of a camera, a stream or a video: carried along the motion of its frames.

    All frames have one size. steady_seconds: how slowly new steps of the dream are shown, see `Steadiness`; with 0 the
    frames are those of `dream_frames`. Loads the network. Raises DreamvidError.
    """

    def __init__(self, settings: Settings, *, steady_seconds: float = 0.0) -> None:
        self._dreamer = FrameDreamer(settings)
        self._steadiness = Steadiness(steady_seconds)
        self._thrift = NO_THRIFT
        self._carried, self._owed_seconds = 0, 0.0  # since the last frame that took steps
        self._mask: Mask | Matte | None = None
        self._sorting, self._pace = self._new_cadence()
        self._key: tuple[WorkingFrame, float] | None = None  # the last dreamed frame and its time
        self._last_seconds = 0.0

    def check_objective(self, objective: str) -> None:
        """Raise ObjectiveError for an objective that the network does not have."""
        self._dreamer.check_objective(objective)

    def update(self, settings: Settings, thrift: Thrift = NO_THRIFT) -> None:
        """Take other settings; the carried dream is kept."""
        self._thrift = thrift
        before = self._dreamer.settings
        if settings == before:
            return
        self._dreamer.update(settings)
        key = None if self._key is None else self._dreamer.retake(self._key[0])
        resized = self._key is not None and key is not self._key[0]
        if resized or settings.coherence.cadence != before.coherence.cadence:
            self._sorting, self._pace = self._new_cadence()  # frames that wait to be interpolated are left out
            if self._key is not None and key is not None:
                self._key = key, self._key[1]
                self._sorting.begin(key)
                self._last_seconds = self._key[1]

    def _new_cadence(self) -> tuple[Cadence[_Shown], Pace]:
        every = self._dreamer.settings.coherence.cadence
        every = 1 if every == "auto" else every
        return self._dreamer.cadence(), Pace(every, every)

    def dream(self, frame: LiveFrame, moment: Moment) -> Iterator[Dreamed]:
        """Take in the next frame; yield it, or with a longer cadence nothing, or itself and those before it."""
        with torch.no_grad():
            working = self._dreamer.frame(upload(frame.pixels, self._dreamer.device))
            mask = self._mask_at(working, moment.time_seconds)
            alone = self._dreamer.settings.coherence.half_life_seconds == 0
            elapsed = min(max(moment.time_seconds - self._last_seconds, 1e-3), _LONGEST_FADE_SECONDS)
            self._last_seconds = moment.time_seconds
            new_shot = self._key is None or alone
            key = self._pace.add(functools.partial(working.small, PACE_HEIGHT), key=new_shot)
            steps = self._sorting.add(
                _Shown(frame, working, moment, mask), working, elapsed, new_shot=new_shot, key=key
            )
            for shown, image in in_display_order(steps, self._dream, self._carry):
                yield shown.frame, np.ascontiguousarray(to_pixels(image))

    def _mask_at(self, frame: WorkingFrame, time_seconds: float) -> Tensor | None:
        text = self._dreamer.settings.dream.mask
        if text is None:
            return None
        self._mask = self._mask or open_mask(text, frame.full_size, self._dreamer.device)
        if isinstance(self._mask, Matte):
            return self._mask.next(frame.reduced, frame.full_size, new_shot=self._key is None)
        return self._mask.at(time_seconds)

    def _dream(self, key: Keyframe[_Shown]) -> Tensor:
        shown = key.item
        self._key = shown.working, shown.moment.time_seconds
        carried = key.motion is not None and self._carried < self._thrift.carried
        if carried:
            self._carried, self._owed_seconds = self._carried + 1, self._owed_seconds + key.elapsed_seconds
            elapsed, most_growth = 0.0, 0.0
        else:
            elapsed, most_growth = key.elapsed_seconds + self._owed_seconds, _MOST_GROWTH if self._thrift.spread else 1
            self._carried, self._owed_seconds = 0, 0.0
        with self._without_steps() if carried else contextlib.nullcontext():
            residual = self._dreamer.grow(
                shown.working,
                key.motion,
                index=shown.moment.index,
                elapsed_seconds=elapsed,
                time_seconds=shown.moment.time_seconds,
                signals=shown.moment.signals,
                mask=shown.mask,
                most_growth=most_growth,
            )
        if key.between:  # those are interpolated, which is as calm
            self._steadiness.reset()
        else:
            residual = self._steadiness.add(residual, key.motion, key.elapsed_seconds)
        return self._dreamer.compose(shown.working, residual, shown.mask)

    @contextlib.contextmanager
    def _without_steps(self) -> Iterator[None]:
        settings = self._dreamer.settings
        none = settings.coherence.model_copy(update={"warm_iterations": 0})
        self._dreamer.update(settings.model_copy(update={"coherence": none}))
        try:
            yield
        finally:
            self._dreamer.update(settings)

    def _carry(self, between: InbetweenFrame[_Shown]) -> Tensor:
        shown = between.item
        return self._dreamer.interpolate(
            shown.working,
            between,
            index=shown.moment.index,
            time_seconds=shown.moment.time_seconds,
            signals=shown.moment.signals,
            mask=shown.mask,
        )

    def reset(self) -> None:
        """Forget the dream: the next frame is the first."""
        self._dreamer.reset()
        self._steadiness.reset()
        self._sorting, self._pace = self._new_cadence()
        self._key = None

    def close(self) -> None:
        """Close the mask."""
        if self._mask is not None:
            self._mask.close()


class AnimationDream:
    """The `LiveDream` of an image or of noise through which a camera moves. size: of all frames.

    Loads the network. Raises DreamvidError.
    """

    def __init__(self, settings: Settings, size: Size, start: StartImage) -> None:
        self._make: Callable[[Settings], CameraDreamer] = lambda chosen: CameraDreamer(
            chosen, start.image(size, chosen.render.seed), fps=30
        )
        self._dreamer = self._make(settings)
        self._mask = None if settings.dream.mask is None else Mask(settings.dream.mask, size, self._dreamer.device)
        self._count, self._last_seconds = 0, 0.0

    def check_objective(self, objective: str) -> None:
        """Raise ObjectiveError for an objective that the network does not have."""
        self._dreamer.check_objective(objective)

    def update(self, settings: Settings, thrift: Thrift = NO_THRIFT) -> None:
        """Take other settings; the image goes on. An animation has nothing to be thrifty with but its settings."""
        if settings != self._dreamer.settings:
            self._dreamer.update(settings)

    def dream(self, frame: LiveFrame, moment: Moment) -> Iterator[Dreamed]:
        """Move the image and dream it again; `frame` only says when."""
        with torch.no_grad():
            image = self._dreamer.dream(
                self._count,
                None if self._mask is None else self._mask.at(moment.time_seconds),
                time_seconds=moment.time_seconds,
                elapsed_seconds=min(max(moment.time_seconds - self._last_seconds, 1e-3), LONGEST_SECONDS),
                signals=moment.signals,
            )
            self._count, self._last_seconds = self._count + 1, moment.time_seconds
            yield frame, np.ascontiguousarray(to_pixels(image))

    def reset(self) -> None:
        """Begin with the first image again."""
        self._count = 0

    def close(self) -> None:
        """Close the mask."""
        if self._mask is not None:
            self._mask.close()
