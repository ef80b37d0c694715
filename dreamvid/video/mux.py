"""Segments into the result: images and sound copied, times exact, and no half result under its name."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.runtime.files import part_path, replace_atomically, sync_folder
from dreamvid.video.encode import StreamSpec
from dreamvid.video.ffmpeg import PROTOCOL_WHITELIST, DiskFullError, Ffmpeg
from dreamvid.video.formats import OutputFormat
from dreamvid.video.probe import Scan, VideoInfo, clock_args
from dreamvid.video.source import Source

_GIF_MAX_RATE = 50  # hundredths of a second are a GIF's unit, and players slow down what is shown for one only

_TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}


@dataclass(frozen=True)
class _Container:
    """Which sound and subtitles a container takes as they are, and what the others become."""

    audio: frozenset[str] | None  # None: all
    audio_encoder: tuple[str, ...]
    subtitle: frozenset[str] | None  # None: all but those of mp4
    subtitle_encoder: str


_CONTAINERS = {
    "mp4": _Container(
        # MP2 is taken too, but moves by tens of milliseconds in there.
        frozenset({"aac", "mp3", "ac3", "eac3", "flac", "alac", "opus"}),
        ("aac", "-b:a", "256k"),
        frozenset({"mov_text"}),
        "mov_text",
    ),
    "mov": _Container(
        frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"}),
        ("pcm_s24le",),
        frozenset({"mov_text"}),
        "mov_text",
    ),
    "webm": _Container(frozenset({"opus", "vorbis"}), ("libopus", "-b:a", "160k"), frozenset({"webvtt"}), "webvtt"),
    "matroska": _Container(None, ("flac",), None, "srt"),
}


@dataclass(frozen=True)
class _Track:
    """One sound or subtitle stream of the source and what becomes of it (`codec` None: left out)."""

    letter: str
    index: int
    codec: tuple[str, ...] | None


def join_segments(
    segments: Sequence[Path],
    output: str | Path,
    fmt: OutputFormat,
    *,
    spec: StreamSpec,
    pts: Sequence[Sequence[int]],
    end_pts: int | None = None,
    source: Source | None = None,
    info: VideoInfo | None = None,
    scan: Scan | None = None,
    trimmed: bool | None = None,
    with_sound: bool = True,
) -> list[str]:
    """Join finished segments, without encoding them again, with the source's sound and subtitles.

    Args:
        segments: files of a `SegmentWriter`, in order.
        output: the result; it is replaced if it exists. A PNG sequence's folder is made if it is missing.
        fmt, spec: what the segments were written with.
        pts: per segment, the times of its frames in `spec.time_base`, on the source's clock.
        end_pts: when the last frame ends; None: it is shown as long as the frames are on average.
        source, info: where sound and subtitles come from; None for none.
        scan: the source's own frames, only needed to find out whether the result is `trimmed`.
        trimmed: the result is a part of the source: it begins with its first frame, and the sound is cut to
            the span of its frames. Otherwise all sound is kept and the image keeps its offset. None:
            whether there are fewer frames than in a complete `scan` (False without one).
        with_sound: False leaves out sound and subtitles.

    Returns:
        Warnings for the user: what could not be copied as it was.

    Raises:
        OutputError: no writable folder. FfmpegError: joining failed; nothing new bears the final name then.
    """
    if not segments or len(segments) != len(pts) or not all(pts):
        raise ValueError("as many segments as lists of times, and at least one frame in each")
    for segment in segments:
        if not segment.is_file():
            raise FfmpegError(f"a segment is missing: {segment}. Run the same command again to render it.")
    output = Path(output)
    starts, end = _timeline(pts, spec, end_pts)
    count = sum(map(len, pts))
    with tempfile.TemporaryDirectory(prefix="dreamvid-") as folder:
        listing = Path(folder) / "segments.ffconcat"
        listed = _one_line(segments, Path(folder))
        listing.write_bytes(os.fsencode("\n".join(_concat_lines(listed, starts, end))))
        images = [*PROTOCOL_WHITELIST, "-f", "concat", "-safe", "0", "-i", f"file:{listing}"]
        if fmt.file_pattern is not None:
            _write_sequence(images, output, fmt, spec, count)
            return []
        if fmt.converted:
            return _convert(images, output, fmt, spec, count, end - starts[0])
        if trimmed is None:
            trimmed = scan is not None and (not scan.complete or count < scan.count)
        if not with_sound or source is None or info is None or source.kind == "images":
            info = None
        return _mux(images, output, fmt, spec, count, starts[0], end, source, info, trimmed)


def _timeline(pts: Sequence[Sequence[int]], spec: StreamSpec, end_pts: int | None) -> tuple[list[Fraction], Fraction]:
    """When each segment starts and when the last one ends, in seconds on the source's clock."""
    first, last = pts[0][0], pts[-1][-1]
    count = sum(map(len, pts))
    if spec.constant_rate:
        # The writers placed the frames on the exact grid; the source's times may be rounded to milliseconds.
        starts, frames = [], 0
        for part in pts:
            starts.append(spec.seconds(first) + frames / spec.rate)
            frames += len(part)
        return starts, spec.seconds(first) + count / spec.rate
    if end_pts is None or end_pts <= last:
        mean = Fraction(last - first, count - 1) if count > 1 else 1 / (spec.rate * spec.time_base)
        end_pts = last + max(1, round(mean))
    return [spec.seconds(part[0]) for part in pts], spec.seconds(end_pts)


