"""Encode one segment of a result: frames in, a finished file out, or none."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.settings.size import Size
from dreamvid.video.decode import SCALE_FLAGS
from dreamvid.video.encoders import Encoding
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.probe import Scan, VideoInfo

_SCALE_MATRICES = {"bt2020nc": "bt2020", "bt709": "bt709"}


@dataclass(frozen=True)
class StreamSpec:
    """Describe what all frames of a result have in common.

    `width`, `height` in stored pixels; `sample_aspect` a pixel's width over its height. `rate`: frames per
    second (nominal where the rate varies). `time_base`: the unit, in seconds, of every `pts` given to a
    writer or a join. `constant_rate`: frames follow one another at `rate`, whatever their `pts`.
    `bit_depth`: 8 takes uint8 frames, more takes uint16. `matrix`, `primaries`, `transfer`: ffmpeg's names
    of the color that the code values stand for.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    constant_rate: bool = True
    sample_aspect: Fraction = Fraction(1)
    bit_depth: int = 8
    matrix: str = "bt709"
    primaries: str = "bt709"
    transfer: str = "bt709"

    @classmethod
    def from_source(
        cls,
        info: VideoInfo,
        scan: Scan,
        *,
        size: Size | None = None,
        fps: Fraction | None = None,
    ) -> Self:
        """Derive the spec of a result from its source: times, pixel shape, depth and gamut.

        `size` keeps the shape of the image, so pixels change theirs if it must.
        `fps`: the constant rate to which a `FrameReader` with the same `fps` resamples.
        """
        height, width = size or info.size
        aspect = info.sample_aspect * Fraction(info.width, info.height) / Fraction(width, height)
        if abs(aspect / info.sample_aspect - 1) < Fraction(1, 50):
            aspect = info.sample_aspect  # rounding to whole pixels is not a change of shape
        wide = info.primaries == "bt2020"
        return cls(
            width=width,
            height=height,
            rate=fps or scan.frame_rate,
            time_base=info.time_base if fps is None else 1 / fps,
            constant_rate=fps is not None or scan.constant_rate,
            sample_aspect=aspect.limit_denominator(10_000),
            bit_depth=info.bit_depth,
            matrix="bt2020nc" if wide else "bt709",
            primaries="bt2020" if wide else "bt709",
            transfer=info.transfer if info.hdr else "bt709",
        )

    @property
    def hdr(self) -> bool:
        """Tell if the code values are PQ or HLG."""
        return self.transfer in ("smpte2084", "arib-std-b67")

    @property
    def timescale(self) -> int:
        """Ticks per second of an mp4 track: every frame's time is a whole number of them."""
        if not self.constant_rate:
            return self.time_base.denominator
        ticks = self.rate.numerator
        while ticks < 10_000:
            ticks *= 2
        return ticks

    def seconds(self, pts: int) -> Fraction:
        """Convert a `pts` to seconds."""
        return pts * self.time_base


