"""Describe a source: by a look at its first frames (`probe`), and by a decode of all of them (`scan`)."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dreamvid.errors import SourceError
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import REFUSED_FORMAT, Ffmpeg, level_and_text, require_feature
from dreamvid.video.probing.pixel_formats import bit_depths, has_alpha
from dreamvid.video.probing.streams import Stream, choose_audio, choose_video, input_duration, input_lines, read_streams
from dreamvid.video.probing.timestamps import describe_damage, mend, timing_args
from dreamvid.video.source import FfmpegSource, FrameSource, Source

_ENDLESS_FRAMES = 20_000
_ENDLESS_SECONDS = 20.0
# Demuxers that take any text or bytes for an image of a terminal.
_NO_VIDEO_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}

_CONFIG = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"\bn: *\d+ .*\bfmt:(\S+) .*\bsar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\S)")
_STAMP = re.compile(r"\bn: *(\d+) pts: *(\S+)")
_MOST_LOST = 100  # lines of the log in a row that other messages may have broken up
_COLOR = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_ANIMATED_AVIF = re.compile(r"^major_brand +: avis$")  # with a still and a video; twice that if it is transparent
_ROTATION = re.compile(r"^Display Matrix: rotation of (-?\d+(?:\.\d+)?) degrees")

# ffmpeg's names of the YUV matrices -> the names that its scale filter takes.
_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
# Those that only the filter zscale converts, by its names.
ZSCALE_MATRICES = {"ycgco": "ycgco", "ictcp": "ictcp", "chroma-derived-nc": "chroma-derived-nc"}
# ffmpeg's own decoders of these codecs leave the transparency out, which is stored as a second image.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Formats whose frames carry no duration: there a single frame that is seconds away from all others is damage.
_WITHOUT_DURATIONS = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v")
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")


@dataclass(frozen=True)
class VideoInfo:
    """Describe a video as its first frames show it.

    `width`, `height`: stored samples of the upright image (rotation applied, pixel shape not).
    `sample_aspect`: width of a pixel over its height. `frame_rate`: the nominal one; the times of the frames
    are what `scan` measures, in units of `time_base` seconds. `bit_depth`: of one sample as stored.
    `matrix`: how YUV becomes RGB (`rgb` where it already is), guessed where untagged; `primaries` and
    `transfer` as tagged (`unknown` if not). `hdr`: PQ or HLG, whose code values are passed on untouched.
    `audio`, `subtitles`: the codec of each stream, by the name of ffmpeg's decoder; "" for one that is not wanted.
    `stream`: ffmpeg's number of the video stream. `decoder`: the decoder that reads its transparency, where ffmpeg's
    own does not; "" otherwise. `format_name`: ffmpeg's name of the container. `rotated`: the stored images are turned.
    `notes`: sentences for the user, such as which of several streams was taken. `playable_audio`:
    ffmpeg's numbers of the sound streams whose format is known; some are announced and never come.
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
    stream: int = 0
    format_name: str = ""
    rotated: bool = False
    notes: tuple[str, ...] = ()
    playable_audio: tuple[int, ...] = ()
    decoder: str = ""

    @property
    def size(self) -> Size:
        """Its height and width in pixels."""
        return Size(self.height, self.width)

    @property
    def decoder_args(self) -> list[str]:
        """ffmpeg's options of the input that choose the decoder of the video stream."""
        return [f"-c:{self.stream}", self.decoder] if self.decoder else []


@dataclass(frozen=True)
class Irregularities:
    """Describe where a video is not alike from its first frame to its last, for its readers.

    `corrections`: pairs of a frame's number and what is added to its decoded time stamp, in ticks. `interlaced`: some
    frames are. `varies`: size or pixel format change on the way. `colors_vary`: color matrix or range do.
    `transparent`: pixels of some frames may be transparent.
    """

    corrections: tuple[tuple[int, int], ...] = ()
    interlaced: bool = False
    varies: bool = False
    colors_vary: bool = False
    transparent: bool = False


