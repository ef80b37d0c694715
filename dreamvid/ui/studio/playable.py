"""Make a copy of a video for the browser, where that cannot play the file itself: ProRes, HEVC, GIF, AVI …"""

import threading
from pathlib import Path

from dreamvid.errors import SourceError
from dreamvid.runtime.files import part_path
from dreamvid.ui.studio.film import cache_key
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import FILE_KINDS, FfmpegSource, open_source

_MOST_LINES = 720
_ONE_AT_A_TIME = threading.Lock()


def playable_copy(path: Path, cache: Path) -> Path:
    """Make, or find in the cache, an H.264 copy of a video of at most 720 lines. Raises SourceError, FfmpegError."""
    kept = cache / f"{cache_key(path)}.play.mp4"
    with _ONE_AT_A_TIME:
        if kept.is_file():
            return kept
        source = open_source(path, kinds=FILE_KINDS)
        if not isinstance(source, FfmpegSource):
            raise SourceError(f"{path.name} is not a video.")
        info = probe(source)
        kept.parent.mkdir(exist_ok=True)
        part = part_path(kept)
        try:
            run_ffmpeg(
                [
                    *(*info.decoder_args, *source.input_args(), "-map", f"0:{info.stream}", "-map", "0:a:0?", "-sn"),
                    *("-vf", f"scale=-2:'2*trunc(min({_MOST_LINES},ih)/2)',format=yuv420p"),
                    *("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac"),
                    *("-movflags", "+faststart", "-f", "mp4", f"file:{part}"),
                ],
                f"making a copy of {path.name} that a browser plays",
            )
            part.replace(kept)
        finally:
            part.unlink(missing_ok=True)
    return kept