def _one_line(segments: Sequence[Path], folder: Path) -> list[Path]:
    """The same files by names without a line break, which no quotes hold in a list: by way of links in `folder`."""
    named = []
    for number, segment in enumerate(segments):
        path = segment.absolute()
        if re.search(r"[\r\n]", str(path)):
            path = folder / f"{number:06d}{segment.suffix}"
            path.symlink_to(segment.absolute())
        named.append(path)
    return named


def _concat_lines(segments: Sequence[Path], starts: Sequence[Fraction], end: Fraction) -> Iterator[str]:
    """The list for ffmpeg's concat demuxer."""
    yield "ffconcat version 1.0"
    # Durations are differences of rounded cumulative times: rounding each by itself drifts.
    marks = [round((mark - starts[0]) * 1_000_000) for mark in (*starts, end)]
    for segment, begin, finish in zip(segments, marks, marks[1:], strict=False):
        name = str(segment.absolute()).replace("'", "'\\''")
        yield f"file 'file:{name}'"
        yield f"duration {(finish - begin) // 1_000_000}.{(finish - begin) % 1_000_000:06d}"
    yield ""


def _decimal(seconds: Fraction) -> str:
    return f"{float(seconds):.6f}"


def _tracks(info: VideoInfo, container: _Container) -> tuple[list[_Track], list[str]]:
    """What to do with every stream beside the image, by what the container is known to take."""
    tracks: list[_Track] = []
    warnings: list[str] = []

    def note(kind: str, index: int, codec: str, what: str) -> None:
        warnings.append(f"{kind} track {index + 1} ({codec}) {what}")

    for index, codec in enumerate(info.audio):
        if codec in ("none", "unknown"):
            tracks.append(_Track("a", index, None))
            note("sound", index, codec, "is of an unknown kind and is left out")
        elif container.audio is None or codec in container.audio:
            tracks.append(_Track("a", index, ("copy",)))
        else:
            tracks.append(_Track("a", index, container.audio_encoder))
            note(
                "sound",
                index,
                codec,
                f"does not go into this container; it is encoded as {_name(container)}",
            )
    for index, codec in enumerate(info.subtitles):
        is_text = codec in _TEXT_SUBTITLES
        if codec in (container.subtitle or ()) or (container.subtitle is None and codec != "mov_text"):
            tracks.append(_Track("s", index, ("copy",)))
        elif is_text:
            tracks.append(_Track("s", index, (container.subtitle_encoder,)))
        else:
            tracks.append(_Track("s", index, None))
            note("subtitle", index, codec, "does not go into this container and is left out; .mkv takes it")
    return tracks, warnings


def _name(container: _Container) -> str:
    return container.audio_encoder[0].removeprefix("lib")


def _fallbacks(info: VideoInfo, container: _Container) -> Iterator[tuple[list[_Track], list[str]]]:
    """Ways to treat the streams beside the image, from the best to the last."""
    tracks, warnings = _tracks(info, container)
    yield tracks, warnings
    encoded = [
        _Track("a", track.index, container.audio_encoder) if track.letter == "a" and track.codec else track
        for track in tracks
    ]
    if encoded != tracks:
        yield encoded, [*warnings, f"the sound could not be copied; it is encoded as {_name(container)}"]
    if info.subtitles:
        silent = "the subtitles could not be copied and are left out"
        yield [track for track in tracks if track.letter == "a"], [*warnings, silent]
        yield (
            [track for track in encoded if track.letter == "a"],
            [*warnings, silent, f"the sound could not be copied; it is encoded as {_name(container)}"],
        )
    yield [], [*warnings, "sound and subtitles could not be copied and are left out"]


