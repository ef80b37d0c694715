"""The frame API: frames in, dreamed frames out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from dreamvid.camera.camera_dreamer import CameraDreamer
from dreamvid.camera.movement import Camera as Camera
from dreamvid.camera.movement import Movement
from dreamvid.camera.noise import noise_image
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.keyframes import InbetweenFrame, Keyframe, in_display_order
from dreamvid.errors import InputError
from dreamvid.figures import comparison as compare
from dreamvid.figures.feature_visualization import feature_sheet as feature_sheet
from dreamvid.image.tensors import Frame, copy_frame, fit, like_frame, to_image, to_pixels
from dreamvid.metrics.report import Score as Score
from dreamvid.metrics.score import score as score
from dreamvid.metrics.score import score_frames as score_frames
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, DEFAULT_ZOOM_PRESET, Settings, load_settings
from dreamvid.video.mask import Mask
from dreamvid.video.still import read_frame as read_frame

# Files to files: from a video, and from an image.
dream_video, zoom_video = render_video, render_zoom


@dataclass(frozen=True)
class _Given(Generic[Frame]):
    """A frame as it came, and the mask at its time."""

    index: int
    frame: Frame
    mask: Tensor | None


class Dreamer:
    """Dreams frames one after another; each carries the dream of the one before, moved along with the image.

    settings: from `load_settings`; the default preset without. fps: frames per second of what will be fed in, on
    which the memory's half-life depends. Loads the network once. Raises DreamvidError for settings that cannot be met.
    """

    @translate_out_of_memory()
    def __init__(
        self, settings: Settings | None = None, *, fps: float | Fraction = Fraction(30), device: str | None = None
    ) -> None:
        if not fps > 0:
            raise InputError(f"fps has to be above 0, got {fps}.")
        settings = load_settings() if settings is None else settings
        self._frames = FrameDreamer(settings if device is None else load_settings(None, settings, device=device))
        self._fps, self._seconds = fps, float(1 / fps)
        self._previous: Tensor | None = None
        self._mask: Mask | None = None
        self._index = 0

    @property
    def cadence(self) -> int:
        """Every how many frames `dream_frames` dreams one; `dream` dreams each frame that it is given."""
        return self._frames.settings.coherence.cadence_at(self._fps)

    @translate_out_of_memory()
    def dream(self, frame: Frame, *, new_shot: bool = False) -> Frame:
        """Dream the next frame; the same kind comes out as goes in.

        frame: uint8 or uint16 array (H, W, 3), RGB, or float tensor (3, H, W) in [0, 1]. A frame of another size than
        the one before begins anew, and so does one with `new_shot`. Raises InputError for anything else.
        """
        image = to_image(frame, self._frames.device)
        previous = None if new_shot else self._previous
        follows = previous is not None and previous.shape == image.shape
        motion = self._frames.motion(image, previous) if previous is not None and follows else None
        dreamed = self._frames.dream(
            image,
            motion,
            index=self._index,
            elapsed_seconds=self._seconds,
            time_seconds=self._index * self._seconds,
            mask=self._mask_for(image),
        )
        self._previous = image
        self._index += 1
        return like_frame(dreamed, frame)

    def dream_frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Dream a sequence, from its beginning, at the settings' cadence; kinds and errors as in `dream`.

        With a cadence of N a frame comes out once up to N further ones have been taken in: those between two dreamed
        ones need both.
        """
        self.reset()
        if self.cadence == 1:
            yield from map(self.dream, frames)
            return

        @translate_out_of_memory()
        def dream(key: Keyframe[_Given[Frame]]) -> Tensor:
            given = key.item
            return self._frames.dream(
                to_image(given.frame, self._frames.device),
                key.motion,
                index=given.index,
                elapsed_seconds=key.elapsed_seconds,
                time_seconds=given.index * self._seconds,
                mask=given.mask,
            )

        @translate_out_of_memory()
        def carry(between: InbetweenFrame[_Given[Frame]]) -> Tensor:
            image = to_image(between.item.frame, self._frames.device)
            return self._frames.interpolate(image, between, mask=between.item.mask)

        for given, dreamed in in_display_order(self._steps(frames), dream, carry):
            yield like_frame(dreamed, given.frame)

    def _steps(self, frames: Iterable[Frame]) -> Iterator[Keyframe[_Given[Frame]] | InbetweenFrame[_Given[Frame]]]:
        cadence = self._frames.cadence(self._fps)
        begins = True
        for frame, ends in _with_ends(frames):
            image = to_image(frame, self._frames.device)
            with torch.no_grad():
                given = _Given(self._index, frame, self._mask_for(image))
                steps = cadence.add(given, self._frames.prepare(image), self._seconds, anew=begins, last=ends)
            yield from steps
            begins = ends
            self._index += 1

    def reset(self) -> None:
        """Forget what was dreamed: the next frame is the first."""
        self._frames.reset()
        self._previous = None
        self._index = 0
        if self._mask is not None:
            self._mask.close()
            self._mask = None

    def _mask_for(self, image: Tensor) -> Tensor | None:
        """What the mask of the settings shows at this time, at the image's size."""
        text, size = self._frames.settings.dream.mask, (image.shape[2], image.shape[3])
        if text is None:
            return None
        if self._mask is not None and self._mask.size != size:
            self._mask.close()
            self._mask = None
        if self._mask is None:
            self._mask = Mask(text, size, self._frames.device)
        return self._mask.at(self._index * self._seconds)


