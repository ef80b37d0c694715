"""A video file as a source."""

import os
from dataclasses import dataclass
from pathlib import Path

from dreamvid.image.content import identify
from dreamvid.image.io import IMAGE_SUFFIXES
from dreamvid.video.ffmpeg import file_args, require_feature
from dreamvid.video.source import FfmpegSource, SourceOptions, hash_content


@dataclass(frozen=True, kw_only=True)
class FileSource(FfmpegSource):
    """One file that ffmpeg reads. demuxer: the format's name where ffmpeg has to be told; "" otherwise."""

    kind: str = "file"
    demuxer: str = ""

    def input_args(self) -> list[str]:
        """List ffmpeg's options that open the file."""
        # `file:` keeps names such as `-x.mp4` and `pipe:x.mp4` from meaning something else.
        demuxer = ["-f", self.demuxer] if self.demuxer else []
        return [*file_args(), *demuxer, "-i", f"file:{self.paths[0].absolute()}"]

    def fingerprint(self) -> str:
        """Hash the file: its size and its first, middle and last MiB."""
        return hash_content(self.kind, self.paths)


class _File:
    form = "a video file"

    def claims(self, text: str) -> bool:
        path = Path(text).expanduser()
        return os.path.exists(path) and not path.is_dir() and identify(path).kind == "video"  # noqa: PTH110

    def open(self, text: str, options: SourceOptions) -> FileSource:
        path = Path(text).expanduser()
        demuxer = identify(path).demuxer
        if demuxer == "webp_anim":
            require_feature("demuxer", demuxer, "animated WebP")
        # The other formats are recognized by ffmpeg, unless the name makes it look for numbered images.
        told = demuxer if demuxer == "webp_anim" or path.suffix.lower() in IMAGE_SUFFIXES else ""
        return FileSource(text=text, paths=(path,), stream=options.stream, demuxer=told)


PLUGIN = _File()
