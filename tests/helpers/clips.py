"""Small real clips: every image carries its number as a bar code, every sound one beep at a known time."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvid.video.ffmpeg import ffmpeg_path

WIDTH, HEIGHT, FRAMES, RATE = 96, 64, 30, Fraction(30)
BEEP_SECONDS = 0.5
_BITS = 8


def image(number: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """Soft colors over the whole range, and in the upper third the number in black and white bars."""
    x = np.linspace(0.0, 1.0, width)[None, :]
    y = np.linspace(0.0, 1.0, height)[:, None]
    phase = 2 * np.pi * (number / 30.0)
    channels = (0.1 + 0.8 * x + 0 * y, 0.1 + 0.8 * y + 0 * x, 0.5 + 0.35 * np.sin(phase + 2 * (x + y)))
    pixels = np.rint(255 * np.stack(channels, axis=-1)).astype(np.uint8)
    bars = (number >> (np.arange(width) * _BITS // width)) & 1
    pixels[: height // 3] = np.where(bars, 230, 25)[None, :, None]
    return pixels


def number_of(pixels: npt.NDArray[Any]) -> int:
    """The number that a (decoded) image carries."""
    height, width = pixels.shape[:2]
    top = np.iinfo(pixels.dtype).max
    row = pixels[height // 12 : height // 4].astype(np.float64).mean(axis=(0, 2)) / top
    centers = (np.arange(_BITS) * 2 + 1) * width // (2 * _BITS)
    return sum(int(row[center] > 0.5) << bit for bit, center in enumerate(centers))


def color_error(pixels: npt.NDArray[Any], expected: npt.NDArray[np.uint8]) -> float:
    """Mean absolute difference in 8-bit levels, below the bar code (its hard edges lose their chroma)."""
    scale = 255.0 / np.iinfo(pixels.dtype).max
    below = slice(expected.shape[0] // 3 + 2, None)
    return float(np.abs(pixels[below].astype(np.float64) * scale - expected[below]).mean())


def ffmpeg(*args: str | Path, data: bytes | None = None) -> str:
    """Run the bundled ffmpeg; its log if it succeeds."""
    command = [str(ffmpeg_path()), "-hide_banner", "-y", *map(str, args)]
    done = subprocess.run(command, input=data if data is not None else b"", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")


def beep(seconds: float = 1.0, at: float = BEEP_SECONDS) -> list[str]:
    """An input: a 50 ms tone in silence."""
    tone = f"aevalsrc='if(between(t,{at},{at + 0.05}),0.8*sin(2*PI*1000*t),0)':s=48000:d={seconds}"
    return ["-f", "lavfi", "-i", tone]


def make(
    path: Path,
    *args: str | Path,
    frames: int = FRAMES,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: Fraction = RATE,
    inputs: Sequence[str | Path] = (),
    before: Sequence[str] = (),
) -> Path:
    """Encode numbered images (input 0; `inputs` follow) with ffmpeg's output options `args`."""
    data = b"".join(image(number, *size).tobytes() for number in range(frames))
    raw = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{size[0]}x{size[1]}"]
    ffmpeg(
        *("-v", "error", *before, *raw, "-framerate", str(rate), "-i", "pipe:0"),
        *inputs,
        *args,
        f"file:{path}",
        data=data,
    )
    return path


def yuv(matrix: str = "bt601", value_range: str = "tv", pixel_format: str = "yuv420p", tag: str = "") -> str:
    """A filter: RGB to YUV by this matrix; `tag` sets what the file says of it ('' leaves it untagged)."""
    flags = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    text = f"scale=out_color_matrix={matrix}:out_range={value_range}:flags={flags},format={pixel_format}"
    return f"{text},setparams={tag or 'range=unknown:colorspace=unknown'}"


