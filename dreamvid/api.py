"""Define the frame API: frames in, dreamed frames out."""

import functools
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, SupportsFloat

import numpy as np
import torch
from torch import Tensor

from dreamvid.camera.camera_dreamer import CameraDreamer
from dreamvid.camera.movement import Camera as Camera
from dreamvid.camera.movement import Movement
from dreamvid.camera.noise import noise_image
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import InbetweenFrame, Keyframe, in_display_order
from dreamvid.coherence.large_frame import is_large
from dreamvid.coherence.pace import PACE_HEIGHT, Pace
from dreamvid.coherence.working_frame import WorkingFrame
from dreamvid.dream.octaves import AscentStep
from dreamvid.errors import InputError
from dreamvid.figures import comparison as compare
from dreamvid.figures import feature_visualization as features
from dreamvid.image.tensors import Frame, copy_frame, fit, fit_pixels, like_frame, to_image, to_pixels
from dreamvid.metrics.report import Score as Score
from dreamvid.metrics.score import score as score
from dreamvid.metrics.score import score_frames as score_frames
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, DEFAULT_ZOOM_PRESET, Settings, as_settings, load_settings
from dreamvid.settings.renamed import accept_old_arguments
from dreamvid.settings.size import Size
from dreamvid.video.mask import Mask, mask_notes, open_mask
from dreamvid.video.mattes.matte import Matte
from dreamvid.video.still import read_frame as read_frame

# From file to file: a video, and an animation from one image.
dream_video, zoom_video = render_video, render_zoom

feature_sheet = accept_old_arguments(on_picture="on_image")(features.feature_sheet)


@dataclass(frozen=True)
class _Given(Generic[Frame]):
    """A frame as it was given (only its kind still counts), as it is dreamed, and the mask at its time."""

    index: int
    frame: Frame
    working: WorkingFrame
    mask: Tensor | None


@dataclass(frozen=True)
class DreamStep:
    """A step of ascent that was just taken on a frame, for hosts that show a dream while it grows.

    lines: height of its octave. octave: its number from 0, of `octaves`, coarse to fine. done: steps of the octave that
    are taken, of `steps`. image: computes the frame as it is dreamed so far, uint8 (H, W, 3).
    """

    lines: int
    octave: int
    octaves: int
    done: int
    steps: int
    image: Callable[[], np.ndarray]


