"""Write animated WebP images."""

from dataclasses import dataclass
from pathlib import Path

from dreamvid.video.encoders import LOSSLESS, refuse_choices
from dreamvid.video.mux import EncodedSink, write_animation
from dreamvid.video.sink import Recording


@dataclass(frozen=True)
class WebP(EncodedSink):
    """A sink that converts lossless segments to an animated WebP."""

    def join(self, recording: Recording, output: Path) -> list[str]:
        """Convert the segments; see `Sink.join`."""
        options = ["-c:v", "libwebp_anim", "-quality", "80", "-loop", "0"]
        write_animation(recording, output, self.muxer, [], options, None)  # ffmpeg counts it as one packet
        return []


class PLUGIN:
    """Opens WebPs."""

    @staticmethod
    def open(output: str, codec: str | None, crf: int | None) -> WebP:
        """Make the sink. Raises OutputError for a codec or a quality."""
        refuse_choices(".webp", codec, crf)
        return WebP(".webp", LOSSLESS, "webp", largest_side=16383)