ALIKE = Irregularities()


@dataclass(frozen=True)
class Scan:
    """Describe what a decode from the first frame to the last found.

    `pts`: when each frame is shown, in the info's `time_base`, counted from the container's start,
    strictly increasing. `constant_rate`: all of them lie on a grid of `frame_rate`, up to the rounding of
    the time base; where they do not, `frame_rate` is their mean. `damage`: sentences for the user, empty for
    a sound file. `complete`: it ran to the source's end. `notes`: sentences about what is not damage.
    """

    pts: tuple[int, ...]
    constant_rate: bool
    frame_rate: Fraction
    damage: tuple[str, ...] = ()
    complete: bool = True
    irregularities: Irregularities = ALIKE
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Count the frames that were decoded."""
        return len(self.pts)


def probe(source: Source) -> VideoInfo:
    """Look at the source's first frames.

    Raises:
        SourceError: not a video, only sound, incomplete, of colors that cannot be converted, or nothing of it can be
            decoded.
    """
    if isinstance(source, FrameSource):
        return _probe_frames(source)
    assert isinstance(source, FfmpegSource)
    texts, errors, code = _look(source, "0:V:0")
    header = _refuse_non_video(source, texts, errors)
    chosen, note = choose_video(source, read_streams(texts))
    videos = [stream for stream in read_streams(texts) if stream.kind == "Video"]
    if any(map(_ANIMATED_AVIF.match, texts)) and len(videos) > 2:
        raise SourceError(
            f"{source.text} is a transparent animated AVIF image: its transparency is a second video, which is not "
            "read here. Save it as an animated WebP or PNG first."
        )
    decoder = _ALPHA_DECODERS.get(chosen.codec, "") if chosen.separate_alpha else ""
    if decoder:
        require_feature("decoder", decoder, f"{source.text}, a transparent video,")
    if chosen is not videos[0] or decoder:
        texts, errors, code = _look(source, f"0:{chosen.index}", [f"-c:{chosen.index}", decoder] if decoder else [])
    found = _parse(texts, chosen, header, [note] if note else [], decoder)
    if found is None:
        reason = " / ".join(errors[:2]) or (f"exit status {code}" if code else "ffmpeg found none")
        raise SourceError(f"no frame of {source.text} could be decoded: {reason}")
    if found.matrix in ZSCALE_MATRICES:
        require_feature("filter", "zscale", f"{source.text} in the color space {found.matrix}")
    elif found.matrix not in ("rgb", *_MATRICES.values()):
        raise SourceError(
            f"{source.text} is stored in the color space {found.matrix}, which is not converted here. "
            "Convert it to BT.709 or BT.2020 (non-constant luminance) with another program first."
        )
    return found


def _look(source: FfmpegSource, stream: str, decoder: Sequence[str] = ()) -> tuple[list[str], list[str], int]:
    """Decode a few frames: the log without its levels, the first errors, the exit status."""
    # Progressive images often open an interlaced video, so look at a few.
    args = [*("-max_error_rate", "1"), *decoder, *source.input_args(), "-map", stream, "-vf", "showinfo=checksum=0"]
    with Ffmpeg([*args, "-frames:v", "4", "-f", "null", "-"], level="info") as process:
        code = process.wait()
        # Lines without a level go on with the one before.
        texts = [text for level, text in map(level_and_text, process.log) if level in ("info", "")]
        return texts, process.first_errors, code


def _probe_frames(source: FrameSource) -> VideoInfo:
    height, width = source.frame(0).shape[:2]
    return VideoInfo(
        width=width,
        height=height,
        sample_aspect=Fraction(1),
        frame_rate=source.frame_rate,
        time_base=1 / source.frame_rate,
        bit_depth=source.bit_depth,
        pixel_format="rgb24" if source.bit_depth <= 8 else "rgb48le",
        matrix="rgb",
        primaries="unknown",
        transfer="unknown",
        full_range=True,
        interlaced=False,
        hdr=False,
        duration_seconds=float(source.count / source.frame_rate),
    )


def probe_sound(source: FfmpegSource) -> VideoInfo:
    """Describe a file of which only the sound stream that players take is wanted.

    Raises SourceError where there is none.
    """
    with Ffmpeg([*source.input_args(), "-t", "0", "-f", "null", "-"], level="info") as process:
        process.wait()
        texts = [level_and_text(line)[1] for line in process.log]
    sounds = [stream for stream in read_streams(texts) if stream.kind == "Audio"]
    if not sounds:
        raise SourceError(f"{source.text} has no sound.")
    chosen = choose_audio(sounds)
    return VideoInfo(
        width=0,
        height=0,
        sample_aspect=Fraction(1),
        frame_rate=Fraction(1),
        time_base=Fraction(1),
        bit_depth=0,
        pixel_format="",
        matrix="",
        primaries="",
        transfer="",
        full_range=False,
        interlaced=False,
        hdr=False,
        audio=tuple(stream.codec if stream is chosen else "" for stream in sounds),
    )


def _refuse_non_video(source: FfmpegSource, texts: Sequence[str], errors: Sequence[str]) -> str:
    """Return ffmpeg's name of the format; raise SourceError for what has no video."""
    reason = " / ".join(errors[:2]) or "it printed nothing"
    header = next((text for text in texts if text.startswith("Input #0, ")), None)
    if not source.paths:
        if header is None:
            raise SourceError(f"ffmpeg does not accept the filter graph {source.text!r}: {reason}")
        return "lavfi"
    path = source.paths[0]
    if header is None:
        if any(REFUSED_FORMAT in error for error in errors):
            raise SourceError(
                f"{path} is a playlist or a script: it opens other files or addresses, which is not done. "
                "Give the video itself."
            )
        with path.open("rb") as file:
            head = file.read(4096)
        if _is_text(head):
            raise SourceError(f"not a video: {path} is a text file, whatever its name says")
        if head[4:8] == b"ftyp" and any("moov atom not found" in error for error in errors):
            raise SourceError(
                f"the video {path} is incomplete: its index (the moov atom) is missing, as after a "
                "recording or download that was cut off. Fetch it again, or repair it with another tool."
            )
        raise SourceError(f"not a video that ffmpeg can read: {path} ({reason})")
    format_name = header.removeprefix("Input #0, ").split(",")[0]
    streams = read_streams(texts)
    if format_name in _NO_VIDEO_FORMATS:
        raise SourceError(f"not a video: {path} holds text or plain bytes")
    if not any(stream.kind == "Video" and not stream.still for stream in streams):
        kinds = sorted({stream.kind.lower() for stream in streams})
        cover = " (its cover image is not a video)" if any(stream.kind == "Video" for stream in streams) else ""
        raise SourceError(
            f"{path} has no video stream: {' and '.join(kinds) or 'no streams'} only{cover}. Give a file with video."
        )
    return format_name


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # anything but a character cut in two at the end
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


