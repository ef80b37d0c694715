"""Read the streams of a file out of ffmpeg's description, and choose the one that players take."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dreamvid.errors import SourceError
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.source import FfmpegSource

_STREAM = re.compile(
    r"^Stream #0:(?P<index>\d+)(?:\[[^\]]*\])?(?:\([^)]*\))?: "
    r"(?P<kind>Video|Audio|Subtitle): (?P<codec>\w+)(?P<rest>.*)$"
)
_SIZE = re.compile(r", (\d{1,5})x(\d{1,5})\b")
_DURATION = re.compile(r"^Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
_ALPHA_MODE = re.compile(r"^alpha_mode +: 1$", re.IGNORECASE)
_COMPARED_SECONDS = 60  # of streams that are alike otherwise, the one with more frames in so many seconds is taken
_UNKNOWN_SIZE = Size(0, 0)


@dataclass(frozen=True)
class Stream:
    """One stream. index: ffmpeg's number of it. kind: Video, Audio or Subtitle. codec: the name of ffmpeg's decoder.

    size: of a video in pixels; 0 by 0 where it is not known. default: players take it first.
    still: a cover image, a thumbnail or another image that belongs to the file but is not its video. complete: all that
    is needed to decode or copy it is known. separate_alpha: its transparency is stored next to its images (VP8, VP9).
    """

    index: int
    kind: str
    codec: str
    size: Size = _UNKNOWN_SIZE
    default: bool = False
    still: bool = False
    complete: bool = True
    separate_alpha: bool = False

    def __str__(self) -> str:
        """Describe it for a user."""
        return f"{self.index} ({self.codec}, {self.size.width}x{self.size.height})"


def input_lines(log: Sequence[str]) -> list[str]:
    """Cut the description of the input out of ffmpeg's log, without that of the outputs which follows."""
    lines: list[str] = []
    for text in log:
        if text.startswith(("Stream mapping", "Output #")):
            break
        lines.append(text)
    return lines


def read_streams(log: Sequence[str]) -> list[Stream]:
    """Read the streams out of ffmpeg's description of its input."""
    streams: dict[int, Stream] = {}
    current = -1
    for line in input_lines(log):
        match = _STREAM.match(line)
        if match is None:
            if line.startswith("Stream #"):
                current = -1
            elif current in streams and _ALPHA_MODE.match(line):
                streams[current] = replace(streams[current], separate_alpha=True)
            continue
        rest, current = match["rest"], int(match["index"])
        size = _SIZE.search(rest)
        stream = Stream(
            index=current,
            kind=match["kind"],
            codec=match["codec"],
            size=Size(height=int(size[2]), width=int(size[1])) if size else _UNKNOWN_SIZE,
            default="(default)" in rest,
            complete=match["kind"] != "Audio" or (" Hz" in rest and ", 0 channels" not in rest),
            still=any(f"({flag})" in rest for flag in ("attached pic", "timed thumbnails", "still image")),
        )
        streams.setdefault(stream.index, stream)  # of several programs with one stream it is listed several times
    return list(streams.values())


def choose_video(source: FfmpegSource, streams: Sequence[Stream]) -> tuple[Stream, str]:
    """Choose the video stream, and say so where there was a choice ("" where there was none).

    The user's choice; else what players take: the default one, then the largest, then the one with most frames.

    Raises SourceError where the user's choice is not a video stream. `streams` has at least one video that is not a
    still.
    """
    videos = [stream for stream in streams if stream.kind == "Video"]
    if source.stream is not None:
        for stream in videos:
            if stream.index == source.stream:
                return stream, ""
        listed = ", ".join(map(str, videos))
        raise SourceError(f"{source.text} has no video stream {source.stream}. Allowed for `stream`: {listed}.")
    films = [stream for stream in videos if not stream.still and stream.codec not in ("none", "unknown")]
    films = films or [stream for stream in videos if not stream.still]
    if len(films) == 1:
        return films[0], ""

    def rank(stream: Stream) -> tuple[bool, int]:
        return stream.default, stream.size.height * stream.size.width

    best = max(map(rank, films))
    equal = [stream for stream in films if rank(stream) == best]
    if len(equal) > 1:
        frames = _count_packets(source, equal)
        equal.sort(key=lambda stream: -frames[stream.index])
    others = ", ".join(str(stream) for stream in films if stream is not equal[0])
    return equal[0], (
        f"{source.text} has several video streams; stream {equal[0]} is taken. Others, to choose with `stream`: "
        f"{others}."
    )


def choose_audio(streams: Sequence[Stream]) -> Stream:
    """Choose the sound stream that players take: the default one, else the first. `streams` has at least one."""
    sounds = [stream for stream in streams if stream.kind == "Audio"]
    return max(sounds, key=lambda stream: (stream.complete, stream.default))  # of equal ones the first


def input_duration(log: Sequence[str]) -> float | None:
    """Read the length in seconds out of ffmpeg's description of its input; None if it does not know."""
    match = next(filter(None, map(_DURATION.match, input_lines(log))), None)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None


def _count_packets(source: FfmpegSource, streams: Sequence[Stream]) -> Counter[int]:
    """Count the packets of each stream in the first minute."""
    maps = [part for stream in streams for part in ("-map", f"0:{stream.index}")]
    counts: Counter[int] = Counter()
    args = [*source.input_args(), *maps, "-c", "copy", "-t", str(_COMPARED_SECONDS), "-f", "framecrc", "pipe:1"]
    with Ffmpeg(args, stdout=True) as process:
        for line in process.stdout:
            number = line.partition(b",")[0]
            if number.isdigit():
                counts[streams[int(number)].index] += 1
    return counts