class Dreamer:
    """Dreams frames one after another; each carries the dream of the frame before, moved along with the image.

    settings: from `load_settings`, or the name or file of a preset; None for the default one. fps: frames per second of
    the frames that will be given, on which the half-life depends. device: overrides that of the settings. on_step:
    called in this thread after each step of the whole frame; what it raises ends the dream of the frame, and is raised
    by whoever asked for it. The network is loaded once. Raises DreamvidError for settings that cannot be met.
    """

    @translate_out_of_memory()
    def __init__(
        self,
        settings: Settings | str | Path | None = None,
        *,
        fps: float | Fraction | str = Fraction(30),
        device: str | torch.device | None = None,
        on_step: Callable[[DreamStep], None] | None = None,
    ) -> None:
        fps, settings = _frame_rate(fps), as_settings(settings)
        if device is not None:
            settings = load_settings(None, settings, device=str(device))
        self._frames = FrameDreamer(settings)
        self._on_step = on_step
        self._fps, self._seconds = fps, float(1 / fps)
        self._previous: WorkingFrame | None = None
        self._mask: Mask | Matte | None = None
        self._index = 0

    @property
    def cadence(self) -> int:
        """Largest distance from one dreamed frame to the next in `dream_frames`; `dream` dreams every frame it gets."""
        return self._frames.settings.coherence.cadence_at(self._fps)

    @translate_out_of_memory()
    def dream(self, frame: Frame, *, new_shot: bool = False) -> Frame:
        """Dream the next frame; the result is of the same kind as the frame.

        frame: uint8 or uint16 array (H, W, 3), RGB, or float tensor (3, H, W) in [0, 1]. A frame of another size than
        the one before carries no dream, nor does one with `new_shot`. Raises InputError for anything else.
        """
        if isinstance(frame, np.ndarray) and is_large(frame):
            large = self._frames.large_frame(frame)
            residual, mask = self._grow(large, new_shot)
            return self._frames.compose_large(large, residual, mask)
        working = self._frames.frame(to_image(frame, self._frames.device))
        residual, mask = self._grow(working, new_shot)
        return like_frame(self._frames.compose(working, residual, mask), frame)

    def _grow(self, working: WorkingFrame, new_shot: bool) -> tuple[Tensor, Tensor | None]:
        """Dream the next frame; return the residual that `FrameDreamer.grow` gives, and the mask."""
        previous = None if new_shot else self._previous
        follows = previous is not None and previous.full_size == working.full_size
        motion = self._frames.motion(working, previous) if previous is not None and follows else None
        mask = self._mask_for(working, new_shot=motion is None)
        self._watch(working, mask)
        residual = self._frames.grow(
            working,
            motion,
            index=self._index,
            elapsed_seconds=self._seconds,
            time_seconds=self._index * self._seconds,
            mask=mask,
        )
        self._previous = working
        self._index += 1
        return residual, mask

    def dream_frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Dream a sequence, from its beginning, at the settings' cadence; kinds and errors as in `dream`.

        With a cadence of N a frame is returned after up to N further ones were taken: an in-between frame needs the
        dreamed frames on both sides.
        """
        self.reset()
        if self.cadence == 1:
            yield from map(self.dream, frames)
            return

        @translate_out_of_memory()
        def dream(key: Keyframe[_Given[Frame]]) -> Tensor:
            given = key.item
            self._watch(given.working, given.mask)
            return self._frames.dream(
                given.working,
                key.motion,
                index=given.index,
                elapsed_seconds=key.elapsed_seconds,
                time_seconds=given.index * self._seconds,
                mask=given.mask,
            )

        @translate_out_of_memory()
        def carry(between: InbetweenFrame[_Given[Frame]]) -> Tensor:
            given = between.item
            return self._frames.interpolate(
                given.working, between, index=given.index, time_seconds=given.index * self._seconds, mask=given.mask
            )

        for given, dreamed in in_display_order(self._steps(frames), dream, carry):
            yield like_frame(dreamed, given.frame)

    def _steps(self, frames: Iterable[Frame]) -> Iterator[Keyframe[_Given[Frame]] | InbetweenFrame[_Given[Frame]]]:
        cadence, pace = self._frames.cadence(), Pace(*self._frames.settings.coherence.cadence_range(self._fps))
        begins = True
        for frame, ends in _with_ends(frames):
            working = self._frames.frame(to_image(frame, self._frames.device))
            with torch.no_grad():
                given = _Given(self._index, frame, working, self._mask_for(working, new_shot=begins))
                key = pace.add(functools.partial(working.small, PACE_HEIGHT), key=begins or ends)
                steps = cadence.add(given, working, self._seconds, new_shot=begins, key=key)
            yield from steps
            begins = ends
            self._index += 1

    def _watch(self, working: WorkingFrame, mask: Tensor | None) -> None:
        """Tell the host of each step on a frame."""
        on_step = self._on_step
        if on_step is None:
            return

        def tell(step: AscentStep) -> None:
            def image() -> np.ndarray:
                return to_pixels(self._frames.compose(working, step.residual(), mask))

            on_step(DreamStep(step.lines, step.octave, step.octaves, step.done, step.steps, image))

        self._frames.ascent.on_step = tell

    def reset(self) -> None:
        """Forget what was dreamed: the next frame is the first."""
        self._frames.reset()
        self._previous = None
        self._index = 0
        if self._mask is not None:
            self._mask.close()
            self._mask = None

    def _mask_for(self, frame: WorkingFrame, *, new_shot: bool) -> Tensor | None:
        """Return the mask at this time, at the image's size; None without a mask."""
        text, size = self._frames.settings.dream.mask, frame.full_size
        if text is None:
            return None
        if isinstance(self._mask, Mask) and self._mask.size != size:
            self._mask.close()
            self._mask = None
        if self._mask is None:
            self._mask = open_mask(text, size, self._frames.device)
            for note in mask_notes(text) if self._index == 0 else ():
                warnings.warn(note, stacklevel=2)
        if isinstance(self._mask, Matte):
            return self._mask.next(frame.reduced, size, new_shot=new_shot)
        return self._mask.at(self._index * self._seconds)


def dream_frames(
    frames: Iterable[Frame],
    settings: Settings | str | Path | None = None,
    *,
    fps: float | Fraction | str = Fraction(30),
) -> Iterator[Frame]:
    """Dream a sequence of frames with coherence: `Dreamer.dream_frames` of a new `Dreamer`."""
    yield from Dreamer(settings, fps=fps).dream_frames(frames)