def _parse(
    texts: Sequence[str], chosen: Stream, format_name: str, notes: Sequence[str], decoder: str
) -> VideoInfo | None:
    config = next(filter(None, map(_CONFIG.search, texts)), None)
    frames = [match for match in map(_FRAME.search, texts) if match]
    color = next(filter(None, map(_COLOR.search, texts)), None)
    if config is None or not frames or color is None:
        return None
    lines = input_lines(texts)
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
    elif space not in ("unknown", "unspecified", "reserved"):
        matrix = space
    elif primaries == "bt2020":
        matrix = "bt2020"
    else:
        # Untagged: HD is BT.709, also where it is cropped to a wide image; what is smaller is BT.601.
        matrix = "bt709" if min(width, height) >= 720 or max(width, height) >= 1280 else "bt601"
    rate_numerator, rate_denominator = int(config[3]), int(config[4])
    streams = read_streams(texts)
    turn = _rotation(lines, chosen)
    if turn % 90:
        notes = [*notes, f"the video is turned by {turn:g} degrees, which no frame fits: its corners are cut off"]

    def listed(kind: str) -> tuple[str, ...]:
        return tuple(stream.codec for stream in streams if stream.kind == kind)

    return VideoInfo(
        width=width,
        height=height,
        sample_aspect=Fraction(int(first[2]) or 1, int(first[3]) or 1) if int(first[2]) else Fraction(1),
        frame_rate=(
            Fraction(rate_numerator, rate_denominator) if rate_numerator and rate_denominator else Fraction(25)
        ),
        time_base=Fraction(int(config[1]), int(config[2])),
        bit_depth=bit_depths().get(pixel_format, 8),
        pixel_format=pixel_format,
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        full_range=is_rgb or full == "pc" or pixel_format.startswith("yuvj"),
        interlaced=any(match[6] in "TB" for match in frames),
        hdr=transfer in _HDR_TRANSFERS,
        audio=listed("Audio"),
        subtitles=listed("Subtitle"),
        duration_seconds=input_duration(lines),
        stream=chosen.index,
        format_name=format_name,
        rotated=turn != 0,
        notes=tuple(notes),
        playable_audio=tuple(stream.index for stream in streams if stream.kind == "Audio" and stream.complete),
        decoder=decoder,
    )


