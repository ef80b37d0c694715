"""Masks: an image or a video that says where to dream; white wholly, gray partly, black not.

Or the name of a matte, which is computed from the frames. A mask may also have its shape in its transparency: images as
`read_mask` describes, and videos that are black everywhere.
"""

import importlib
from dataclasses import dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from dreamvid.errors import DreamvidError, SettingsError
from dreamvid.image.io import read_mask
from dreamvid.image.tensors import luma, to_tensor
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader, Pixels
from dreamvid.video.mattes import MATTES
from dreamvid.video.probe import VideoInfo, probe, scan
from dreamvid.video.probing.pixel_formats import has_alpha
from dreamvid.video.source import FILE_KINDS, Source, open_source
from dreamvid.video.sources.images import ImagesSource

if TYPE_CHECKING:
    from dreamvid.video.mattes.matte import Matte

_BLACK = 4 / 255
"""The level up to which a mask is as good as black."""


@dataclass(frozen=True, kw_only=True)
class _MaskImages(ImagesSource):
    def frame(self, index: int) -> Pixels:
        """Read an image."""
        return read_mask(self._path(index), page=self._page(index))


def is_matte(text: str) -> bool:
    """Tell whether a mask is computed from the frames; a file of such a name is written as `./subject`."""
    return text in MATTES


def open_mask(text: str, size: Size, device: torch.device | str) -> "Mask | Matte":
    """Open a mask: a file, or a matte. Raises SettingsError, and NetworkError for a matte's network."""
    if not is_matte(text):
        return Mask(text, size, device)
    module, name = MATTES[text]
    matte: Matte = getattr(importlib.import_module(f"dreamvid.video.mattes.{module}"), name)(device)
    return matte


class Mask:
    """Reads a mask in step with a video; a context manager.

    text: an image, images or a video file. It is stretched to the frame. A video runs by its own times and begins when
    the source does; its last image stays when it is over. Raises SettingsError for what cannot be read.
    """

    def __init__(self, text: str, size: Size, device: torch.device | str) -> None:
        self._text, self.size, self._device = text, size, device
        self._reader: FrameReader | None = None
        self._next: tuple[float, Pixels] | None = None
        self._shown: Tensor | None = None
        try:
            self._source = _open(text)
            if isinstance(self._source, _MaskImages) and self._source.count == 1:
                self._shown = self._tensor(self._source.frame(0))
            else:
                self._rewind()
        except DreamvidError as error:
            raise _unreadable(text, error) from None

    def at(self, time_seconds: float) -> Tensor:
        """Give the mask at a time of the source, (1, 1, H, W) in [0, 1]; times must not go back."""
        while self._next is not None and (self._shown is None or self._next[0] <= time_seconds + _SAME_SECONDS):
            self._shown = self._tensor(self._next[1])
            self._advance()
        assert self._shown is not None
        return self._shown

    def close(self) -> None:
        """End the decoder."""
        if self._reader is not None:
            self._reader.close()
        self._next = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rewind(self) -> None:
        info = probe(self._source)
        seen = scan(self._source, info)
        alpha = _shape_is_in_alpha(self._source, info)
        self._reader = FrameReader(self._source, info, scan=seen, size=self.size, alpha=alpha)
        self._begin_seconds: float | None = None
        self._advance()
        if self._next is None:
            raise SettingsError("it has no frame")

    def _advance(self) -> None:
        assert self._reader is not None
        try:
            frame = next(self._reader, None)
        except DreamvidError as error:
            raise _unreadable(self._text, error) from None
        if frame is None:
            self._next = None
            return
        if self._begin_seconds is None:
            self._begin_seconds = frame.time_seconds
        self._next = frame.time_seconds - self._begin_seconds, frame.pixels

    def _tensor(self, pixels: Pixels) -> Tensor:
        mask = luma(to_tensor(pixels, self._device))
        if tuple(mask.shape[2:]) != self.size:
            mask = torch.nn.functional.interpolate(mask, self.size, mode="bilinear", antialias=True)
        return mask.clamp(0, 1)


# Times of two files are rounded differently; a frame of the mask is not late because of it.
_SAME_SECONDS = 0.002


def mask_fingerprint(text: str) -> str:
    """Hash a mask's content. Raises SettingsError for one that cannot be read."""
    if is_matte(text):
        from dreamvid.networks.subject.u2netp import SHA256

        return f"{text} 1" if text == "motion" else f"{text} 1 {SHA256}"
    try:
        source = _open(text)
        probe(source)
        return source.fingerprint()
    except DreamvidError as error:
        raise _unreadable(text, error) from None


def mask_notes(text: str) -> list[str]:
    """Say it, in a sentence, of a mask that is black everywhere. Raises SettingsError for one that cannot be read."""
    if is_matte(text):
        return []
    try:
        source = _open(text)
        info = probe(source)
        if not _is_black(source, info, alpha=_shape_is_in_alpha(source, info)):
            return []
    except DreamvidError as error:
        raise _unreadable(text, error) from None
    return [f"the mask {text} is black everywhere, so that nothing is dreamed; white dreams, gray partly, black not"]


def _shape_is_in_alpha(source: Source, info: VideoInfo) -> bool:
    """Tell whether a video is black everywhere, and may be transparent."""
    return has_alpha(info.pixel_format) and _is_black(source, info, alpha=False)


def _is_black(source: Source, info: VideoInfo, *, alpha: bool) -> bool:
    with FrameReader(source, info, alpha=alpha) as reader:  # it ends at the first frame that is not
        return all(frame.pixels.max() <= _BLACK * np.iinfo(frame.pixels.dtype).max for frame in reader)


def _open(text: str) -> Source:
    # A mask may come from a preset that someone else wrote, and a graph can read and write what it likes.
    if text == "-" or text.startswith("lavfi:"):
        raise SettingsError("graphs and stdin cannot be masks.")
    source = open_source(text, kinds=FILE_KINDS)
    if not isinstance(source, ImagesSource):
        return source
    values = {field.name: getattr(source, field.name) for field in fields(source)}
    return _MaskImages(**{**values, "bit_depth": 8})


def _unreadable(text: str, error: DreamvidError) -> SettingsError:
    return SettingsError(
        f"`mask` {text}: {error} Allowed is an image or a video; white dreams, gray partly, black not."
    )
