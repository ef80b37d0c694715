"""What a source is, before and after it is decoded once: a look at its first frames, then a full scan."""

import functools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

from PIL import Image

from dreamvid.errors import SourceError
from dreamvid.image.io import read_image
from dreamvid.video.ffmpeg import REFUSED_FORMAT, Ffmpeg, capture_ffmpeg, level_and_text
from dreamvid.video.source import Source

_ENDLESS_FRAMES = 20_000
_ENDLESS_SECONDS = 20.0
# Demuxers that take any text or bytes for an image of a terminal.
_NO_VIDEO_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}

_STREAM = re.compile(
    r"^Stream #0:\d+(?:\[[^\]]*\])?(?:\([^)]*\))?: (?P<kind>Video|Audio|Subtitle): (?P<codec>\w+)(?P<rest>.*)$"
)
_CONFIG = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"\bn: *\d+ .*\bfmt:(\S+) .*\bsar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\S)")
_COLOR = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_DURATION = re.compile(r"^Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")

# ffmpeg's names of the YUV matrices -> the names that its scale filter takes.
_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")


@dataclass(frozen=True)
class VideoInfo:
    """What the first frames tell.

    `width`, `height`: stored samples of the upright image (rotation applied, pixel shape not).
    `sample_aspect`: width of a pixel over its height. `frame_rate`: the nominal one; the times of the frames
    are what `scan` measures, in units of `time_base` seconds. `bit_depth`: of one sample as stored.
    `matrix`: how YUV becomes RGB (`rgb` where it already is), guessed where untagged; `primaries` and
    `transfer` as tagged (`unknown` if not). `hdr`: PQ or HLG, whose code values are passed on untouched.
    `audio`, `subtitles`: the codec of each stream, by the name of ffmpeg's decoder.
    """

    width: int
    height: int
    sample_aspect: Fraction
    frame_rate: Fraction
    time_base: Fraction
    bit_depth: int
    pixel_format: str
    matrix: str
    primaries: str
    transfer: str
    full_range: bool
    interlaced: bool
    hdr: bool
    audio: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    duration_seconds: float | None = None


@dataclass(frozen=True)
class Scan:
    """What a decode from the first frame to the last found.

    `pts`: when each frame is shown, in the info's `time_base`, counted from the container's start,
    strictly increasing. `constant_rate`: all of them lie on a grid of `frame_rate`, up to the rounding of
    the time base; where they do not, `frame_rate` is their mean. `damage`: sentences for the user, empty for
    a sound file. `complete`: it ran to the source's end.
    """

    pts: tuple[int, ...]
    constant_rate: bool
    frame_rate: Fraction
    damage: tuple[str, ...] = ()
    complete: bool = True

    @property
    def count(self) -> int:
        """How many frames were decoded."""
        return len(self.pts)


@functools.cache
def _bit_depths() -> dict[str, int]:
    """Bits of a sample for every pixel format that this ffmpeg knows."""
    depths: dict[str, int] = {}
    for line in capture_ffmpeg(["-pix_fmts"]).splitlines():
        fields = line.split()
        if len(fields) == 5 and re.fullmatch(r"[\d-]+", fields[4]):
            depths[fields[1]] = max(int(part) for part in fields[4].split("-"))
    return depths


def probe(source: Source) -> VideoInfo:
    """Look at the source's first frames.

    Raises:
        SourceError: not a video, only sound, incomplete, or nothing of it can be decoded.
    """
    if source.kind == "images":
        height, width = read_image(source.paths[0]).shape[:2]
        rate = source.images_rate
        return VideoInfo(
            width=width,
            height=height,
            sample_aspect=Fraction(1),
            frame_rate=rate,
            time_base=1 / rate,
            bit_depth=8,
            pixel_format="rgb24",
            matrix="rgb",
            primaries="unknown",
            transfer="unknown",
            full_range=True,
            interlaced=False,
            hdr=False,
            duration_seconds=float(len(source.paths) / rate),
        )
    # Progressive images often open an interlaced film, so look at a few.
    look = [*source.input_args(), "-map", "0:V:0", "-vf", "showinfo=checksum=0", "-frames:v", "4"]
    with Ffmpeg([*look, "-f", "null", "-"], level="info") as process:
        code = process.wait()
        log = [level_and_text(line) for line in process.log]
        words = process.first_errors
    texts = [text for level, text in log if level == "info"]
    _refuse_non_video(source, texts, words)
    found = _parse(texts)
    if found is None:
        raise SourceError(
            f"no frame of {source.text} could be decoded: {' / '.join(words[:2]) or f'exit status {code}'}"
        )
    return found


