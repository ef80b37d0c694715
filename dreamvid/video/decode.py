"""Frames out of a source: upright RGB in the order of time, decoded ahead by a thread."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from PIL import Image

from dreamvid.errors import FfmpegError, SettingsError, SourceError, nearest
from dreamvid.runtime.queues import BoundedQueue
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import Ffmpeg, hwaccels, run_ffmpeg
from dreamvid.video.probe import ZSCALE_MATRICES, FrameLog, Irregularities, Scan, VideoInfo, clock_args
from dreamvid.video.probing.pixel_formats import has_alpha
from dreamvid.video.probing.timestamps import Clock, correction_filter, timing_args
from dreamvid.video.source import FfmpegSource, FrameSource, Source
from dreamvid.video.source import Pixels as Pixels

# Without these swscale is off by 1.2 levels on average; with them by 0.5 (8 bits) and 0.04 (10 bits).
SCALE_FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass(frozen=True)
class VideoFrame:
    """One frame: its number, its time, and RGB of shape (H, W, 3), uint8 or (above 8 bits) uint16.

    `pts` is in units of the reader's `time_base`, and `time_seconds` the same in seconds.
    """

    index: int
    pts: int
    time_seconds: float
    pixels: Pixels


class FrameReader:
    """Decode a source's frames `start` to `stop` (exclusive; None: to the end), one for one, in order.

    A context manager and an iterator of `VideoFrame`. A thread decodes at most `queue_frames` ahead; what
    goes wrong in it is raised in the consumer. Every frame carries its own time from the source; only with
    `fps` are frames repeated or left out, and numbered again. HDR keeps its code values. What is transparent is laid on
    black, as in images.

    Args:
        source, info: what to decode and what `probe` said of it.
        scan: what `scan` found, for times without damage and for videos that change on the way; without it times are
            those that are stored, and what changes after the first frames is not known.
        start, stop: numbers of frames, counted after the change of rate by `fps`.
        size: of the result in pixels; default: as stored.
        fps: resample to this constant rate, nearest frame.
        queue_frames: how many decoded frames may wait.
        log: takes in what `scan_of_log` needs, from the first frame on, wherever `start` is; for sources that ffmpeg
            reads. `process` is the ffmpeg then, ended when the reader is closed.
        alpha: give the transparency of a video as grays in place of its colors: black is transparent.
        hwaccel: ffmpeg's name of the hardware that decodes, such as `cuda`; None for the CPU. What the hardware cannot
            decode, the CPU does. Colors may differ by a level.

    Raises (while iterating):
        FfmpegError: ffmpeg failed. SourceError: an image cannot be read. Frames that are damaged or missing
        in the source are not an error; `scan` reports them.
    """

    def __init__(
        self,
        source: Source,
        info: VideoInfo,
        *,
        scan: Scan | None = None,
        start: int = 0,
        stop: int | None = None,
        size: Size | None = None,
        fps: Fraction | None = None,
        queue_frames: int = 4,
        log: FrameLog | None = None,
        alpha: bool = False,
        hwaccel: str | None = None,
    ) -> None:
        if start < 0 or (stop is not None and stop <= start):
            raise SourceError(
                f"an empty range of frames was asked for: {start}:{'' if stop is None else stop}. "
                "Give START:STOP with 0 <= START < STOP."
            )
        self._source, self._info, self._scan, self._fps, self._log = source, info, scan, fps, log
        self._alpha, self._hwaccel = alpha, hwaccel
        self._irregularities = None if scan is None else scan.irregularities
        self._start, self._stop = start, stop
        if fps is not None and scan is not None and scan.irregularities.corrections and scan.complete and scan.pts:
            # A damaged last time stamp would have its frame repeated until then.
            count = _resampled_count(scan, info, fps)
            self._stop = count if stop is None else min(stop, count)
        self.height, self.width = size or info.size
        self.time_base = info.time_base if fps is None else 1 / fps
        self._frames: BoundedQueue[VideoFrame] = BoundedQueue(queue_frames)
        self._arriving = iter(self._frames)
        self._closing = threading.Event()
        self.process: Ffmpeg | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="decode", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        return self

    def __next__(self) -> VideoFrame:
        if self._ended:
            raise StopIteration
        try:
            return next(self._arriving)
        except BaseException:  # also StopIteration, after the last frame or when another thread has closed the reader
            self.close()
            raise

    def close(self) -> None:
        """Stop decoding, end ffmpeg and the thread. Safe to call again, and from another thread's error."""
        self._ended = True
        self._closing.set()
        self._frames.close()
        while self._thread.is_alive():
            if self.process is not None and self.process.process.poll() is None:
                self.process.process.kill()  # wakes a thread that waits for pixels
            self._thread.join(timeout=0.02)

    def _work(self) -> None:
        source = self._source
        with contextlib.closing(
            self._read_frames(source) if isinstance(source, FrameSource) else self._read_video()
        ) as frames:
            self._frames.fill(frames)

    @property
    def _transparent(self) -> bool:
        found = self._irregularities
        return has_alpha(self._info.pixel_format) or (found is not None and found.transparent)

    def _filters(self) -> str:
        info, found = self._info, self._irregularities
        filters = [] if self._log is None else [self._log.FILTER]
        if self._fps is not None and found is not None:
            filters.append(correction_filter(_large_corrections(found, info)))
        steady = []  # filters that cannot take images of another size or format than the first one's
        if info.interlaced or (found is not None and found.interlaced):
            steady.append("bwdif=mode=send_frame:deint=interlaced")
        if info.matrix in ZSCALE_MATRICES:
            steady.append(_zscale(info, alpha=self._transparent))
            filters.append("setparams=colorspace=bt709")  # so that other filters take it; zscale is told what it is
        if steady and (found is None or found.varies):
            filters.append(f"scale={info.width}:{info.height}:interl=-1:flags={SCALE_FLAGS}")
            filters.append(f"format={info.pixel_format}")
        filters += steady
        if self._fps is not None:
            filters.append(f"fps={self._fps.numerator}/{self._fps.denominator}")
        if self._start:
            filters.append(f"trim=start_frame={self._start}")
        # They change nothing here, and `scale` refuses a frame whose tags are damaged.
        filters.append("setparams=color_primaries=unknown:color_trc=unknown")
        colors = ""
        if found is not None and found.colors_vary:
            colors = ":in_color_matrix=auto:in_range=auto"
        elif info.matrix != "rgb" and info.matrix not in ZSCALE_MATRICES:
            colors = f":in_color_matrix={info.matrix}:in_range={'pc' if info.full_range else 'tv'}"
        if self._transparent:
            # Black behind what is transparent, before a change of size can mix in colors that are hidden. With 8 bits
            # `premultiply` would darken what is opaque by a level.
            filters.append(f"scale={info.width}:{info.height}:flags={SCALE_FLAGS}{colors}")
            filters.append("format=gbrap16le," + ("alphaextract" if self._alpha else "premultiply=inplace=1"))
            colors = ""
        # An explicit size also holds where the stream changes its size.
        filters.append(f"scale={self.width}:{self.height}:flags={SCALE_FLAGS}{colors}")
        return ",".join(filter(None, filters))

    def _read_video(self) -> Generator[VideoFrame]:
        assert isinstance(self._source, FfmpegSource)
        deep = self._info.bit_depth > 8
        dtype = np.dtype("<u2") if deep else np.dtype(np.uint8)
        clock = Clock(self.time_base)
        with tempfile.TemporaryDirectory(prefix="dreamvid-", ignore_cleanup_errors=True) as folder:
            statistics = Path(folder) / "times.txt"
            args = [
                *("-reinit_filter", "0"),  # a change of size must not start the counting of `trim` again
                *("-max_error_rate", "1"),  # `scan` reports damage; what can be decoded is wanted
                *hwaccel_args(self._hwaccel),
                *self._info.decoder_args,
                *self._source.input_args(),
                *("-map", f"0:{self._info.stream}", "-vf", self._filters()),
                *timing_args(f"file:{statistics}", "demux" if self._fps is None else "filter"),
                *("-pix_fmt", "rgb48le" if deep else "rgb24", "-f", "rawvideo", "pipe:1"),
                *clock_args(self._source, self._info),
            ]
            log = self._log
            with Ffmpeg(
                args,
                stdout=True,
                level="warning" if log is None else "info",
                on_line=None if log is None else log.read,
            ) as process:
                self.process = process
                times: Iterator[str] | None = None
                index, last = self._start, None
                while self._stop is None or index < self._stop:
                    pixels = np.empty((self.height, self.width, 3), dtype)
                    got = _read_into(process, pixels.data.cast("B"))
                    if self._closing.is_set():
                        return
                    if got == 0:
                        process.finish(f"decoding {self._source.text}")
                        return
                    if got < pixels.nbytes:
                        raise process.failure(f"decoding {self._source.text} (frame {index} is cut off)")
                    if times is None:  # the file is there, and a frame's line is in it, before the frame comes
                        times = _lines(statistics)
                    last = self._pts(index, clock.read(next(times)), last)
                    yield VideoFrame(index, last, float(last * self.time_base), pixels)
                    index += 1

    def _pts(self, index: int, stamp: int | None, last: int | None) -> int:
        """Give the time of a frame, from its stored time stamp and that of the frame before."""
        if self._fps is None and self._scan is not None and index < self._scan.count:
            return self._scan.pts[index]
        if last is None:
            return stamp or 0
        return last + 1 if stamp is None else max(stamp, last + 1)  # no encoder takes a time twice

    def _read_frames(self, source: FrameSource) -> Generator[VideoFrame]:
        rate = source.frame_rate
        count = source.count if self._fps is None else max(1, round(source.count / rate * self._fps))
        stop = count if self._stop is None else min(count, self._stop)
        for index in range(self._start, stop):
            chosen = index if self._fps is None else min(source.count - 1, int(index * rate / self._fps))
            pixels = source.frame(chosen)
            if pixels.shape[:2] != (self.height, self.width):
                pixels = _resized(pixels, self.width, self.height)
            yield VideoFrame(index, index, float(index * self.time_base), pixels)


