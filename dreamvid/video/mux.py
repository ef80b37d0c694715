"""Join encoded segments and write the result: whole under its final name, or not there."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.settings.size import Size
from dreamvid.video.encode import SegmentWriter, StreamSpec
from dreamvid.video.encoders import Encoding, check_encoder
from dreamvid.video.ffmpeg import PROTOCOL_WHITELIST, Ffmpeg
from dreamvid.video.sink import Recording, Sink

_USUAL_SIDES = range(256, 4097)
"""Sides in pixels that every encoder takes."""


@dataclass(frozen=True)
class EncodedSink(Sink):
    """A sink whose segments ffmpeg encodes; what is made of them is for those that inherit from this one.

    encoding: what segments are encoded with. muxer: ffmpeg's name of the result's format. largest_side: in pixels, of
    that format; None: no limit that an encoder would not tell.
    """

    suffix: str
    encoding: Encoding
    muxer: str
    largest_side: int | None = field(default=None, kw_only=True)

    @property
    def peers(self) -> tuple[str, ...]:
        """The encoders to suggest if this one does not work; all if empty."""
        return ()

    @property
    def segment_suffix(self) -> str:
        """The suffix that segment files have."""
        return self.encoding.segment_suffix

    def fingerprint(self, bit_depth: int, hdr: bool) -> str:
        """Name the format and ffmpeg's options of the encoder."""
        return " ".join((self.muxer, *self.encoding.args(bit_depth, hdr)))

    def check(self, spec: StreamSpec | None = None) -> None:
        """Encode a frame: of the spec's size, if that is unusual. Raises OutputError."""
        if spec is None:
            check_encoder(self.encoding.codec, self.peers)
            return
        width, height = spec.width, spec.height
        if self.largest_side is not None and max(width, height) > self.largest_side:
            raise OutputError(
                f"a {self.suffix} file is at most {self.largest_side} pixels wide and high; this result has "
                f"{width}x{height}. Give a smaller `size`, or another output such as .mp4 or name_%06d.png."
            )
        if width not in _USUAL_SIDES or height not in _USUAL_SIDES:
            even = 1 if self.encoding.encoder.is_rgb else 2
            check_encoder(self.encoding.codec, self.peers, Size(height + -height % even, width + -width % even))

    def open_segment(self, path: Path, spec: StreamSpec) -> SegmentWriter:
        """Open an encoder. Raises OutputError or FfmpegError."""
        return SegmentWriter(path, spec, self.encoding)


@contextlib.contextmanager
def joined_segments(recording: Recording) -> Iterator[list[str]]:
    """Give ffmpeg's options of an input that plays the segments one after the other, at their times from 0.

    Raises FfmpegError if a segment is missing.
    """
    for segment in recording.segments:
        if not segment.is_file():
            raise FfmpegError(f"a segment is missing: {segment}. Run the same command again to render it.")
    starts, end = recording.timeline()
    with tempfile.TemporaryDirectory(prefix="dreamvid-") as folder:
        listing = Path(folder) / "segments.ffconcat"
        listed = _one_line(recording.segments, Path(folder))
        listing.write_bytes(os.fsencode("\n".join(_concat_lines(listed, starts, end))))
        yield [*PROTOCOL_WHITELIST, "-f", "concat", "-safe", "0", "-i", f"file:{listing}"]


def write_file(args: Sequence[str], output: Path, count: int | None, *, more_outputs: Sequence[str] = ()) -> None:
    """Run ffmpeg into a hidden file next to `output` and rename it when all `count` frames are in it (None: any).

    args: inputs and the options of the output. more_outputs: what follows it. Raises OutputError and FfmpegError.
    """
    part = part_path(output)
    try:
        part.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {output.parent}: {error.strerror or error}") from error
    try:
        with Ffmpeg([*args, f"file:{part.absolute()}", *more_outputs], progress=True) as process:
            process.finish(f"writing {output}")
            if count is not None and process.frames_written != count:
                raise FfmpegError(
                    f"the result {output} has {process.frames_written} frames where {count} were rendered"
                )
        try:
            replace_atomically(part, output)
        except OSError as error:
            raise OutputError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def write_animation(
    recording: Recording,
    output: Path,
    muxer: str,
    filters: Sequence[str],
    options: Sequence[str],
    count: int | None,
) -> None:
    """Convert lossless segments to an animated image. Such files have no pixel shape, so pixels are made square.

    filters: ffmpeg's filters. options: of the output. count: of frames, as ffmpeg has to count them; None: any. Raises
    OutputError and FfmpegError.
    """
    square = ["scale=iw*sar:ih:flags=bicubic,setsar=1"] if recording.spec.sample_aspect != 1 else []
    graph = ",".join(["[0:v:0]null", *square, *filters]) + "[v]"
    with joined_segments(recording) as images:
        args = [*images, "-filter_complex", graph, "-map", "[v]", "-fps_mode", "passthrough", *options]
        write_file([*args, "-f", muxer], output, count)


def _one_line(segments: Sequence[Path], folder: Path) -> list[Path]:
    """Give files names without a line break, which no quotes hold in a list: by links in `folder`."""
    named = []
    for number, segment in enumerate(segments):
        path = segment.absolute()
        if re.search(r"[\r\n]", str(path)):
            path = folder / f"{number:06d}{segment.suffix}"
            path.symlink_to(segment.absolute())
        named.append(path)
    return named


def _concat_lines(segments: Sequence[Path], starts: Sequence[Fraction], end: Fraction) -> Iterator[str]:
    """Write the list for ffmpeg's concat demuxer."""
    yield "ffconcat version 1.0"
    # Durations are differences of rounded cumulative times: rounding each by itself drifts.
    marks = [round((mark - starts[0]) * 1_000_000) for mark in (*starts, end)]
    for segment, begin, finish in zip(segments, marks, marks[1:], strict=False):
        name = str(segment.absolute()).replace("'", "'\\''")
        yield f"file 'file:{name}'"
        yield f"duration {(finish - begin) // 1_000_000}.{(finish - begin) % 1_000_000:06d}"
    yield ""
