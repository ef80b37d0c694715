"""What a page shows of a source: its length, a strip of thumbnails, shots, waveform and beats; computed once and kept.

Neither the network nor PyTorch is needed for it.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from dreamvid.audio.analysis import analyse_sound
from dreamvid.audio.decode import decode_audio
from dreamvid.errors import DreamvidError, SourceError
from dreamvid.image.io import read_image
from dreamvid.runtime.files import part_path
from dreamvid.ui.studio.workspace import IMAGE_SUFFIXES, SOUND_SUFFIXES
from dreamvid.video.decode import SCALE_FLAGS, FrameReader
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.probe import VideoInfo, probe
from dreamvid.video.shots import detection_size, find_cuts
from dreamvid.video.source import FILE_KINDS, FfmpegSource, open_source

THUMBNAILS, THUMBNAIL_HEIGHT = 24, 72
_WAVEFORM = 600  # values over the whole sound
CURVES_RATE = 30
_SHOTS_UP_TO_SECONDS = 900.0  # a longer film is decoded once by its render; the page does not wait for it
_MOST_LINES = 1080  # of a frame that is shown
_VERSION = 3  # of what is kept
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class FilmFacts:
    """A source's facts. kind: video, image or sound. duration_seconds, fps, frames: 0 for an image.

    shots: times in seconds at which a new shot begins, without 0. waveform: the sound's peaks from 0 to 1 over the
    duration. beats: their times in seconds. message: what could not be worked out.
    """

    kind: str
    width: int = 0
    height: int = 0
    duration_seconds: float = 0.0
    fps: float = 0.0
    frames: int = 0
    shots: tuple[float, ...] = ()
    waveform: tuple[float, ...] = ()
    beats: tuple[float, ...] = ()
    thumbnails: int = 0
    message: str = ""


_FACTS = TypeAdapter(FilmFacts)
_CURVES = TypeAdapter(dict[str, list[float]])


def film_facts(path: Path, cache: Path) -> FilmFacts:
    """Work out a source's facts, or read them from the cache. Raises SourceError for a file that cannot be read."""
    kept = cache / f"{cache_key(path)}.json"
    with _ONE_AT_A_TIME:
        try:
            return _FACTS.validate_json(kept.read_bytes())
        except (OSError, ValueError):
            pass
        facts = _facts(path, cache)
        _write(kept, json.dumps(asdict(facts)).encode())
        return facts


def strip_path(path: Path, cache: Path) -> Path:
    """Return the file of a source's strip of thumbnails; `film_facts` makes it."""
    return cache / f"{cache_key(path)}.strip.jpg"


def thumbnail(path: Path, cache: Path, height: int = 180, seconds: float = 0.0) -> Path:
    """Make, or find in the cache, a JPEG of an image or of a video's frame. Raises SourceError."""
    kept = cache / f"{cache_key(path)}.{height}.{seconds:.2f}.jpg"
    if not kept.is_file():
        _write(kept, to_jpeg(fitted(frame_at(path, seconds), height)))
    return kept


def signals(path: Path, cache: Path) -> dict[str, list[float]]:
    """Analyse a sound into curves for schedules, 30 values a second; empty without sound."""
    try:
        kept = cache / f"{cache_key(path)}.curves.json"
        if not kept.is_file():
            samples, rate = decode_audio(path)
            curves = analyse_sound(samples, rate, CURVES_RATE)
            rounded = {name: np.round(values, 3).tolist() for name, values in curves.values.items()}
            _write(kept, json.dumps(rounded).encode())
        return _CURVES.validate_json(kept.read_bytes())
    except (DreamvidError, OSError, ValueError):
        return {}


