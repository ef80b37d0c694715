"""Define what a sink is, where frames go, and choose one by the output's name.

A sink's name is the suffix of the outputs that it writes: built-in ones are the modules of video/sinks/, others come
with installed distributions (entry-point group `dreamvid.sinks`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from dreamvid.errors import OutputError, nearest
from dreamvid.runtime.plugins import SINKS

if TYPE_CHECKING:
    from dreamvid.video.decode import Pixels
    from dreamvid.video.encode import StreamSpec
    from dreamvid.video.probe import VideoInfo
    from dreamvid.video.source import Source

_FOLDER_SINK = "png"
_NUMBER = re.compile(r"%0?(\d*)d")


class FrameWriter(Protocol):
    """Writes frames that follow one another: those of one segment of a render, or of a whole live run.

    count: how many frames were written. path: the segment's file, which bears this name only when it is whole and on
    the disk (see `runtime.files.part_path` and `replace_atomically`).
    """

    count: int
    path: Path

    def write(self, pixels: Pixels, pts: int) -> None:
        """Add a frame, RGB (H, W, 3), uint8 for 8 bits and uint16 above; pts: its time in the spec's `time_base`."""
        ...

    def close(self) -> None:
        """Finish the file and give it its name. Raises OutputError or FfmpegError; nothing bears the name then."""
        ...

    def abort(self) -> None:
        """Stop, and remove what is unfinished. It may be called at any time, also after `close`."""
        ...


@dataclass(frozen=True)
class FileSequence:
    """The names of numbered files: `pattern` holds one number, such as `frame_%06d.png`; `%%` stands for `%`."""

    pattern: str

    @classmethod
    def from_name(cls, name: str) -> Self | None:
        """Make the sequence of a file name; None if it holds no number. Raises OutputError if it holds several."""
        found = len(_NUMBER.findall(name.replace("%%", "")))
        if found > 1:
            raise OutputError(f"the output {name!r} has {found} numbers. Keep one of them, such as name_%06d.png.")
        return cls(name) if found else None

    def name(self, number: int) -> str:
        """Name the file of a number."""
        return "%".join(
            _NUMBER.sub(lambda match: f"{number:0{match[1] or 1}d}", part) for part in self.pattern.split("%%")
        )

    def folder(self, output: Path) -> Path:
        """Return the folder of the files of an output, which is this pattern in a folder or the folder itself."""
        return output.parent if output.name == self.pattern else output

    def files(self, folder: Path) -> list[tuple[int, Path]]:
        """List numbers and paths of the files in a folder that have exactly such a name, in the order of numbers."""
        if not folder.is_dir():
            return []
        parts = [_NUMBER.split(part) for part in self.pattern.split("%%")]
        name = re.compile("%".join(r"(\d+)".join(map(re.escape, part[::2])) for part in parts), re.ASCII)
        matches = ((name.fullmatch(path.name), path) for path in folder.iterdir())
        numbered = ((int(match[1]), path) for match, path in matches if match)
        return sorted((number, path) for number, path in numbered if path.name == self.name(number))


@dataclass(frozen=True)
class Recording:
    """Finished segments, and what joining them needs.

    segments: files of a sink's writers, in order. spec: what they were written with. pts: per segment, the times of its
    frames in `spec.time_base`, on the source's clock. end_pts: when the last frame ends; None: it is shown as long as
    the frames are on average. source, info: where sound, subtitles and tags come from; None for none. trimmed: the
    result is a part of the source: it begins with its first frame, and the sound is cut to the span of its frames.
    Otherwise all sound is kept, and the video keeps its offset to it.
    """

    segments: Sequence[Path]
    spec: StreamSpec
    pts: Sequence[Sequence[int]]
    end_pts: int | None = None
    source: Source | None = None
    info: VideoInfo | None = None
    trimmed: bool = False

    def __post_init__(self) -> None:
        if not self.segments or len(self.segments) != len(self.pts) or not all(self.pts):
            raise ValueError("as many segments as lists of times, and at least one frame in each")

    @property
    def count(self) -> int:
        """Number of frames."""
        return sum(map(len, self.pts))

    def timeline(self) -> tuple[list[Fraction], Fraction]:
        """Compute when each segment starts and when the last one ends, in seconds on the source's clock."""
        spec, first, last = self.spec, self.pts[0][0], self.pts[-1][-1]
        if spec.constant_rate:
            # The writers placed the frames on the exact grid; the source's times may be rounded to milliseconds.
            starts, frames = [], 0
            for part in self.pts:
                starts.append(spec.seconds(first) + frames / spec.rate)
                frames += len(part)
            return starts, spec.seconds(first) + frames / spec.rate
        end_pts = self.end_pts
        if end_pts is None or end_pts <= last:
            count = self.count
            mean = Fraction(last - first, count - 1) if count > 1 else 1 / (spec.rate * spec.time_base)
            end_pts = last + max(1, round(mean))
        return [spec.seconds(part[0]) for part in self.pts], spec.seconds(end_pts)