def onset_seconds(path: Path, track: int = 0) -> float:
    """When the beep sounds, on the clock in seconds on which the times of the frames count as well."""
    command = [str(ffmpeg_path()), "-v", "error", "-i", f"file:{path}", "-map", f"0:a:{track}"]
    command += ["-af", "aresample=async=1:min_hard_comp=0.001:first_pts=0", "-ac", "1", "-ar", "48000"]
    command += ["-f", "s16le", "pipe:1", "-map", "0:V:0", "-c", "copy", "-f", "null", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    samples = np.abs(np.frombuffer(done.stdout, np.int16).astype(np.int32))
    loud = np.flatnonzero(samples > 8000)
    assert loud.size, "no beep"
    return float(loud[0]) / 48000


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "10", "-bf", "2")
AAC = ("-c:a", "aac", "-b:a", "96k")
_AV = ("-map", "0:v", "-map", "1:a")


@dataclass(frozen=True)
class Clip:
    """A clip of the zoo and what is true of it, known from how it is made.

    `times`: of each frame in seconds from the container's start, within `tolerance` seconds. `numbers`: what
    the images show. `error`: the allowed mean color error.
    """

    name: str
    build: Callable[[Path], Path]
    times: tuple[Fraction, ...] = tuple(Fraction(n) / RATE for n in range(FRAMES))
    numbers: tuple[int, ...] = tuple(range(FRAMES))
    size: tuple[int, int] = (WIDTH, HEIGHT)
    rate: Fraction | None = RATE
    tolerance: float = 0.0
    error: float = 2.0
    aspect: Fraction = Fraction(1)
    bit_depth: int = 8
    beeps: tuple[float, ...] = ()
    subtitles: int = 0
    damaged: bool = False
    rotated: bool = False
    interlaced: bool = False


def _times(rate: Fraction, count: int = FRAMES, first: Fraction = Fraction(0)) -> tuple[Fraction, ...]:
    return tuple(first + Fraction(n) / rate for n in range(count))


_JITTER = tuple(Fraction(n * 33 + (n * 7) % 11, 1000) for n in range(FRAMES))
_GAP = tuple(Fraction(n * 40 + (2000 if n >= 10 else 0), 1000) for n in range(FRAMES))
_DELAYS = tuple(Fraction(sum(4 + (k * 5) % 9 for k in range(n)), 100) for n in range(FRAMES))


def _plain(path: Path) -> Path:
    return make(path, *_AV, "-vf", yuv(), *X264, *AAC, inputs=beep())


def _set_times(times: Sequence[Fraction], base: Fraction) -> str:
    """A filter that shows frame n at times[n]."""
    ticks = [round(time / base) for time in times]
    steps = "+".join(f"{second - first}*gt(N\\,{index})" for index, (first, second) in enumerate(pairwise(ticks)))
    return f"settb={base},setpts={ticks[0]}+{steps}"


def _variable(times: Sequence[Fraction]) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        filters = f"{yuv()},{_set_times(times, Fraction(1, 1000))}"
        passed = ("-fps_mode", "passthrough", "-enc_time_base", "1:1000")
        return make(path, *_AV, "-vf", filters, *passed, *X264, *AAC, inputs=beep(4.0))

    return build


def _gif(path: Path) -> Path:
    filters = f"{_set_times(_DELAYS, Fraction(1, 100))},split[a][b];[a]palettegen[p];[b][p]paletteuse"
    return make(path, "-vf", filters, "-fps_mode", "passthrough", "-enc_time_base", "1:100")


def _rotated(path: Path) -> Path:
    plain = _plain(path.with_name("upright-" + path.name))
    ffmpeg("-v", "error", "-display_rotation", "90", "-i", plain, "-c", "copy", f"file:{path}")
    return path


def _offset(path: Path, seconds: float, which: str) -> Path:
    """Video (`v`) or audio (`a`) that begins late."""
    plain = _plain(path.with_name("plain-of-" + path.stem + ".mp4"))
    maps = ("-map", "0:v", "-map", "1:a") if which == "a" else ("-map", "1:v", "-map", "0:a")
    delayed = ("-itsoffset", str(seconds), "-i", plain)
    ffmpeg("-v", "error", "-i", plain, *delayed, *maps, "-c", "copy", f"file:{path}")
    return path