def _rotation(lines: Sequence[str], chosen: Stream) -> float:
    """Find the angle by which the chosen stream is shown turned, in degrees."""
    current = -1
    for line in lines:
        if line.startswith("Stream #0:"):
            match = re.match(r"Stream #0:(\d+)", line)
            current = int(match[1]) if match else -1
        turned = _ROTATION.match(line)
        if turned and current == chosen.index:
            return float(turned[1])
    return 0.0


def clock_args(source: Source, info: VideoInfo) -> list[str]:
    """List the options of a second, discarded output with the sound: times then count from the container's start.

    Without it MPEG-TS and MPEG-PS lose the offset between image and sound. A graph starts at 0 anyway,
    and its sound may have no end; a file that is only heard has no image to keep in step with.
    """
    has_clock = isinstance(source, FfmpegSource) and source.has_clock
    if not has_clock or not info.playable_audio:
        return []
    maps = [part for index in info.playable_audio for part in ("-map", f"0:{index}")]
    return [*maps, "-c", "copy", "-f", "null", "-"]


def frames_to_scan(source: Source, info: VideoInfo, stop: int | None, fps: Fraction | None) -> int | None:
    """Say how many frames to scan for the damage and the rate of those before `stop`; None: all.

    stop: number of frames after the change to `fps`. After a change of rate `stop` counts other frames; a file has an
    end, and the nominal rate of a graph is its true one.
    """
    if stop is None or fps is None:
        return stop
    endless = isinstance(source, FfmpegSource) and source.endless
    return int(stop / fps * info.frame_rate) + 2 if endless else None


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
    if stop is not None and stop <= 0:
        raise SourceError(f"an empty range of frames was asked for: 0:{stop}")
    if isinstance(source, FrameSource):
        return _scan_frames(source, stop, on_frame)
    assert isinstance(source, FfmpegSource)
    count, began, complete = 0, time.monotonic(), True
    log = FrameLog()
    args = [
        *("-max_error_rate", "1"),
        *info.decoder_args,
        *source.input_args(),
        *("-map", f"0:{info.stream}", "-vf", log.FILTER),
        *timing_args("pipe:1"),
        *("-f", "null", "-"),
        *clock_args(source, info),
    ]
    with Ffmpeg(args, stdout=True, level="info", on_line=log.read) as process:
        for _ in process.stdout:  # a line for each frame
            if count == stop:
                complete = False
                break
            count += 1
            if on_frame is not None:
                on_frame(count)
            if stop is None:
                refuse_endless(source, count, began)
        if complete and process.wait() != 0 and not count:
            raise SourceError(f"no frame of {source.text} could be decoded: {process.failure('decoding')}")
    log.extend(count)
    return scan_of_log(source, info, log, process, stop=None if complete else stop)


