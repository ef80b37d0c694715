"""One image out of what the user names: an image's file, or a video and a time."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.errors import SourceError
from dreamvid.image.fetch import fetch_image, is_address
from dreamvid.image.io import IMAGE_SUFFIXES, read_image
from dreamvid.image.tensors import to_8_bits
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import VideoInfo, probe
from dreamvid.video.source import Source, open_source

_TIME = re.compile(r"(.+)@(?:(\d+):)?(?:(\d+):)?(\d+\.?\d*|\.\d+)s?", re.DOTALL)


def read_frame(text: str | Path, *, allow_private_addresses: bool = False) -> npt.NDArray[np.uint8]:
    """Read an image, or of VIDEO@TIME the frame that is shown at that time; uint8 RGB (H, W, 3).

    TIME is in seconds, or M:SS, or H:MM:SS; without it, it is the first frame. A file that exists is taken as itself.
    An image at an http or https address is fetched, as `fetch` says. Raises SourceError, also for a time behind the
    end.
    """
    text = str(text)
    if is_address(text):
        return fetch_image(text, allow_private_addresses=allow_private_addresses)
    path = Path(text).expanduser()
    match = None if path.exists() else _TIME.fullmatch(text)
    name, seconds = text, 0.0
    if match:
        name = match[1]
        hours_or_minutes = [int(part) for part in match.groups()[1:3] if part is not None]
        for number in hours_or_minutes:
            seconds = 60 * seconds + number
        seconds = 60 * seconds + float(match[4])
    elif path.suffix.lower() in IMAGE_SUFFIXES:
        return read_image(path)
    source = open_source(name)
    info = probe(source)
    guess = int(seconds * info.frame_rate)
    pixels = _frame_at(source, info, seconds, guess) if guess else None
    if pixels is None:  # its rate varies, or the time is behind the end
        pixels = _frame_at(source, info, seconds, 0)
    if pixels is None:
        raise SourceError(f"{name} has no frame at {seconds:g} s: it is shorter. Give a time before its end.")
    return to_8_bits(pixels)


def _frame_at(
    source: Source, info: VideoInfo, seconds: float, start: int
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None:
    """The last frame whose time is not above `seconds`; None if frame `start` comes later, or nothing there does."""
    shown = None
    with FrameReader(source, info, start=start) as frames:
        for frame in frames:
            if frame.time_seconds > seconds + 1e-6:
                return shown
            shown, last = frame.pixels, frame.time_seconds
    # The last frame stays for as long as any other.
    return shown if shown is not None and seconds < last + 1 / info.frame_rate + 1e-6 else None