class Sink(Protocol):
    """One output: an immutable value that opens writers for its segments and joins them.

    A render writes each segment to a file of its own, keeps it when it is interrupted, and in the end joins all of them
    into a result, which it gives its final name. A class that inherits from this one only has to define what follows
    below without a default.

    suffix: the output's, such as ".mp4", in lower case. segment_suffix: that of segment files. sequence: the names of
    the files, if the result is a folder of numbered ones; None if it is one file.
    """

    suffix: str
    sequence: FileSequence | None = None

    @property
    def segment_suffix(self) -> str:
        """The suffix that segment files have."""
        return self.suffix

    def fingerprint(self, bit_depth: int, hdr: bool) -> str:
        """Write down what the files depend on besides the frames, for frames of this depth; "" if nothing."""
        return ""

    def check(self, spec: StreamSpec | None = None) -> None:
        """Raise OutputError, before the work, for what cannot be written here; spec: None while it is not known."""

    def open_segment(self, path: Path, spec: StreamSpec) -> FrameWriter:
        """Open a writer for a segment whose file gets the name `path`. Raises OutputError or FfmpegError."""
        ...

    def join(self, recording: Recording, output: Path) -> list[str]:
        """Join segments into `output`: a file, or for a sequence a folder, which is made or added to.

        An existing file is replaced. Returns warnings: what could not be kept as it was. Raises OutputError, and
        FfmpegError; nothing new bears the name then.
        """
        ...

    def preview(self) -> Sink | None:
        """Return the sink that joins the same segments to one file that can be watched; None if there is none."""
        return self if self.sequence is None else None


class SinkFactory(Protocol):
    """What a module in video/sinks/, or an entry point, gives as its plugin."""

    def open(self, output: str, codec: str | None, crf: int | None) -> Sink:
        """Make the sink of an output.

        output: what the user wrote; its suffix is this plugin's name. codec, crf: the encoder and quality that were
        asked for, None for the default ones. Raises OutputError for what cannot be met.
        """
        ...


def open_sink(output: str | Path, codec: str | None = None, crf: int | None = None) -> Sink:
    """Choose the sink of an output by its suffix; a text that ends in a slash, or an existing folder, gets PNGs.

    codec: ffmpeg's name of an encoder; None for the suffix's default. crf: constant quality, lower is better; None for
    the encoder's default. Raises OutputError for an unknown suffix and what the sink does not take. `Sink.check` says
    if it works here.
    """
    text = str(output)
    path = Path(output)
    suffix = path.suffix.lower()
    folder = text.endswith(("/", os.sep)) or os.path.isdir(path)  # noqa: PTH112 - Path's raises for long names
    name = _FOLDER_SINK if folder else suffix.removeprefix(".")
    if name not in SINKS:
        raise OutputError(
            f"cannot write a video with the suffix {suffix or '(none)'!r}: {text}."
            f"{nearest(suffix, [f'.{known}' for known in SINKS.names()])} Allowed: {output_forms()}."
        )
    factory: SinkFactory = SINKS.load(name)
    return factory.open(text, codec, crf)


def output_forms() -> str:
    """List the outputs that can be written, for help and messages; it imports none of the sinks."""
    suffixes = " ".join(f".{name}" for name in SINKS.names())
    return f"{suffixes} (numbered: name_%06d.png), or a folder of PNGs (ends in /)"


def sink_fingerprint(sink: Sink, bit_depth: int, hdr: bool) -> str:
    """Join a sink's fingerprint and, for a plugin's, the version of its distribution."""
    origin = SINKS.origin(sink.suffix.removeprefix("."))
    return " ".join(filter(None, (origin, sink.fingerprint(bit_depth, hdr))))
