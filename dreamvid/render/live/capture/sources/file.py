"""Play a video file, a filter graph or the demo in its own time, over and over; or begin an animation with an image."""

import os
from pathlib import Path

from dreamvid.errors import SourceError
from dreamvid.render.live.capture.source import IN_ITS_OWN_TIME, FfmpegInput, LiveInput, StartInput
from dreamvid.render.start_image import NOISE, StartImage
from dreamvid.video.ffmpeg import Ffmpeg, level_and_text
from dreamvid.video.probing.streams import read_streams
from dreamvid.video.source import SOURCES, FfmpegSource, open_source
from dreamvid.video.still import split_moment


class _File:
    form = "a video file, an image, noise, demo, lavfi:GRAPH"

    def claims(self, text: str) -> bool:
        if text == NOISE or split_moment(text) is not None or os.path.exists(Path(text).expanduser()):  # noqa: PTH110
            return True
        return any(SOURCES.load(name).claims(text) for name in SOURCES.names())

    def open(self, text: str) -> LiveInput:
        if text == NOISE and not Path(text).exists():
            return StartInput(text=text, start=StartImage.read(text))
        if split_moment(text) is not None:
            return StartInput(text=text, start=StartImage.read(text))
        if text == "-":
            raise SourceError(
                "A live dream does not read stdin. Write the video to an address instead, such as: "
                "ffmpeg -re -i clip.mp4 -f mpegts udp://127.0.0.1:5000, and: dreamvid live udp://127.0.0.1:5000"
            )
        source = open_source(text)
        if not isinstance(source, FfmpegSource):
            return StartInput(text=text, start=StartImage.read(text))
        loop = () if source.endless else ("-stream_loop", "-1")
        args = (*IN_ITS_OWN_TIME, *loop, *source.input_args())
        return FfmpegInput(text=text, input_args=args, kind="file", has_sound=_has_sound(source))

    def devices(self) -> list[tuple[str, str]]:
        return []


PLUGIN = _File()


def _has_sound(source: FfmpegSource) -> bool:
    """Look into the file. Raises SourceError for one that has no video."""
    with Ffmpeg([*source.input_args(), "-t", "0", "-f", "null", "-"], level="info") as process:
        process.wait()
        streams = read_streams([level_and_text(line)[1] for line in process.log])
        errors = process.first_errors
    if not any(stream.kind == "Video" for stream in streams):
        raise SourceError(f"{source.text} has no video that ffmpeg can read: {' / '.join(errors[:2]) or 'no stream'}")
    return any(stream.kind == "Audio" for stream in streams)