def refuse_endless(source: Source, count: int, began: float) -> None:
    """Raise SourceError for a source that may have no end and shows none after many frames or a long time.

    count: how many frames were decoded, since the moment `began` of `time.monotonic`.
    """
    endless = isinstance(source, FfmpegSource) and source.endless
    if endless and (count >= _ENDLESS_FRAMES or time.monotonic() - began > _ENDLESS_SECONDS):
        raise SourceError(
            f"{source.text!r} shows no end after {count} frames. Say how many to take, for "
            "example `frames=0:300`, or give the graph a duration (d=10)."
        )


def scan_of_log(source: Source, info: VideoInfo, log: "FrameLog", process: Ffmpeg, *, stop: int | None = None) -> Scan:
    """Work out what a decode has found from its log.

    process: the ffmpeg that has ended, or was stopped. stop: look at so many frames, as it was stopped after them; None
    if it ran to the source's end. Raises SourceError: no frame could be decoded, or it changes in a way that cannot be
    read.
    """
    errors, first_errors, complete = process.error_count, process.first_errors, stop is None
    stamps = log.stamps[:stop]
    if not stamps:
        reason = " / ".join(first_errors[:2]) or "it is empty"
        raise SourceError(f"no frame of {source.text} could be decoded: {reason}")
    changes = log.changes(len(stamps))
    mended = mend(stamps, info.time_base, strays=info.format_name in _WITHOUT_DURATIONS)
    pts = mended.pts
    rate = constant_rate_of(pts, info)
    damage = [describe_damage(stamps, mended, info.time_base)] if mended.damaged else []
    if errors and complete:
        damage += _describe_errors(source, info, pts, errors, first_errors)
    notes: list[str] = []
    if changes.varies:
        if info.rotated:
            raise SourceError(
                f"{source.text} is stored turned, and its images change their size or format on the way: that is not "
                "read here. Convert it with another program first."
            )
        if len(changes.sizes) > 1:
            sizes = ", ".join(f"{size.width}x{size.height}" for size in changes.sizes)
            notes.append(f"the images change their size ({sizes}); all are brought to {info.width}x{info.height}")
    return Scan(
        pts,
        rate is not None,
        rate or _mean_rate(pts, info),
        tuple(damage),
        complete,
        Irregularities(
            tuple((index, pts[index] - (stamps[index] or 0)) for index in mended.damaged),
            interlaced=changes.interlaced,
            varies=changes.varies,
            colors_vary=len(changes.colors) > 1,
            transparent=any(map(has_alpha, changes.formats)),
        ),
        tuple(notes),
    )


@dataclass(frozen=True)
class _Changes:
    """What frames of one video differ in: sizes (in the order of their appearance), formats, color spaces, fields."""

    sizes: tuple[Size, ...]
    formats: frozenset[str]
    colors: frozenset[tuple[str, str]]
    interlaced: bool

    @property
    def varies(self) -> bool:
        """Whether size or pixel format change."""
        return len(self.sizes) > 1 or len(self.formats) > 1


