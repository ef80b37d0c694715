"""Write animated GIFs."""

from dataclasses import dataclass
from pathlib import Path

from dreamvid.video.encoders import LOSSLESS, refuse_choices
from dreamvid.video.mux import EncodedSink, write_animation
from dreamvid.video.sink import Recording

_MAX_RATE = 50  # hundredths of a second are a GIF's unit, and players slow down what is shown for one only


@dataclass(frozen=True)
class Gif(EncodedSink):
    """A sink that converts lossless segments to an animated GIF."""

    def join(self, recording: Recording, output: Path) -> list[str]:
        """Convert the segments; see `Sink.join`."""
        starts, end = recording.timeline()
        warnings, filters = [], []
        too_fast = recording.count / (end - starts[0]) > _MAX_RATE
        if too_fast:
            filters.append(f"fps={_MAX_RATE}")
            warnings.append(f"a GIF shows at most {_MAX_RATE} images a second; frames are left out")
        # One palette per image: a dream has more colors than 256 in all.
        filters.append("split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1")
        write_animation(recording, output, self.muxer, filters, ["-loop", "0"], None if too_fast else recording.count)
        return warnings


class PLUGIN:
    """Opens GIFs."""

    @staticmethod
    def open(output: str, codec: str | None, crf: int | None) -> Gif:
        """Make the sink. Raises OutputError for a codec or a quality."""
        refuse_choices(".gif", codec, crf)
        return Gif(".gif", LOSSLESS, "gif", largest_side=65535)