def probe_sound(source: Source) -> VideoInfo:
    """Describe a file of which only the first sound stream is wanted. Raises SourceError where there is none."""
    with Ffmpeg([*source.input_args(), "-t", "0", "-map", "0:a:0", "-f", "null", "-"], level="info") as process:
        process.wait()
        texts = [level_and_text(line)[1] for line in process.log]
    streams = [match for match in map(_STREAM.match, _input_lines(texts)) if match and match["kind"] == "Audio"]
    if not streams:
        raise SourceError(f"{source.text} has no sound.")
    return VideoInfo(
        width=0,
        height=0,
        sample_aspect=Fraction(1),
        frame_rate=Fraction(1),
        time_base=Fraction(1),
        bit_depth=8,
        pixel_format="",
        matrix="",
        primaries="",
        transfer="",
        full_range=False,
        interlaced=False,
        hdr=False,
        audio=(streams[0]["codec"],),
    )


def _input_lines(texts: Sequence[str]) -> list[str]:
    """The description of the input, without that of the outputs that follows."""
    lines: list[str] = []
    for text in texts:
        if text.startswith(("Stream mapping", "Output #")):
            break
        lines.append(text)
    return lines


def _refuse_non_video(source: Source, texts: Sequence[str], words: Sequence[str]) -> None:
    said = " / ".join(words[:2]) or "it said nothing"
    header = next((text for text in texts if text.startswith("Input #0, ")), None)
    if source.kind == "lavfi":
        if header is None:
            raise SourceError(f"ffmpeg does not accept the filter graph {source.text!r}: {said}")
        return
    path = source.paths[0]
    if header is None:
        if any(REFUSED_FORMAT in word for word in words):
            raise SourceError(
                f"{path} is a playlist or a script: it opens other files or addresses, which is not done. "
                "Give the video itself."
            )
        with path.open("rb") as file:
            head = file.read(4096)
        if _is_text(head):
            raise SourceError(f"not a video: {path} is a text file, whatever its name says")
        if head[4:8] == b"ftyp" and any("moov atom not found" in word for word in words):
            raise SourceError(
                f"the video {path} is incomplete: its index (the moov atom) is missing, as after a "
                "recording or download that was cut off. Fetch it again, or repair it with another tool."
            )
        raise SourceError(f"not a video that ffmpeg can read: {path} ({said})")
    format_name = header.removeprefix("Input #0, ").split(",")[0]
    streams = [match for match in map(_STREAM.match, _input_lines(texts)) if match]
    films = [match for match in streams if match["kind"] == "Video" and "(attached pic)" not in match["rest"]]
    if format_name in _NO_VIDEO_FORMATS:
        raise SourceError(f"not a video: {path} holds text or plain bytes")
    if not films:
        kinds = sorted({match["kind"].lower() for match in streams})
        cover = " (its cover image is not a film)" if any(match["kind"] == "Video" for match in streams) else ""
        raise SourceError(
            f"{path} has no video stream: {' and '.join(kinds) or 'no streams'} only{cover}. Give a file with video."
        )


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # anything but a character cut in two at the end
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


