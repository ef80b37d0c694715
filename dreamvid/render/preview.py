"""A film of what is done so far, beside a job: at its interruption, or kept fresh while it renders."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dreamvid.image.io import write_image
from dreamvid.image.tensors import to_8_bits
from dreamvid.render.job import Job
from dreamvid.render.plan import Plan
from dreamvid.render.producer import Sound
from dreamvid.video.decode import Pixels
from dreamvid.video.encode import SegmentWriter, StreamSpec
from dreamvid.video.mux import join_segments

# A long film takes long to join; previews get this small a share of the time.
_PREVIEW_SHARE = 0.1


@dataclass(frozen=True)
class PreviewChunk:
    """Encoded frames `start` to `stop` (exclusive) of an unfinished segment."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class PartialVideo:
    """Joins the finished segments, and pieces of the one after them, with the sound of that span."""

    job: Job
    plan: Plan
    spec: StreamSpec
    sound: Sound | None

    def write(self, pieces: Sequence[PreviewChunk]) -> Path | None:
        """Join; None when there is no frame yet. Raises OutputError and FfmpegError."""
        paths: list[Path] = []
        pts: list[Sequence[int]] = []
        begin = self.plan.start
        for segment in self.plan.segments:
            if not self.job.is_finished(segment):
                break
            paths.append(self.job.segment_path(segment))
            pts.append(self.plan.segment_pts(segment))
            begin = segment.stop
        for piece in pieces:
            if piece.start == begin:  # otherwise something before it has to be rendered anew
                paths.append(piece.path)
                pts.append(self.plan.pts[piece.start - self.plan.start : piece.stop - self.plan.start])
                begin = piece.stop
        if not paths:
            return None
        destination = self.job.destination
        self.job.claim(destination.partial)
        join_segments(
            paths,
            destination.partial,
            destination.partial_format,
            spec=self.spec,
            pts=pts,
            source=None if self.sound is None else self.sound.source,
            info=None if self.sound is None else self.sound.info,
            trimmed=True,
        )
        return destination.partial


class Preview:
    """Keeps the partial film and a still image beside the output fresh, every so many seconds.

    Frames of the segment that is being rendered are encoded a second time, in pieces that can be closed at
    any time. Used by one thread. A context manager: leaving it removes the pieces.
    """

    def __init__(self, film: PartialVideo, every_seconds: float) -> None:
        self._film = film
        self._every_seconds = every_seconds
        self._due = time.monotonic() + every_seconds
        self._writer: SegmentWriter | None = None
        self._begin = 0
        self._pieces: list[PreviewChunk] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget_pieces()

    def add(self, index: int, pixels: Pixels) -> None:
        """Take in the next frame; refresh what is on disk when it is time. Raises DreamvidError, OSError."""
        if self._writer is None:
            name = f"preview-{index:09d}{self._film.job.destination.fmt.segment_suffix}"
            self._writer = SegmentWriter(self._film.job.folder / name, self._film.spec, self._film.job.destination.fmt)
            self._begin = index
        self._writer.write(pixels, self._film.plan.pts[index - self._film.plan.start])
        if time.monotonic() < self._due:
            return
        began = time.monotonic()
        self._writer.close()
        self._pieces.append(PreviewChunk(self._writer.path, self._begin, index + 1))
        self._writer = None
        self._film.write(self._pieces)
        still = self._film.job.destination.still
        self._film.job.claim(still)
        write_image(still, to_8_bits(pixels))
        now = time.monotonic()
        self._due = now + max(self._every_seconds, (now - began) / _PREVIEW_SHARE)

    def forget_pieces(self) -> None:
        """Drop the pieces of a segment that is finished itself."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        for piece in self._pieces:
            with suppress(OSError):
                piece.path.unlink()
        self._pieces.clear()
