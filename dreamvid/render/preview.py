"""Write a video of what is done so far, next to the output: when a render is interrupted, or while it runs."""

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
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import FrameWriter, Recording

# A long video takes long to join; previews get this share of the time.
_PREVIEW_SHARE = 0.1


@dataclass(frozen=True)
class PreviewChunk:
    """Encoded frames `start` to `stop` (exclusive) of an unfinished segment."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class PartialVideo:
    """Joins the finished segments, and chunks of the one after them, with the sound of that span."""

    job: Job
    plan: Plan
    spec: StreamSpec
    sound: Sound | None

    def write(self, chunks: Sequence[PreviewChunk]) -> Path | None:
        """Join; None if there is no frame yet or no preview of the output. Raises OutputError and FfmpegError."""
        paths: list[Path] = []
        pts: list[Sequence[int]] = []
        begin = self.plan.start
        for segment in self.plan.segments:
            if segment.overlap or not self.job.is_finished(segment):  # a seam is made when all is there
                break
            paths.append(self.job.segment_path(segment))
            pts.append(self.plan.segment_pts(segment))
            begin = segment.stop
        for chunk in chunks:
            if chunk.start == begin:  # otherwise something before it has to be rendered again
                paths.append(chunk.path)
                pts.append(self.plan.pts[chunk.start - self.plan.start : chunk.stop - self.plan.start])
                begin = chunk.stop
        destination = self.job.destination
        sink = destination.sink.preview()
        if not paths or sink is None:
            return None
        self.job.claim(destination.partial)
        source, info = (None, None) if self.sound is None else (self.sound.source, self.sound.info)
        sink.join(Recording(paths, self.spec, pts, source=source, info=info, trimmed=True), destination.partial)
        return destination.partial


class Preview:
    """Rewrites the partial video and an image of the latest frame, next to the output, every so many seconds.

    Frames of the segment that is being rendered are encoded a second time, in chunks that can be closed at any time.
    Used by one thread. A context manager: leaving it removes the chunks.
    """

    def __init__(self, partial: PartialVideo, every_seconds: float) -> None:
        self._partial = partial
        self._every_seconds = every_seconds
        self._due = time.monotonic() + every_seconds
        self._writer: FrameWriter | None = None
        self._begin = 0
        self._chunks: list[PreviewChunk] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget_chunks()

    def add(self, index: int, pixels: Pixels) -> None:
        """Take in the next frame; rewrite what is on disk when it is time. Raises DreamvidError, OSError."""
        if self._writer is None:
            sink = self._partial.job.destination.sink
            name = f"preview-{index:09d}{sink.segment_suffix}"
            self._writer = sink.open_segment(self._partial.job.folder / name, self._partial.spec)
            self._begin = index
        self._writer.write(pixels, self._partial.plan.pts[index - self._partial.plan.start])
        if time.monotonic() < self._due:
            return
        began = time.monotonic()
        self._writer.close()
        self._chunks.append(PreviewChunk(self._writer.path, self._begin, index + 1))
        self._writer = None
        self._partial.write(self._chunks)
        still = self._partial.job.destination.still
        self._partial.job.claim(still)
        write_image(still, to_8_bits(pixels))
        now = time.monotonic()
        self._due = now + max(self._every_seconds, (now - began) / _PREVIEW_SHARE)

    def forget_chunks(self) -> None:
        """Remove the chunks of a segment that is finished itself."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        for chunk in self._chunks:
            with suppress(OSError):
                chunk.path.unlink()
        self._chunks.clear()