def _mux(
    images: Sequence[str],
    output: Path,
    fmt: OutputFormat,
    spec: StreamSpec,
    count: int,
    start: Fraction,
    end: Fraction,
    source: Source | None,
    info: VideoInfo | None,
    trimmed: bool,
) -> list[str]:
    container = _CONTAINERS[fmt.container]
    muxer = ["-c:v", "copy"]
    if fmt.container in ("mp4", "mov"):
        muxer += ["-video_track_timescale", str(spec.timescale), "-movflags", "+faststart"]
        if fmt.codec in ("libx265", "hevc_nvenc"):
            muxer += ["-tag:v", "hvc1"]  # the only one that QuickTime plays
    muxer += ["-f", fmt.container]
    begin = Fraction(0) if trimmed or info is None or source is None else start
    shifted = ["-itsoffset", _decimal(begin), *images]
    if info is None or source is None or not (info.audio or info.subtitles):
        args = [*shifted, "-map", "0:v:0"]
        if info is not None and source is not None and source.kind != "lavfi":
            args = [*shifted, *source.input_args(), "-map", "0:v:0", "-map_metadata", "1"]
            args += [] if trimmed else ["-map_chapters", "1"]
        _write_file([*args, *muxer], [], output, count)
        return []
    # A graph's sound may have no end, so it is always cut.
    cut: list[str] = []
    if trimmed:
        cut = ["-ss", _decimal(start), "-t", _decimal(end - start)]
    elif source.kind == "lavfi":
        cut = ["-t", _decimal(end)]
    clock = [argument.replace("0:a?", "1:V:0") for argument in clock_args(source)]
    first_failure: FfmpegError | None = None
    for tracks, warnings in _fallbacks(info, container):
        args = [*shifted, *cut, *source.input_args(), "-map", "0:v:0"]
        numbers = {"a": 0, "s": 0}
        for track in tracks:
            if track.codec is None:
                continue
            args += ["-map", f"1:{track.letter}:{track.index}"]
            name, *options = track.codec
            number = numbers[track.letter]
            args += [f"-c:{track.letter}:{number}", name]
            args += [f"{part}:{number}" if part.startswith("-") else part for part in options]
            numbers[track.letter] += 1
        if source.kind != "lavfi":
            args += ["-map_metadata", "1", "-map_chapters", "1"]
        try:
            _write_file([*args, *muxer], clock, output, count)
        except DiskFullError:
            raise
        except FfmpegError as error:
            first_failure = first_failure or error
        else:
            return warnings
    assert first_failure is not None
    raise first_failure


def _convert(
    images: Sequence[str], output: Path, fmt: OutputFormat, spec: StreamSpec, count: int, duration: Fraction
) -> list[str]:
    """GIF and WebP, from lossless segments. They know no pixel shape, so pixels are made square."""
    warnings: list[str] = []
    filters: list[str] = []
    if spec.sample_aspect != 1:
        filters.append("scale=iw*sar:ih:flags=bicubic,setsar=1")
    if fmt.container == "gif":
        if count / duration > _GIF_MAX_RATE:
            filters.append(f"fps={_GIF_MAX_RATE}")
            warnings.append(f"a GIF shows at most {_GIF_MAX_RATE} images a second; frames are left out")
        # One palette per image: a dream has more colors than 256 in sum.
        filters.append("split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1")
        options = ["-loop", "0"]
    else:
        options = ["-c:v", "libwebp_anim", "-quality", "80", "-loop", "0"]
    graph = ",".join(["[0:v:0]null", *filters]) + "[v]"
    args = [*images, "-filter_complex", graph, "-map", "[v]", "-fps_mode", "passthrough", *options]
    # A WebP counts as one packet, and a GIF of a high rate has fewer images.
    told = count if fmt.container == "gif" and not warnings else None
    _write_file([*args, "-f", fmt.container], [], output, told)
    return warnings


def _write_file(args: Sequence[str], more_outputs: Sequence[str], output: Path, count: int | None) -> None:
    """Run ffmpeg into a hidden name beside `output`; give it that name when all `count` frames are in it."""
    part = part_path(output)
    try:
        part.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(f"cannot write in the folder {output.parent}: {error.strerror or error}") from error
    doing = f"writing {output}"
    try:
        with Ffmpeg([*args, f"file:{part.absolute()}", *more_outputs], progress=True) as process:
            process.finish(doing)
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


def _write_sequence(images: Sequence[str], output: Path, fmt: OutputFormat, spec: StreamSpec, count: int) -> None:
    """PNGs numbered from 0. They are made in a hidden folder and moved when all are there."""
    assert fmt.file_pattern is not None
    folder = output.parent if output.name == fmt.file_pattern else output
    part = part_path(folder.absolute())
    try:
        part.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write in the folder {folder.parent}: {error.strerror or error}") from error
    pixel_format = "rgb24" if spec.bit_depth <= 8 else "rgb48be"
    pattern = str(part).replace("%", "%%")
    try:
        args = [
            *images,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-c:v",
            "png",
            "-pix_fmt",
            pixel_format,
        ]
        args += ["-f", "image2", "-start_number", "0", f"file:{pattern}/{fmt.file_pattern}"]
        with Ffmpeg(args, progress=True) as process:
            process.finish(f"writing {output}")
        made = sorted(part.iterdir())
        if len(made) != count:
            raise FfmpegError(f"the result {output} has {len(made)} images where {count} were rendered")
        try:
            folder.mkdir(exist_ok=True)
            for image in made:
                publish_image = folder / image.name
                image.replace(publish_image)
            sync_folder(folder)
        except OSError as error:
            raise OutputError(f"cannot write in {folder}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)