def hwaccel_args(name: str | None) -> list[str]:
    """ffmpeg's options of the input that choose the hardware that decodes; frames come back to the CPU."""
    return [] if name is None else ["-hwaccel", name]


def check_hwaccel(name: str | None, source: Source, info: VideoInfo) -> None:
    """Decode a frame of the source with the hardware of that name, if it is to be used.

    Raises SettingsError for a name that this ffmpeg does not know, and for hardware or a driver that is missing.
    """
    if name is None:
        return
    known = hwaccels()
    if name not in known:
        raise SettingsError(
            f"`hwaccel` got {name!r}, which this ffmpeg does not know. Allowed: {', '.join(known)}."
            f"{nearest(name, known)} Leave it out to decode on the CPU."
        )
    if not isinstance(source, FfmpegSource):
        return
    args = [*hwaccel_args(name), *info.decoder_args, *source.input_args(), "-map", f"0:{info.stream}"]
    try:
        run_ffmpeg([*args, "-frames:v", "1", "-f", "null", "-"], f"trying hwaccel={name}")
    except FfmpegError as error:
        reason = str(error).partition("): ")[2] or str(error)
        raise SettingsError(
            f"`hwaccel={name}` does not work here ({reason}). Leave it out to decode on the CPU, or install the "
            "hardware's driver."
        ) from error


