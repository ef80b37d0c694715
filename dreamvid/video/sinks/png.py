"""Write sequences of PNG images, 8 or 16 bits deep."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.runtime.files import part_path, sync_folder
from dreamvid.video.encoders import LOSSLESS, refuse_choices
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.mux import EncodedSink, joined_segments
from dreamvid.video.sink import FileSequence, Recording, Sink, open_sink, output_forms

_NAME_IN_FOLDER = "frame_%06d.png"


@dataclass(frozen=True)
class PngSequence(EncodedSink):
    """A sink that converts lossless segments to numbered PNGs, from 0."""

    sequence: FileSequence

    def join(self, recording: Recording, output: Path) -> list[str]:
        """Convert the segments in a hidden folder and move the images when all are there; see `Sink.join`."""
        part = part_path(output.absolute())
        try:
            part.mkdir()
        except OSError as error:
            raise OutputError(f"cannot write in the folder {output.parent}: {error.strerror or error}") from error
        try:
            with joined_segments(recording) as images:
                pixel_format = "rgb24" if recording.spec.bit_depth <= 8 else "rgb48be"
                args = [*images, "-map", "0:v:0", "-fps_mode", "passthrough", "-c:v", "png", "-pix_fmt", pixel_format]
                folder = str(part).replace("%", "%%")
                args += ["-f", "image2", "-start_number", "0", f"file:{folder}/%09d.png"]
                with Ffmpeg(args) as process:
                    process.finish(f"writing {output}")
            made = sorted(part.iterdir())
            if len(made) != recording.count:
                raise FfmpegError(f"the result {output} has {len(made)} images where {recording.count} were rendered")
            try:
                output.mkdir(exist_ok=True)
                for number, image in enumerate(made):
                    image.replace(output / self.sequence.name(number))
                sync_folder(output)
            except OSError as error:
                raise OutputError(f"cannot write in {output}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(part)
        return []

    def preview(self) -> Sink:
        """Return the sink that joins the same segments to a lossless video."""
        return open_sink("preview.mkv", self.encoding.codec)


class PLUGIN:
    """Opens sequences of PNGs: a pattern of names, or a folder."""

    @staticmethod
    def open(output: str, codec: str | None, crf: int | None) -> PngSequence:
        """Make the sink. Raises OutputError for a codec, a quality, and a single PNG."""
        refuse_choices(".png", codec, crf)
        sequence = FileSequence(_NAME_IN_FOLDER)
        if Path(output).suffix.lower() == ".png" and not Path(output).is_dir() and not output.endswith("/"):
            named = FileSequence.from_name(Path(output).name)
            if named is None:
                raise OutputError(
                    f"cannot write a video with the suffix '.png': {output}. A single PNG is not a video: write "
                    f"name_%06d.png. Allowed: {output_forms()}."
                )
            sequence = named
        return PngSequence(".png", LOSSLESS, "image2", sequence)
