"""Sources: what a user names to be dreamed on, and the registry of the kinds of sources.

A kind of source is one file: it tells whether a text is its own and opens it. What it opens is either read by ffmpeg
(`FfmpegSource`) or makes its frames itself (`FrameSource`).
"""

import contextlib
import hashlib
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dreamvid.errors import InputError, SourceError, nearest
from dreamvid.runtime.plugins import Registry
from dreamvid.settings.schema import VideoSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# A text, because the help of a command lists the kinds of sources and does without NumPy.
Pixels: TypeAlias = "npt.NDArray[np.uint8] | npt.NDArray[np.uint16]"

IMAGES_RATE = Fraction(25)  # images carry no time; this is also what ffmpeg assumes of them
FILE_KINDS = ("file", "images")
"""The kinds that only read files which exist: what a text of unknown origin may name."""
_MIB = 1 << 20
_LONGEST_NAME = 255  # bytes; asking whether a longer one exists is an error on most systems


@dataclass(frozen=True)
class SourceOptions:
    """Hold what a user says of a source besides its name.

    images_rate: how many images are shown in a second; None where nothing was said. stream: ffmpeg's number of the
    video stream to take; None for the one that players take.
    """

    images_rate: Fraction | None = None
    stream: int | None = None


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """An opened source. kind: its name in the registry. text: what the user wrote. paths: every file that it reads."""

    kind: str
    text: str
    paths: tuple[Path, ...] = ()

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash the content, whatever a file is called and whenever it was touched. Raises SourceError."""


@dataclass(frozen=True, kw_only=True)
class FfmpegSource(Source):
    """A source that ffmpeg reads. stream: the number of the video stream to take; None for the one that players take.

    endless: it may have no end, and so may its sound. has_clock: its sound and its images begin at times of their own.
    """

    stream: int | None = None
    endless: bool = False
    has_clock: bool = True

    @abstractmethod
    def input_args(self) -> list[str]:
        """List ffmpeg's options that open this source."""


@dataclass(frozen=True, kw_only=True)
class FrameSource(Source):
    """A source that makes its frames itself.

    frame_rate: frames per second. count: how many frames there are. bit_depth: 8 for uint8 frames, 16 for uint16.
    timeless: the frames have no times of their own, so that any rate suits them, as with images.
    """

    frame_rate: Fraction
    count: int
    bit_depth: int = 8
    timeless: bool = False

    @abstractmethod
    def frame(self, index: int) -> Pixels:
        """Make a frame: RGB of shape (H, W, 3), uint8 or uint16. Raises SourceError."""

    def check(self, index: int) -> None:
        """Raise SourceError, without decoding it, for a frame that cannot be made. Called before the render."""


class SourceKind(Protocol):
    """One kind of source: the `PLUGIN` of its module. form: how a user writes it, such as `lavfi:GRAPH`."""

    form: str

    def claims(self, text: str) -> bool:
        """Tell whether a text names a source of this kind. Nothing is opened."""
        ...

    def open(self, text: str, options: SourceOptions) -> Source:
        """Open it. Raises SourceError."""
        ...


SOURCES: Registry[SourceKind] = Registry("source", "dreamvid.video.sources", "dreamvid.sources")


def plugin_forms() -> list[str]:
    """List how the sources of plugins are written; those that cannot be loaded are left out."""
    forms = []
    for name in SOURCES.names():
        with contextlib.suppress(InputError):
            if SOURCES.origin(name):
                forms.append(SOURCES.load(name).form)
    return forms


def open_source(
    text: str | Path,
    *,
    images_rate: Fraction | None = None,
    stream: int | None = None,
    kinds: Collection[str] | None = None,
) -> Source:
    """Understand what the user named as a source.

    Allowed: a video file; one image; a folder of images (in natural order: 2 before 10); a pattern such as
    `f_%04d.png` or `shots/*.png`; `lavfi:GRAPH` (an ffmpeg filter graph, such as `lavfi:testsrc2=r=30:d=5`); `demo` (a
    landscape, made on the spot); `-` for y4m (or any other format that ffmpeg recognizes) on stdin, which is first
    copied to a temporary file that lives until the program ends; and what plugins add. A file's content decides what
    it is, not its name.

    Args:
        text: the source. images_rate: images per second, 25 by default; only for what has no times of its own.
        stream: the number of a video stream, as ffmpeg counts them. kinds: names of the kinds that are allowed.

    Raises:
        SourceError: nothing is there, it is empty, a folder or pattern without images, or an option that this source
            does not have.
    """
    name = str(text)
    if any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in Path(name).parts) and ":" not in name[:32]:
        raise SourceError(f"no such file or folder: {name}")
    for _, kind in _kinds(kinds):
        if kind.claims(name):
            source = kind.open(name, SourceOptions(images_rate, stream))
            _refuse_unused(source, images_rate, stream)
            return source
    raise _unknown(name, kinds)


def open_for_render(text: str | Path, video: VideoSettings) -> Source:
    """Open a source as a render's settings say. Images without a rate of their own are shown at that of the result."""
    source = open_source(text, images_rate=video.images_rate(), stream=video.stream)
    rate = video.rate()
    if isinstance(source, FrameSource) and source.timeless and video.input_fps is None and rate is not None:
        return replace(source, frame_rate=rate)
    return source


def _kinds(allowed: Collection[str] | None) -> Iterator[tuple[str, SourceKind]]:
    """Go through the kinds.

    Those of plugins come first, so that they can read files of their own formats; then those that are written in a
    special way; a graph may look like a pattern.
    """
    for name in sorted(SOURCES.names(), key=lambda name: (not SOURCES.origin(name), name in FILE_KINDS)):
        if allowed is not None and name not in allowed:
            continue
        try:
            yield name, SOURCES.load(name)
        except InputError as error:  # a plugin that is broken must not keep others from being used
            warnings.warn(str(error), stacklevel=3)


def _refuse_unused(source: Source, images_rate: Fraction | None, stream: int | None) -> None:
    if images_rate is not None and not (isinstance(source, FrameSource) and source.timeless):
        raise SourceError(
            f"`input_fps` is for images, and {source.text} has times of its own. "
            "To convert to another frame rate use `fps`."
        )
    if stream is not None and not isinstance(source, FfmpegSource):
        raise SourceError(f"{source.text} has no streams to choose from: leave `stream` out.")


def _unknown(name: str, kinds: Collection[str] | None) -> SourceError:
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        return SourceError(f"addresses are not read: {name}. Download the video and give its file name.")
    path = Path(name).expanduser()
    forms = [kind.form for _, kind in _kinds(kinds)]
    close = nearest(name, [form for form in forms if " " not in form])
    if not close and path.parent.is_dir():
        close = nearest(path.name, sorted(file.name for file in path.parent.iterdir() if not file.name.startswith(".")))
    return SourceError(f"no such file or folder: {name}.{close} Allowed: {', '.join(forms)}.")


def hash_content(kind: str, parts: Iterable[str | Path]) -> str:
    """Hash texts, and of files the size and the first, middle and last MiB. Raises SourceError."""
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        if isinstance(part, Path):
            _hash_file(part, digest)
        else:
            digest.update(part.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _hash_file(path: Path, digest: "hashlib._Hash") -> None:
    try:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            for offset in sorted({0, max(0, size // 2 - _MIB // 2), max(0, size - _MIB)}):
                file.seek(offset)
                digest.update(file.read(_MIB))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