class SegmentWriter:
    """Encode frames to one file that appears under its name only when it is whole and on the disk.

    `with SegmentWriter(path, spec, encoding) as writer: writer.write(pixels, pts)`: closed at the end of the
    block, aborted if it raises. The first frame is the segment's zero; later times count from there.

    Args:
        path: with the suffix `encoding.segment_suffix`; its folder must exist.
        spec: size, times and color. Odd sizes are padded to even ones by repeating the last row and column
            where the pixel format needs it.
        encoding: the encoder and its quality.

    Raises:
        OutputError: a wrong suffix or no writable folder. FfmpegError: encoding failed or the disk is full.
    """

    def __init__(self, path: Path, spec: StreamSpec, encoding: Encoding) -> None:
        if path.suffix != encoding.segment_suffix:
            raise OutputError(f"a segment of {encoding.codec} is named *{encoding.segment_suffix}, not {path.name!r}")
        self.path, self.spec, self.encoding = path, spec, encoding
        self.count = 0
        self._first_pts = self._last_pts = 0
        self._dtype = np.dtype(np.uint8) if spec.bit_depth <= 8 else np.dtype("<u2")
        even = 1 if encoding.encoder.is_rgb else 2
        self._pad = (-spec.height % even, -spec.width % even)
        self._width, self._height = spec.width + self._pad[1], spec.height + self._pad[0]
        self._part = part_path(path)
        try:
            self._part.touch(exist_ok=False)
        except OSError as error:
            raise OutputError(f"cannot write in the folder {path.parent}: {error.strerror or error}") from error
        try:
            self._process = Ffmpeg(self._args(), stdin=True, progress=True)
            if not spec.constant_rate:
                self._send(self._ivf_header())
        except BaseException:
            self._part.unlink(missing_ok=True)
            raise
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _args(self) -> list[str]:
        spec, encoding = self.spec, self.encoding
        if spec.constant_rate:
            pixel_format = "rgb24" if self._dtype.itemsize == 1 else "rgb48le"
            given = ["-f", "rawvideo", "-pixel_format", pixel_format]
            given += ["-video_size", f"{self._width}x{self._height}"]
            given += ["-framerate", f"{spec.rate.numerator}/{spec.rate.denominator}"]
        else:
            given = ["-f", "ivf", "-c:v", "rawvideo"]  # the one raw form that carries times through a pipe
        stored = encoding.pixel_format(spec.bit_depth, spec.hdr)
        if encoding.encoder.is_rgb:
            filters = [f"format={stored}"]
            tags = "range=pc:colorspace=gbr"
        else:
            matrix = _SCALE_MATRICES[spec.matrix]
            filters = [
                f"scale=out_color_matrix={matrix}:out_range=tv:flags={SCALE_FLAGS}",
                f"format={stored}",
            ]
            tags = f"range=tv:colorspace={spec.matrix}"
        filters.append(f"setparams={tags}:color_primaries={spec.primaries}:color_trc={spec.transfer}")
        filters.append(f"setsar={spec.sample_aspect.numerator}/{spec.sample_aspect.denominator}")
        return [
            *(*given, "-i", "pipe:0", "-vf", ",".join(filters)),
            *encoding.args(spec.bit_depth, spec.hdr),
            *("-fps_mode", "passthrough"),
            *([] if spec.constant_rate else self._variable_args()),
            *("-video_track_timescale", str(spec.timescale)),
            *("-f", encoding.segment_suffix.removeprefix("."), f"file:{self._part.absolute()}"),
        ]

    def _variable_args(self) -> list[str]:
        args = ["-enc_time_base", "demux"]
        if self.encoding.codec == "libsvtav1":  # with few frames it takes the time base for the rate, and refuses it
            rate = min(self.spec.rate, Fraction(240)).limit_denominator(1001)
            args += ["-svtav1-params", f"fps-num={rate.numerator}:fps-denom={rate.denominator}"]
        return args

    def _ivf_header(self) -> bytes:
        # fourcc as ffmpeg's raw codec table has it: rgb24, rgb48le
        fourcc = b"RGB\x18" if self._dtype.itemsize == 1 else b"RGB0"
        base = self.spec.time_base
        return b"DKIF" + struct.pack(
            "<HH4sHHIIII", 0, 32, fourcc, self._width, self._height, base.denominator, base.numerator, 0, 0
        )

    def _doing(self) -> str:
        return f"encoding {self.path.name}"

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._process.stdin.write(data)
        except OSError as error:  # ffmpeg has ended; its log says why
            failure = self._process.failure(self._doing())
            self.abort()
            raise failure from error

    def write(self, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], pts: int) -> None:
        """Add a frame: RGB of shape (H, W, 3), uint8 for 8 bits and uint16 above, `pts` in the spec's units.

        Raises:
            ValueError: shape, dtype, or a time that does not grow. FfmpegError: encoding failed.
        """
        shape = (self.spec.height, self.spec.width, 3)
        if pixels.shape != shape or pixels.dtype.itemsize != self._dtype.itemsize or pixels.dtype.kind != "u":
            raise ValueError(
                f"a frame is {self._dtype.name} of shape {shape}; got {pixels.dtype} of shape {pixels.shape}"
            )
        if self.count == 0:
            self._first_pts = pts
        elif pts <= self._last_pts:
            raise ValueError(f"times must grow: {pts} after {self._last_pts}")
        self._last_pts = pts
        even = ((0, self._pad[0]), (0, self._pad[1]), (0, 0))
        padded = np.pad(pixels, even, mode="edge") if any(self._pad) else pixels
        raw = np.ascontiguousarray(padded, dtype=self._dtype)
        if not self.spec.constant_rate:
            self._send(struct.pack("<IQ", raw.nbytes, pts - self._first_pts))
        self._send(raw.data.cast("B"))
        self.count += 1

    def close(self) -> None:
        """Finish the file, check it, and give it its name. Safe to call again.

        Raises:
            FfmpegError: no frame was written, ffmpeg failed, or it lost frames; nothing bears the name then.
        """
        if not self._open:
            return
        try:
            if self.count == 0:
                raise FfmpegError(f"no frame was given for the segment {self.path.name}")
            self._process.finish(self._doing())
            if self._process.frames_written != self.count:
                raise FfmpegError(
                    f"the segment {self.path.name} has {self._process.frames_written} frames "
                    f"where {self.count} were given"
                )
            replace_atomically(self._part, self.path)
        finally:
            self.abort()

    def abort(self) -> None:
        """End ffmpeg and remove the unfinished file. Safe to call again, and after `close`."""
        self._open = False
        self._process.close()
        self._part.unlink(missing_ok=True)