def _parse(texts: Sequence[str]) -> VideoInfo | None:
    config = next(filter(None, map(_CONFIG.search, texts)), None)
    frames = [match for match in map(_FRAME.search, texts) if match]
    color = next(filter(None, map(_COLOR.search, texts)), None)
    if config is None or not frames or color is None:
        return None
    lines = _input_lines(texts)
    first = frames[0]
    pixel_format, width, height = first[1], int(first[4]), int(first[5])
    full, space, primaries, transfer = color.groups()
    is_rgb = space == "gbr" or pixel_format.startswith(
        ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "mono", "x2rgb", "x2bgr", "bayer")
    )
    if is_rgb:
        matrix = "rgb"
    elif space in _MATRICES:
        matrix = _MATRICES[space]
    elif primaries == "bt2020":
        matrix = "bt2020"
    else:
        # Untagged: HD is BT.709, also where it is cropped to a wide image; what is smaller is BT.601.
        matrix = "bt709" if min(width, height) >= 720 or max(width, height) >= 1280 else "bt601"
    rate_numerator, rate_denominator = int(config[3]), int(config[4])
    durations = [match for match in map(_DURATION.match, lines) if match]
    streams = [match for match in map(_STREAM.match, lines) if match]

    def listed(kind: str) -> tuple[str, ...]:
        return tuple(match["codec"] for match in streams if match["kind"] == kind)

    return VideoInfo(
        width=width,
        height=height,
        sample_aspect=Fraction(int(first[2]) or 1, int(first[3]) or 1) if int(first[2]) else Fraction(1),
        frame_rate=(
            Fraction(rate_numerator, rate_denominator) if rate_numerator and rate_denominator else Fraction(25)
        ),
        time_base=Fraction(int(config[1]), int(config[2])),
        bit_depth=_bit_depths().get(pixel_format, 8),
        pixel_format=pixel_format,
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        full_range=is_rgb or full == "pc" or pixel_format.startswith("yuvj"),
        interlaced=any(match[6] in "TB" for match in frames),
        hdr=transfer in _HDR_TRANSFERS,
        audio=listed("Audio"),
        subtitles=listed("Subtitle"),
        duration_seconds=(
            int(durations[0][1]) * 3600 + int(durations[0][2]) * 60 + float(durations[0][3]) if durations else None
        ),
    )


def timing_args(statistics: str, unit: Literal["demux", "filter"] = "demux") -> list[str]:
    """Output options that keep every frame's own time and write it, frame by frame, to `statistics`.

    `unit`: whether times are counted in the container's time base or in that of the last filter.
    """
    return [
        *("-fps_mode", "passthrough", "-enc_time_base", unit),
        *("-stats_enc_pre", statistics, "-stats_enc_pre_fmt", "{pts} {tb}"),
    ]


def clock_args(source: Source) -> list[str]:
    """A second, discarded output with the sound: times then count from the container's start.

    Without it MPEG-TS and MPEG-PS lose the offset between image and sound. A graph starts at 0 anyway,
    and its sound may have no end; a file that is only heard has no image to keep in step with.
    """
    return [] if source.kind in ("lavfi", "sound") else ["-map", "0:a?", "-c", "copy", "-f", "null", "-"]