def _edit_list(path: Path) -> Path:
    """A cut that copies: the frames before the cut stay in the file, hidden by its edit list."""
    plain = make(path.with_name("whole-" + path.name), "-vf", yuv(), *X264, "-g", "30")
    ffmpeg("-v", "error", "-ss", "0.2", "-i", plain, "-c", "copy", f"file:{path}")
    return path


def _tracks(path: Path) -> Path:
    subtitle = path.with_suffix(".srt")
    subtitle.write_text("1\n00:00:00,200 --> 00:00:00,900\nHello\n", encoding="utf-8")
    inputs: list[str | Path] = [*beep(), *beep(1.0, 0.7), "-i", subtitle]
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s")
    return make(path, *maps, "-vf", yuv(), *X264, *AAC, "-c:s", "srt", inputs=inputs)


def _cover(path: Path) -> Path:
    cover = path.with_name("cover.png")
    ffmpeg("-v", "error", "-f", "lavfi", "-i", "color=red:s=32x32:d=1", "-frames:v", "1", cover)
    maps = ("-map", "1:v", "-map", "0:v", "-disposition:v:0", "attached_pic")
    codecs = ("-c:v:0", "png", "-filter:v:1", yuv(), "-c:v:1", "libx264", "-crf:v:1", "10")
    return make(path, *maps, *codecs, inputs=["-i", cover])


def _resized(path: Path) -> Path:
    """MPEG-TS pieces of two sizes, one after the other."""
    parts = []
    for number, size in enumerate((WIDTH, 2 * WIDTH)):
        part = path.with_name(f"size-{number}.ts")
        height = size * HEIGHT // WIDTH
        keep = f"trim=start_frame={number * 15}:end_frame={number * 15 + 15}"
        parts.append(
            make(part, "-vf", f"{keep},scale={size}:{height},{yuv()}", *X264, "-bf", "0", "-copyts").read_bytes()
        )
    path.write_bytes(b"".join(parts))
    return path


def _truncated(path: Path) -> Path:
    whole = make(path.with_name("whole-" + path.name), "-vf", yuv(), *X264, "-g", "5", "-movflags", "+faststart")
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 55 // 100])
    return path


def _corrupted(path: Path) -> Path:
    data = bytearray(make(path.with_name("whole-" + path.name), "-vf", yuv(), *X264, "-g", "5").read_bytes())
    start, end = data.index(b"mdat") + 1500, data.index(b"moov") - 4
    for place in np.random.default_rng(0).integers(start, end, 40):
        data[place] ^= 0x5A
    path.write_bytes(bytes(data))
    return path


def _x264(*args: str, matrix: str = "bt601", tag: str = "", **options: object) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        value_range = "pc" if "range=pc" in tag else "tv"
        filters = yuv(matrix, value_range, tag=tag)
        return make(path, "-vf", filters, *X264, *args, **options)  # type: ignore[arg-type]

    return build


def _with_codec(*codec: str, filters: str = "", audio: Sequence[str] = ()) -> Callable[[Path], Path]:
    def build(path: Path) -> Path:
        maps = _AV if audio else ("-map", "0:v")
        return make(path, *maps, "-vf", filters or yuv(), *codec, *audio, inputs=beep() if audio else ())

    return build


def _ten_bit(path: Path) -> Path:
    tag = "range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    filters = yuv("bt2020", "tv", "yuv420p10le", tag)
    return make(path, "-vf", filters, "-c:v", "libx265", "-crf", "8", "-x265-params", "log-level=error")


NTSC = Fraction(60000, 1001)
LATE = Fraction(2, 5)

