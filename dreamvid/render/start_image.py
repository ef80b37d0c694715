"""Read what an animation begins with: an image, a frame of a video, or noise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor

from dreamvid.camera.noise import noise_image
from dreamvid.errors import SourceError
from dreamvid.image.io import IMAGE_SUFFIXES, read_image
from dreamvid.image.tensors import fit_pixels
from dreamvid.settings import VideoSettings
from dreamvid.settings.size import Size
from dreamvid.video.source import Pixels, open_for_render, open_source
from dreamvid.video.still import frame_at, split_moment

NOISE = "noise"


@dataclass(frozen=True)
class StartImage:
    """The start of an animation. text: as the user named it. pixels: (H, W, 3); None for noise. paths: files read."""

    text: str
    pixels: "Pixels | None"
    fingerprint: str
    paths: tuple[Path, ...] = ()

    @classmethod
    def read(cls, text: str | Path, video: VideoSettings | None = None) -> Self:
        """Read an image, `noise`, or `VIDEO@TIME` (TIME in seconds, m:ss or h:mm:ss).

        video: how to open the video; None for the default settings.

        Raises SourceError for what cannot be read and for a time after the video's end.
        """
        name = str(text)
        path = Path(name).expanduser()
        if name == NOISE and not path.exists():
            return cls(name, None, NOISE)
        moment = split_moment(name)
        if moment is not None:
            file, seconds = moment
            source = open_for_render(file, video or VideoSettings())
            return cls(name, frame_at(source, seconds), f"{source.fingerprint()} at {seconds:g} s", source.paths)
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
            raise SourceError(
                f"An animation begins with one image, and {name} has the suffix {path.suffix or '(none)'!r}. "
                f"Of a video give a frame by its time: {name}@0:12. Allowed: {', '.join(IMAGE_SUFFIXES)}, noise, or "
                "VIDEO@TIME."
            )
        if not path.exists():
            raise SourceError(f"There is no image {name}. Give an image, VIDEO@TIME such as clip.mp4@0:12, or noise.")
        return cls(name, read_image(path), open_source(path).fingerprint(), (path,))

    def image(self, size: Size, seed: int) -> Tensor:
        """Return the start at a video's size, (1, 3, H, W) in [0, 1]; what does not fit is cut off."""
        if self.pixels is None:
            return noise_image(size, seed)
        return fit_pixels(self.pixels, size)