class Clock:
    """Turns lines of the statistics file into strictly increasing times in units of `time_base`."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._last: int | None = None

    def read(self, line: str) -> int:
        """The time of the next frame."""
        ticks, base = line.split()
        pts = round(int(ticks) * Fraction(base) / self._time_base)
        if self._last is not None and pts <= self._last:
            pts = self._last + 1  # broken streams repeat times; no encoder takes that
        self._last = pts
        return pts


def scan(
    source: Source,
    info: VideoInfo,
    stop: int | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Scan:
    """Decode the source once, keep no image: exact count and times of the frames, and any damage.

    Args:
        source, info: what to decode, and what `probe` said of it.
        stop: look at this many frames at most (then `complete` is False unless the source ended there).
        on_frame: called with the number of frames so far, for a progress display.

    Raises:
        SourceError: no frame can be decoded, or a graph shows no end and no `stop` is given.
        FfmpegError: ffmpeg itself failed.
    """
    if source.kind == "images":
        return _scan_images(source, stop, on_frame)
    pts: list[int] = []
    clock = Clock(info.time_base)
    began = time.monotonic()
    complete = True
    args = [
        *source.input_args(),
        "-map",
        "0:V:0",
        *timing_args("pipe:1"),
        "-f",
        "null",
        "-",
        *clock_args(source),
    ]
    if stop is not None and stop <= 0:
        raise SourceError(f"an empty range of frames was asked for: 0:{stop}")
    with Ffmpeg(args, stdout=True) as process:
        for raw in process.stdout:
            if stop is not None and len(pts) == stop:
                complete = False
                break
            pts.append(clock.read(raw.decode("ascii")))
            if on_frame is not None:
                on_frame(len(pts))
            if (
                source.kind == "lavfi"
                and stop is None
                and (len(pts) >= _ENDLESS_FRAMES or time.monotonic() - began > _ENDLESS_SECONDS)
            ):
                raise SourceError(
                    f"{source.text!r} shows no end after {len(pts)} frames. Say how many to take, for "
                    "example `frames=0:300`, or give the graph a duration (d=10)."
                )
        if complete and process.wait() != 0 and not pts:
            raise SourceError(f"no frame of {source.text} could be decoded: {process.failure('decoding')}")
        errors, words = process.error_count, process.first_errors
    if not pts:
        raise SourceError(f"no frame of {source.text} could be decoded: {' / '.join(words[:2]) or 'it is empty'}")
    rate = constant_rate_of(pts, info)
    damage: list[str] = []
    if errors and complete:
        expected = round(info.duration_seconds * info.frame_rate) if info.duration_seconds else 0
        steps = sorted(second - first for first, second in pairwise(pts))
        # Where frames are lost the rate only looks variable; the common step still tells it.
        regular = not steps or abs(steps[len(steps) // 2] * info.time_base * info.frame_rate - 1) < 0.1
        if regular and len(pts) < expected - 1:
            damage.append(f"{len(pts)} of {expected} frames could be decoded")
        said = f"; the first: {words[0]}" if words else ""
        damage.append(f"ffmpeg met {errors} error{'s' if errors > 1 else ''} in {source.text}{said}")
    return Scan(tuple(pts), rate is not None, rate or _mean_rate(pts, info), tuple(damage), complete)


def constant_rate_of(pts: Sequence[int], info: VideoInfo) -> Fraction | None:
    """The rate on whose grid all frames lie, up to the rounding of the times; None: variable."""
    if len(pts) < 2:
        return info.frame_rate
    mean = _mean_rate(pts, info)
    # Where times are rounded (to milliseconds in Matroska) several rates fit; the usual ones are meant.
    usual = [Fraction(round(mean * 1001 / 1000) * 1000, 1001), Fraction(round(mean))]
    told = info.frame_rate
    rates = [told, *usual, mean] if told.denominator in (1, 1001) else [*usual, told, mean]
    for rate in filter(None, dict.fromkeys(rates)):
        step = 1 / (rate * info.time_base)
        if all(abs(value - pts[0] - index * step) <= 1 for index, value in enumerate(pts)):
            return rate
    return None


def _mean_rate(pts: Sequence[int], info: VideoInfo) -> Fraction:
    span = (pts[-1] - pts[0]) * info.time_base
    return Fraction((len(pts) - 1) / span).limit_denominator(1001) or info.frame_rate


def _scan_images(source: Source, stop: int | None, on_frame: Callable[[int], None] | None) -> Scan:
    if stop is not None and stop <= 0:
        raise SourceError(f"an empty range of frames was asked for: 0:{stop}")
    paths = source.paths[:stop]
    for index, path in enumerate(paths):
        _check_image(path)
        if on_frame is not None:
            on_frame(index + 1)
    return Scan(tuple(range(len(paths))), True, source.images_rate, complete=len(paths) == len(source.paths))


def _check_image(path: Path) -> None:
    """Refuse what is no image; only the header is read, as thousands may follow."""
    try:
        with Image.open(path):
            pass
    except OSError as error:
        raise SourceError(f"cannot read the image {path}: {error}") from error