def frame_at(path: Path, seconds: float = 0.0) -> npt.NDArray[np.uint8]:
    """Read an image, or the frame that a video shows at a time; uint8 (H, W, 3), at most 1080 lines high.

    The video is entered at the keyframe before, so that the time does not matter. After its end, the last frame is
    read. Raises SourceError.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return fitted(read_image(path), _MOST_LINES)
    source = open_source(path, kinds=FILE_KINDS)
    info = probe(source)
    if not isinstance(source, FfmpegSource):
        with FrameReader(source, info, stop=1) as reader:
            for first in reader:
                return fitted(_8_bits(first.pixels), _MOST_LINES)
        raise SourceError(f"{path.name} has no frame.")
    frame = read_at(source, info, seconds)
    for earlier in (1 / float(info.frame_rate), 0.5, 2.0, seconds):  # the end may come before its duration says
        frame = frame if frame is not None else read_at(source, info, max(0.0, seconds - earlier))
    if frame is None:
        raise SourceError(f"{path.name} has no frame at {seconds:.2f} s.")
    return frame


def read_at(source: FfmpegSource, info: VideoInfo, seconds: float) -> npt.NDArray[np.uint8] | None:
    """Read one frame at a time; None after the end."""
    frames = read_span(source, info, seconds, 1)
    return frames[0] if frames else None


def read_span(
    source: FfmpegSource, info: VideoInfo, seconds: float, count: int, height: int = _MOST_LINES
) -> list[npt.NDArray[np.uint8]]:
    """Read up to `count` frames from a time on, at most `height` lines high, without decoding what is before."""
    lines = min(info.height, height)
    width = max(2, 2 * round(info.width * lines / info.height / 2))
    lines = max(2, 2 * round(lines / 2)) if lines != info.height else lines
    width = info.width if lines == info.height else width
    seek = ["-ss", f"{max(0.0, seconds):.6f}"] if seconds > 0 else []
    args = [*seek, *info.decoder_args, *source.input_args(), "-map", f"0:{info.stream}", "-an", "-frames:v", str(count)]
    args += ["-vf", f"scale={width}:{lines}:flags={SCALE_FLAGS}", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]
    size = width * lines * 3
    frames = []
    with Ffmpeg(args, stdout=True) as process:
        while len(data := process.stdout.read(size)) == size:
            frames.append(np.frombuffer(data, np.uint8).reshape(lines, width, 3))
    return frames


def to_jpeg(pixels: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encode uint8 (H, W, 3) RGB as JPEG."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def _facts(path: Path, cache: Path) -> FilmFacts:
    suffix = path.suffix.lower()
    if suffix in SOUND_SUFFIXES:
        length, peaks, strokes = _sound(path)
        return FilmFacts("sound", duration_seconds=length, waveform=peaks, beats=strokes)
    source = open_source(path, kinds=FILE_KINDS)
    info = probe(source)
    if suffix in IMAGE_SUFFIXES or not isinstance(source, FfmpegSource):
        _write(strip_path(path, cache), to_jpeg(fitted(frame_at(path), THUMBNAIL_HEIGHT)))
        return FilmFacts("image", info.width, info.height, thumbnails=1)
    message = ""
    shots: tuple[float, ...] = ()
    waveform: tuple[float, ...] = ()
    beats: tuple[float, ...] = ()
    duration = info.duration_seconds or 0.0
    rate = float(info.frame_rate)
    frames = round(duration * rate)
    if duration <= _SHOTS_UP_TO_SECONDS:
        times: list[float] = []

        def small() -> Iterator[npt.NDArray[np.uint8]]:
            with FrameReader(source, info, size=detection_size(info)) as reader:
                for frame in reader:
                    times.append(frame.time_seconds)
                    yield _8_bits(frame.pixels)

        cuts = find_cuts(small())
        shots = tuple(round(times[cut] - times[0], 3) for cut in cuts)
        if times:
            frames, duration = len(times), max(duration, times[-1] - times[0] + 1 / rate)
    else:
        message = "The video is long: its shots are found when it is rendered."
    if info.audio:
        try:
            _, waveform, beats = _sound(path)
        except DreamvidError as error:
            message = str(error)
    count = min(THUMBNAILS, max(1, frames))
    _write(strip_path(path, cache), _strip(source, info, duration, count))
    return FilmFacts(
        "video", info.width, info.height, round(duration, 3), rate, frames, shots, waveform, beats, count, message
    )


def _sound(path: Path) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    samples, rate = decode_audio(path)
    peaks = np.abs(samples if samples.ndim == 1 else samples.max(axis=1))
    parts = np.array_split(peaks, min(_WAVEFORM, len(peaks)))
    heights = np.array([part.max() for part in parts])
    beats = analyse_sound(samples, rate, CURVES_RATE).beats_seconds
    loudest = max(float(heights.max()), 1e-9)
    return (
        len(samples) / rate,
        tuple(round(float(height / loudest), 3) for height in heights),
        tuple(round(beat, 3) for beat in beats),
    )


def _strip(source: FfmpegSource, info: VideoInfo, duration: float, count: int) -> bytes:
    """Make one JPEG of `count` thumbnails side by side, evenly over the duration."""
    cells: list[npt.NDArray[np.uint8]] = []
    for index in range(count):
        moment = max(0.0, duration * (index + 0.5) / count - 0.5 / float(info.frame_rate))
        frames = read_span(source, info, moment, 1, THUMBNAIL_HEIGHT)
        cells.append(frames[0] if frames else cells[-1] if cells else np.zeros((THUMBNAIL_HEIGHT, 96, 3), np.uint8))
    return to_jpeg(np.hstack(cells), 80)


def fitted(pixels: npt.NDArray[np.uint8], lines: int) -> npt.NDArray[np.uint8]:
    """Reduce an image to at most `lines` lines, keeping its shape."""
    height, width = pixels.shape[:2]
    if height <= lines:
        return pixels
    size = max(1, round(width * lines / height)), lines
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _8_bits(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    return (pixels if pixels.dtype == np.uint8 else pixels >> 8).astype(np.uint8)


def cache_key(path: Path) -> str:
    """Name what is kept of a file: another name where its content is another one."""
    status = path.stat()
    text = f"{_VERSION} {path.name} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _write(path: Path, data: bytes) -> None:
    part = part_path(path)
    try:
        path.parent.mkdir(exist_ok=True)  # the cache may be deleted at any time
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