class FrameLog:
    """Reads, from the log of a running ffmpeg, what its filter `showinfo` tells of every frame that it decodes.

    FILTER: is to be the first of the filters. `stamps`: the time stamp of each frame in ticks of the source's time
    base; None where it has none.
    """

    FILTER = "showinfo=checksum=0"

    def __init__(self) -> None:
        self.stamps: list[int | None] = []
        self._last = -1  # the filter's own number of the frame, which starts again where the size changes
        # Each with the number of the first frame that has it.
        self._forms: dict[tuple[str, int, int, bool], int] = {}
        self._colors: dict[tuple[str, str], int] = {}

    def read(self, level: str, text: str) -> None:
        """Read a line of the log; called in the thread that drains it.

        A frame may stand at the end of another message, which a decoder's thread had not finished yet.
        """
        if (frame := _FRAME.search(text)) and (stamp := _STAMP.search(text)):
            number = int(stamp[1])
            lost = number - self._last - 1 if number > self._last else number
            if lost <= _MOST_LOST:
                self.stamps += [None] * lost
            self._last = number
            form = (frame[1], int(frame[4]), int(frame[5]), frame[6] in "TB")
            self._forms.setdefault(form, len(self.stamps))
            self.stamps.append(int(stamp[2]) if stamp[2].lstrip("-").isdecimal() else None)
        elif level == "info" and (color := _COLOR.search(text)):
            self._colors.setdefault((color[1], color[2]), len(self.stamps) - 1)

    def extend(self, count: int) -> None:
        """Add frames without a time stamp up to `count`: so many have come, and other messages broke up their lines."""
        self.stamps += [None] * (count - len(self.stamps))

    def changes(self, count: int) -> _Changes:
        """Tell what differs among the first `count` frames."""
        forms = [form for form, first in self._forms.items() if first < count]
        return _Changes(
            tuple(dict.fromkeys(Size(height, width) for _, width, height, _ in forms)),
            frozenset(name for name, *_ in forms),
            frozenset(color for color, first in self._colors.items() if first < count),
            any(interlaced for *_, interlaced in forms),
        )


def _describe_errors(
    source: Source, info: VideoInfo, pts: Sequence[int], errors: int, first_errors: Sequence[str]
) -> list[str]:
    damage = []
    expected = round(info.duration_seconds * info.frame_rate) if info.duration_seconds else 0
    steps = sorted(second - first for first, second in pairwise(pts))
    # Where frames are lost the rate only looks variable; the common step still tells it.
    regular = not steps or abs(steps[len(steps) // 2] * info.time_base * info.frame_rate - 1) < 0.1
    if regular and len(pts) < expected - 1:
        damage.append(f"{len(pts)} of {expected} frames could be decoded")
    first = f"; the first: {first_errors[0]}" if first_errors else ""
    damage.append(f"ffmpeg met {errors} error{'s' if errors > 1 else ''} in {source.text}{first}")
    return damage


# Times are rounded to whole ticks, but a coarse tick (a whole frame in AVI) must not hide a frame that was dropped.
_ROUNDING_SECONDS = Fraction(2, 1000)


def constant_rate_of(pts: Sequence[int], info: VideoInfo) -> Fraction | None:
    """Find the rate on whose grid all frames lie, up to the rounding of the times; None: variable."""
    if len(pts) < 2:
        return info.frame_rate
    mean = _mean_rate(pts, info)
    # Where times are rounded (to milliseconds in Matroska) several rates fit; the usual ones are meant.
    usual = [Fraction(round(mean * 1001 / 1000) * 1000, 1001), Fraction(round(mean))]
    nominal = info.frame_rate
    rates = [nominal, *usual, mean] if nominal.denominator in (1, 1001) else [*usual, nominal, mean]
    tolerance = min(Fraction(1), _ROUNDING_SECONDS / info.time_base)
    for rate in filter(None, dict.fromkeys(rates)):
        step = 1 / (rate * info.time_base)
        if all(abs(value - pts[0] - index * step) <= tolerance for index, value in enumerate(pts)):
            return rate
    return None


def _mean_rate(pts: Sequence[int], info: VideoInfo) -> Fraction:
    span = (pts[-1] - pts[0]) * info.time_base
    return Fraction((len(pts) - 1) / span).limit_denominator(1001) or info.frame_rate


def _scan_frames(source: FrameSource, stop: int | None, on_frame: Callable[[int], None] | None) -> Scan:
    count = source.count if stop is None else min(source.count, stop)
    for index in range(count):
        source.check(index)
        if on_frame is not None:
            on_frame(index + 1)
    return Scan(tuple(range(count)), True, source.frame_rate, complete=count == source.count)