ZOO = {
    clip.name: clip
    for clip in (
        Clip("constant.mp4", _plain, beeps=(BEEP_SECONDS,)),
        Clip("silent.mp4", _x264()),
        Clip("jitter.mp4", _variable(_JITTER), _JITTER, rate=None, tolerance=0.0005, beeps=(BEEP_SECONDS,)),
        Clip("gap.mp4", _variable(_GAP), _GAP, rate=None, tolerance=0.0005, beeps=(BEEP_SECONDS,)),
        Clip("rotated.mp4", _rotated, size=(HEIGHT, WIDTH), beeps=(BEEP_SECONDS,), rotated=True),
        Clip(
            "odd.mkv",
            lambda path: make(path, "-vf", "format=bgr0", "-c:v", "ffv1", size=(161, 97)),
            size=(161, 97),
            tolerance=0.0006,
            error=0.0,
        ),
        Clip("pq.mp4", _ten_bit, bit_depth=10),
        Clip("full_range.mp4", _x264(matrix="bt709", tag="range=pc:colorspace=bt709")),
        Clip(
            "untagged720.mp4",
            _x264(matrix="bt709", frames=4, size=(1280, 720)),
            _times(RATE, 4),
            tuple(range(4)),
            size=(1280, 720),
        ),
        Clip("anamorphic.mp4", _x264("-aspect", "2:1"), aspect=Fraction(4, 3)),
        Clip(
            "late_video.mp4",
            lambda path: _offset(path, 0.4, "v"),
            _times(RATE, first=LATE),
            beeps=(BEEP_SECONDS,),
        ),
        Clip("late_audio.mp4", lambda path: _offset(path, 0.3, "a"), beeps=(BEEP_SECONDS + 0.3,)),
        Clip("stream.ts", _with_codec(*X264, audio=("-c:a", "mp2")), tolerance=0.1, beeps=(BEEP_SECONDS,)),
        Clip("edit_list.mp4", _edit_list, _times(RATE, 24), tuple(range(6, 30))),
        Clip("fragmented.mp4", _x264("-movflags", "+frag_keyframe+empty_moov", "-g", "10")),
        Clip("tracks.mkv", _tracks, tolerance=0.0006, beeps=(BEEP_SECONDS, 0.7), subtitles=1),
        Clip(
            "av1.webm",
            _with_codec("-c:v", "libsvtav1", "-crf", "10", "-preset", "10", audio=("-c:a", "libopus")),
            error=2.5,
            tolerance=0.008,
            beeps=(BEEP_SECONDS,),
        ),
        Clip(
            "prores_alpha.mov",
            _with_codec(
                *("-c:v", "prores_ks", "-profile:v", "4", "-alpha_bits", "16"),
                filters=yuv("bt709", "tv", "yuva444p10le", "range=tv:colorspace=bt709"),
            ),
            bit_depth=12,
        ),
        Clip("delays.gif", _gif, _DELAYS, rate=None, error=12.0),
        Clip(
            "interlaced.mpg",
            _with_codec(
                *("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme"),
                filters=f"{yuv()},setfield=tff",
                audio=("-c:a", "mp2"),
            ),
            tolerance=0.1,
            error=3.0,
            beeps=(BEEP_SECONDS,),
            interlaced=True,
        ),
        Clip("ntsc60.mp4", _x264(rate=NTSC), _times(NTSC), rate=NTSC),
        Clip("one_gop.mp4", _x264("-g", "1000", "-sc_threshold", "0")),
        Clip("one_frame.mp4", _x264(frames=1), _times(RATE, 1), (0,)),
        Clip("cover.mp4", _cover),
        Clip("resized.ts", _resized, tolerance=0.1, error=4.0),
        Clip("truncated.mp4", _truncated, rate=None, tolerance=1.0, error=255, damaged=True),
        Clip("corrupted.mp4", _corrupted, rate=None, tolerance=1.0, error=255, damaged=True),
        Clip("-dash ünï 視頻 %d 'q.mp4", _plain, beeps=(BEEP_SECONDS,)),
        Clip("pipe:x.mp4", _x264()),
    )
}