@accept_old_arguments(picture="image")
def dream_image(image: Frame, settings: Settings | str | Path | None = None) -> Frame:
    """Dream a single image; kinds and errors as in `Dreamer.dream`."""
    return Dreamer(settings).dream(image)


@accept_old_arguments(on_picture="on_image")
def comparison_sheet(
    frame: np.ndarray,
    vary: Sequence[str] | str = (),
    *,
    preset: str | Path | None = None,
    width: int = 320,
    on_image: Callable[[int, int], None] | None = None,
    **overrides: object,
) -> np.ndarray:
    """Dream a frame, a uint8 array (H, W, 3), with several settings; return one labelled sheet, an array alike.

    vary: the settings to compare values of, each a text such as `objective=blocks.3.2|blocks.4.1:7` or
    `preset=animals|plants`, as `dreamvid sheet --vary` takes it; the presets of the network without. preset, overrides:
    settings that all images share. width: width of each image on the sheet, in pixels. on_image: called with the number
    of finished images and of all. Raises DreamvidError.
    """
    vary = (vary,) if isinstance(vary, str) else vary
    width = _whole_number("width", width)
    given = {name: str(value) for name, value in {"preset": preset, **overrides}.items() if value is not None}
    return compare.comparison_sheet(frame, given, vary, dream=dream_image, width=width, on_image=on_image)


@accept_old_arguments(n="count")
def zoom_frames(
    image: Frame | None = None,
    settings: Settings | str | Path | None = None,
    count: int | None = None,
    *,
    fps: float | Fraction | str = Fraction(30),
    camera: Movement | Callable[[float], Movement] | None = None,
) -> Iterator[Frame]:
    """Make an animation from one image, a frame at a time, without end if `count` is None.

    image: as for `Dreamer.dream`; None starts from colored noise of the settings' size and returns uint8 arrays. The
    frames have the settings' size, or the image's if they have none. settings: from `load_settings`, or the name or
    file of a preset; None for the default zoom preset. count: number of frames. fps: frames per second; speeds are per
    second. camera: replaces the settings' camera: a `Camera`, a sum of several, or a function of the time in seconds
    that returns one. Raises DreamvidError.
    """
    fps, settings = _frame_rate(fps), as_settings(settings, DEFAULT_ZOOM_PRESET)
    if count is not None:
        count = _whole_number("count", count)
    return _zoom(image, settings, count, float(fps), camera)


def _frame_rate(fps: object) -> float | Fraction:
    """Check a frame rate: a number above 0, or text such as 30000/1001."""
    if isinstance(fps, str):
        fps = load_settings(None, fps=fps).video.rate()
    if isinstance(fps, SupportsFloat) and 0 < float(fps) < math.inf:
        return fps if isinstance(fps, float | Fraction) else Fraction(str(fps))
    raise InputError(f"`fps` must be a number above 0, such as 30 or '30000/1001', got {fps!r}.")


def _whole_number(name: str, value: object) -> int:
    """Check a number of frames or pixels; a numeric text is taken too."""
    try:
        number = int(value) if isinstance(value, str) else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise InputError(f"`{name}` must be a whole number of 1 or more, got {value!r}.")
    return number


def _zoom(
    image: Frame | None,
    settings: Settings,
    number: int | None,
    fps: float,
    camera: Movement | Callable[[float], Movement] | None,
) -> Iterator[Frame]:
    size = settings.video.size_pixels()
    if image is None:
        start = noise_image(size or DEFAULT_ANIMATION_FORMAT.size_pixels() or Size(480, 640), settings.render.seed)
    else:
        if size is not None and isinstance(image, np.ndarray) and is_large(image):
            start = fit_pixels(image, size)
        else:
            start = to_image(image, torch.device("cpu"))
            start = start if size is None else fit(start, size)
    dreamer = CameraDreamer(settings, start, fps=fps, count=number, camera=camera)
    for index in range(number) if number is not None else itertools.count():
        with torch.no_grad():
            dreamed = dreamer.dream(index)
        yield to_pixels(dreamed) if image is None else like_frame(dreamed, image)  # type: ignore[misc]


def _with_ends(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Yield each frame with whether it is the last of its size and kind in a row."""

    def form(frame: Frame) -> object:
        return type(frame), getattr(frame, "shape", None)  # anything else is refused when its turn comes

    waiting: list[Frame] = []
    for frame in frames:
        for before in waiting:
            yield before, form(frame) != form(before)
        waiting = [copy_frame(frame)]  # whoever makes the frames may refill one buffer
    for last in waiting:
        yield last, True
