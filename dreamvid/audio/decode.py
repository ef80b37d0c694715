"""Sound as samples, decoded by ffmpeg."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.errors import SourceError
from dreamvid.video.ffmpeg import REFUSED_FORMAT, Ffmpeg, level_and_text
from dreamvid.video.probing.streams import choose_audio, input_duration, read_streams
from dreamvid.video.source import FfmpegSource
from dreamvid.video.sources.file import FileSource

_SILENCE = 1e-5  # -100 dB
_ALIKE = 1e-4  # channels that differ by less than this part of their energy (-40 dB) are one
_TOLERANCE_SECONDS, _TOLERANCE_PART = 1.0, 0.05  # lengths that files declare may be estimates


def decode_audio(path: Path | str, rate: int = 22050) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the sound of a sound or video file to float32 samples, and their rate.

    Of several sound streams it is the one that players take. The samples are (n,) where all channels are alike, as in
    mono, else (n, channels). Time 0 is where the file starts: sound that begins later has silence in front. Sound
    that can be decoded only in part is told as a warning.

    Raises:
        SourceError: there is no such file, it has no sound, or nothing but silence, or cannot be decoded.
    """
    path = Path(path).expanduser()
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        kind = "is a folder" if os.path.isdir(path) else "is not there"  # noqa: PTH112
        raise SourceError(f"the sound file {path} {kind}. Give a sound or video file, such as song.wav.")
    return decode_source_audio(FileSource(text=str(path), paths=(path,)), rate)


def decode_source_audio(
    source: FfmpegSource, rate: int = 22050, seconds: float | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the sound of a source as `decode_audio` does, the first `seconds` of it; None: all."""
    with Ffmpeg([*source.input_args(), "-t", "0", "-f", "null", "-"], level="info") as process:
        process.wait()
        look, errors = [level_and_text(line)[1] for line in process.log], process.first_errors
    streams = read_streams(look)
    if not any(text.startswith("Input #0") for text in look):
        if any(REFUSED_FORMAT in error for error in errors):
            raise SourceError(
                f"{source.text} is a playlist or a script, which opens other files. Give the sound itself."
            )
        reason = " / ".join(errors[:2]) or "ffmpeg does not recognize it"
        raise SourceError(f"{source.text} is not sound that ffmpeg can read: {reason}")
    if not any(stream.kind == "Audio" for stream in streams):
        raise SourceError(f"{source.text} has no sound. Give a file with sound, or leave `audio` out.")
    chosen = choose_audio(streams)
    args = [*source.input_args(), "-map", f"0:{chosen.index}", "-ar", str(rate), "-c:a", "pcm_f32le"]
    args += ["-af", "aresample=async=1:first_pts=0", *([] if seconds is None else ["-t", f"{seconds:.6f}"])]
    films = [stream for stream in streams if stream.kind == "Video" and not stream.still and stream.size != (0, 0)]
    # A second, discarded output with the video: times then count from where the file starts.
    clock = ["-map", f"0:{films[0].index}", "-c", "copy", "-f", "null", "-"] if films and source.has_clock else []
    with Ffmpeg([*args, "-f", "wav", "pipe:1", *clock], stdout=True) as process:
        data = process.stdout.read()
        code = process.wait()
        errors, count = process.first_errors, process.error_count
    samples = _read_wav(data)
    if not samples.size:
        reason = " / ".join(errors[:2]) or (f"exit status {code}" if code else "its sound stream is empty")
        raise SourceError(f"{source.text} has no sound that can be decoded: {reason}.")
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    if float(np.abs(samples).max()) < _SILENCE:
        raise SourceError(f"{source.text} is silent from its beginning to its end: nothing in it could drive an image.")
    decoded, declared = len(samples) / rate, None if films or seconds else input_duration(look)
    short = declared is not None and decoded < declared * (1 - _TOLERANCE_PART) - _TOLERANCE_SECONDS
    if count or short:
        first = f"; ffmpeg's first error: {errors[0]}" if errors else ""
        of = f" of {declared:.1f} s" if declared is not None and short else ""
        warnings.warn(
            f"the sound of {source.text} can be decoded only in part: {decoded:.1f} s{of}{first}", stacklevel=2
        )
    return _without_copies(samples), rate


def _without_copies(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Reduce channels (n, channels) that are alike, but for what lossy coding did to them, to one (n,)."""
    mean = samples.mean(axis=1)
    apart = float(np.square(samples - mean[:, None]).mean())
    return mean if apart <= _ALIKE * float(np.square(mean).mean()) else samples


def _read_wav(data: bytes) -> npt.NDArray[np.float32]:
    """Read the samples (n, channels) of a WAV file in float32, as ffmpeg writes it to a pipe."""
    begin, position = data.find(b"fmt "), data.find(b"data")
    if begin < 0 or position < 0:
        return np.zeros((0, 1), np.float32)
    (channels,) = struct.unpack_from("<H", data, begin + 10)
    values = np.frombuffer(data, "<f4", (len(data) - position - 8) // 4, position + 8)
    return values[: values.size // channels * channels].reshape(-1, channels).astype(np.float32)