def _resampled_count(scan: Scan, info: VideoInfo, fps: Fraction) -> int:
    """Count the frames that a complete source has at the rate `fps`."""
    step = Fraction(scan.pts[-1] - scan.pts[0], max(1, scan.count - 1)) or 1 / (info.frame_rate * info.time_base)
    begin, end = (round(pts * info.time_base * fps) for pts in (scan.pts[0], scan.pts[-1] + step))
    return max(1, end - begin)


_MOST_CORRECTIONS = 200  # a filter's expression has to end somewhere; the largest ones count


def irregular_frames(found: Irregularities, info: VideoInfo, fps: Fraction | None) -> bool:
    """Tell if a reader that knows what was found gives other frames than one that only knows the info."""
    corrected = fps is not None and bool(_large_corrections(found, info))
    transparent = found.transparent and not has_alpha(info.pixel_format)
    return corrected or transparent or found.colors_vary or (found.interlaced and not info.interlaced)


def _large_corrections(found: Irregularities, info: VideoInfo) -> dict[int, int]:
    """Choose the corrections of time stamps that a change of rate would show: those of half a frame or more."""
    half = 1 / (2 * info.frame_rate * info.time_base)
    large = [(index, change) for index, change in found.corrections if abs(change) >= half]
    return dict(sorted(large, key=lambda item: -abs(item[1]))[:_MOST_CORRECTIONS])


def _zscale(info: VideoInfo, *, alpha: bool) -> str:
    """Convert rare color spaces to RGB code values, with the filter zscale. alpha: keep the transparency."""
    colors = ""
    for name, value in (("primaries", info.primaries), ("transfer", info.transfer)):
        if value != "unknown":
            colors += f":{name}in={value}:{name}={value}"
    value_range = "full" if info.full_range else "limited"
    conversion = f"zscale=matrixin={ZSCALE_MATRICES[info.matrix]}:rangein={value_range}:matrix=gbr:range=full{colors}"
    deep = info.bit_depth > 8
    # zscale takes no half positions at the border.
    whole = f"format={'yuva444p' if alpha else 'yuv444p'}{'16le' if deep else ''},"
    odd = whole if info.width % 2 or info.height % 2 else ""
    return f"{odd}{conversion},format={'gbrap' if alpha else 'gbrp'}{'16le' if deep else ''}"


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    if pixels.dtype == np.uint8:
        return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    shrinks = width < pixels.shape[1] and height < pixels.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=method), dtype=np.uint16)


def _read_into(process: Ffmpeg, buffer: memoryview) -> int:
    """Fill the buffer from ffmpeg's stdout; fewer bytes than asked for only at the end."""
    got = 0
    while got < len(buffer):
        count = process.stdout.readinto(buffer[got:])  # type: ignore[attr-defined]
        if not count:
            break
        got += count
    return got


def _lines(path: Path) -> Iterator[str]:
    """Yield the complete lines of a file that another process is still writing."""
    with path.open("r", encoding="ascii") as file:
        if os.name == "posix":  # without a name nothing is left of it, however this program ends
            shutil.rmtree(path.parent, ignore_errors=True)
        while True:
            line = file.readline()
            deadline = time.monotonic() + 10.0
            while not line.endswith("\n"):
                if time.monotonic() > deadline:
                    raise FfmpegError(f"ffmpeg gave a frame without its time (in {path.parent})")
                time.sleep(0.001)
                line += file.readline()
            yield line
