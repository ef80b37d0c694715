"""What an animation begins with: an image, a moment of a film, or noise."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor

from dreamvid.camera.noise import noise_image
from dreamvid.errors import SourceError
from dreamvid.image.io import IMAGE_SUFFIXES, read_image
from dreamvid.image.tensors import fit, to_tensor
from dreamvid.video.decode import FrameReader, Pixels
from dreamvid.video.probe import probe
from dreamvid.video.source import Source, open_source

NOISE = "noise"

_MOMENT = re.compile(r"(.+)@(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?")


@dataclass(frozen=True)
class StartImage:
    """The start as the user named it, and its pixels (H, W, 3); None for noise."""

    text: str
    pixels: Pixels | None
    fingerprint: str
    paths: tuple[Path, ...] = ()

    @classmethod
    def read(cls, text: str | Path) -> Self:
        """Read an image, `noise`, or `VIDEO@TIME` (TIME in seconds, m:ss or h:mm:ss).

        Raises SourceError for what cannot be read and for a time behind the film's end.
        """
        name = str(text)
        path = Path(name).expanduser()
        if name == NOISE and not path.exists():
            return cls(name, None, NOISE)
        moment = _MOMENT.fullmatch(name)
        if moment and not path.exists():
            film, hours, minutes, seconds = moment.groups()
            time = 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)
            source = open_source(film)
            return cls(name, _frame_at(source, time), f"{source.fingerprint()} at {time:g} s", source.paths)
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
            raise SourceError(
                f"An animation begins with one image, and {name} has the suffix {path.suffix or '(none)'!r}. "
                f"Of a film give a moment: {name}@0:12. Allowed: {', '.join(IMAGE_SUFFIXES)}, noise, or VIDEO@TIME."
            )
        if not path.exists():
            raise SourceError(f"There is no image {name}. Give an image, VIDEO@TIME such as clip.mp4@0:12, or noise.")
        return cls(name, read_image(path), open_source(path).fingerprint(), (path,))

    def image(self, size: tuple[int, int], seed: int) -> Tensor:
        """The start at a film's size (width, height), (1, 3, H, W) in [0, 1]; what does not fit is cut off."""
        if self.pixels is None:
            return noise_image(size, seed)
        return fit(to_tensor(self.pixels), size)


def _frame_at(source: Source, seconds: float) -> Pixels:
    info = probe(source)
    last: tuple[float, Pixels] | None = None
    with FrameReader(source, info) as reader:
        for frame in reader:
            at = float(frame.pts * reader.time_base)
            if last is not None and at > seconds + 1e-6:
                return last[1]
            last = (at, frame.pixels)
    if last is None or seconds > last[0] + 1 / float(info.frame_rate) + 1e-6:
        end = "has no frames" if last is None else f"ends at {last[0]:.2f} s"
        raise SourceError(
            f"There is no frame at {seconds:g} s: {source.text} {end}. Give an earlier time: {source.text}@0"
        )
    return last[1]