def dream_frames(
    frames: Iterable[Frame], settings: Settings | None = None, *, fps: float | Fraction = Fraction(30)
) -> Iterator[Frame]:
    """Dream a sequence of frames with coherence; `Dreamer.dream_frames`, with a `Dreamer` of its own."""
    yield from Dreamer(settings, fps=fps).dream_frames(frames)


def dream_image(image: Frame, settings: Settings | None = None) -> Frame:
    """Dream a single image; kinds and errors as in `Dreamer.dream`."""
    return Dreamer(settings).dream(image)


def comparison_sheet(
    frame: np.ndarray,
    vary: Sequence[str] = (),
    *,
    preset: str | None = None,
    width: int = 320,
    on_image: Callable[[int, int], None] | None = None,
    **overrides: object,
) -> np.ndarray:
    """Dream a frame, a uint8 array (H, W, 3), in many ways; return them on one labelled sheet, an array alike.

    vary: what differs, each a text such as `objective=blocks.3.2|blocks.4.1:7` or `preset=animals|plants`, as
    `dreamvid sheet --vary` takes it; the presets of the network without. preset, overrides: settings that all share.
    width: that of each image on the sheet, in pixels. on_image: called with the number of images that are done
    and of all. Raises DreamvidError.
    """
    given = {name: str(value) for name, value in {"preset": preset, **overrides}.items() if value is not None}
    return compare.comparison_sheet(frame, given, vary, dream=dream_image, width=width, on_image=on_image)


def zoom_frames(
    image: Frame | None = None,
    settings: Settings | None = None,
    n: int | None = None,
    *,
    fps: float | Fraction = Fraction(30),
    camera: Movement | Callable[[float], Movement] | None = None,
) -> Iterator[Frame]:
    """Make an animation from one image, a frame at a time, for ever if `n` is not given.

    image: as for `Dreamer.dream`; None begins with colored noise of the settings' size and gives uint8 arrays. The
    frames have the settings' size, or the image's if they have none. settings: None for the default zoom preset. fps:
    frames per second; speeds are per second. camera: moves in place of the settings' camera: a `Camera`, several of
    them added, or a function of the time in seconds that gives one. Raises DreamvidError.
    """
    if not fps > 0:
        raise InputError(f"fps has to be above 0, got {fps}.")
    if n is not None and n < 1:
        raise InputError(f"n has to be 1 frame or more, got {n}.")
    settings = load_settings(DEFAULT_ZOOM_PRESET) if settings is None else settings
    return _zoom(image, settings, n, float(fps), camera)


def _zoom(
    image: Frame | None,
    settings: Settings,
    n: int | None,
    fps: float,
    camera: Movement | Callable[[float], Movement] | None,
) -> Iterator[Frame]:
    size = settings.video.size_pixels()
    if image is None:
        start = noise_image(size or DEFAULT_ANIMATION_FORMAT.size_pixels() or (640, 480), settings.render.seed)
    else:
        start = to_image(image, torch.device("cpu"))
        start = start if size is None else fit(start, size)
    dreamer = CameraDreamer(settings, start, fps=fps, count=n, camera=camera)
    for index in range(n) if n is not None else count():
        with torch.no_grad():
            dreamed = dreamer.dream(index)
        yield to_pixels(dreamed) if image is None else like_frame(dreamed, image)  # type: ignore[misc]


def _with_ends(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    """Give each frame with whether it is the last of its size and kind in a row."""

    def form(frame: Frame) -> object:
        return type(frame), getattr(frame, "shape", None)  # what is no frame is told when its turn comes

    waiting: list[Frame] = []
    for frame in frames:
        for before in waiting:
            yield before, form(frame) != form(before)
        waiting = [copy_frame(frame)]  # whoever makes the frames may refill one buffer
    for last in waiting:
        yield last, True
