"""Sound as samples, decoded by ffmpeg."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.errors import SourceError
from dreamvid.video.ffmpeg import REFUSED_FORMAT, Ffmpeg, file_args

_SILENCE = 1e-5  # -100 dB


def decode_audio(path: Path | str, rate: int = 22050) -> tuple[npt.NDArray[np.float32], int]:
    """Decode the first sound stream of a sound or video file to mono float32 samples (n,), and their rate.

    Time 0 is where the file starts: sound that begins later has silence in front.

    Raises:
        SourceError: there is no such file, it has no sound, or nothing but silence, or cannot be decoded.
    """
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        kind = "is a folder" if os.path.isdir(path) else "is not there"  # noqa: PTH112
        raise SourceError(f"the sound file {path} {kind}. Give a sound or video file, such as song.wav.")
    args = [*file_args(), "-i", f"file:{path.absolute()}", "-map", "0:a:0", "-ac", "1", "-ar", str(rate)]
    args += ["-af", "aresample=async=1:first_pts=0", "-f", "f32le", "pipe:1"]
    with Ffmpeg(args, stdout=True, level="info") as process:
        data = process.stdout.read()
        code = process.wait()
        if code != 0 and not data:
            said = " ".join(process.log)
            if "matches no streams" in said:
                raise SourceError(f"{path} has no sound. Give a file with sound, or leave `audio` out.")
            if REFUSED_FORMAT in said:
                raise SourceError(f"{path} is a playlist or a script, which opens other files. Give the sound itself.")
            words = " / ".join(process.first_errors[:2]) or f"exit status {code}"
            raise SourceError(f"{path} is no sound that ffmpeg can read: {words}")
    samples = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4").astype(np.float32)
    if not samples.size:
        raise SourceError(f"{path} has no sound: its sound stream is empty.")
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    if float(np.abs(samples).max()) < _SILENCE:
        raise SourceError(f"{path} is silent from its beginning to its end: nothing in it could drive an image.")
    return samples, rate
