"""One image out of what the user names: an image file, or a video and a time."""

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.errors import SourceError
from dreamvid.image.fetch import fetch_image, is_address
from dreamvid.image.io import IMAGE_SUFFIXES, read_image
from dreamvid.image.tensors import to_8_bits
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import Pixels, Source, open_source

_TIME = re.compile(r"(.+)@(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)s?", re.DOTALL)
_SAME_SECONDS = 1e-6  # times are compared after they were converted to seconds


def read_frame(text: str | Path, *, allow_private_addresses: bool = False) -> npt.NDArray[np.uint8]:
    """Read an image, or of VIDEO@TIME the frame that is shown at that time; uint8 RGB (H, W, 3).

    TIME is in seconds, M:SS or H:MM:SS; without it, the first frame is read. A file that exists is taken as itself.
    An image at an http or https address is fetched, as `fetch` describes. Raises SourceError, also for a time after the
    end.
    """
    text = str(text)
    if is_address(text):
        return fetch_image(text, allow_private_addresses=allow_private_addresses)
    path = Path(text).expanduser()
    moment = split_moment(text)
    if moment is None and path.suffix.lower() in IMAGE_SUFFIXES:
        return read_image(path)
    name, seconds = moment or (text, 0.0)
    return to_8_bits(frame_at(open_source(name), seconds))


def split_moment(text: str) -> tuple[str, float] | None:
    """Split VIDEO@TIME into the video and the time in seconds; None for other texts and for a file that exists."""
    match = None if Path(text).expanduser().exists() else _TIME.fullmatch(text)
    if match is None:
        return None
    name, hours, minutes, seconds = match.groups()
    return name, 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(seconds)


def frame_at(source: Source, seconds: float) -> Pixels:
    """Read the frame that is shown at a time: the last one that begins by then, on the video's own clock.

    Before the first frame that is the first one; the last one is shown for as long as the frames are on average. Raises
    SourceError for a later time.
    """
    info = probe(source)
    count = math.ceil((seconds + 1) * info.frame_rate)
    while True:  # the rate may vary, so that more frames come before this time
        seen = scan(source, info, count)
        times = [float(pts * info.time_base) for pts in seen.pts]
        if seen.complete or times[-1] > seconds:
            break
        count *= 2
    if seconds >= times[-1] + 1 / float(seen.frame_rate) + _SAME_SECONDS:
        raise SourceError(
            f"{source.text} has no frame at {seconds:g} s: it ends at {times[-1] + 1 / float(seen.frame_rate):.2f} s. "
            "Give a time before its end."
        )
    index = max((number for number, time in enumerate(times) if time <= seconds + _SAME_SECONDS), default=0)
    with FrameReader(source, info, scan=seen, start=index, stop=index + 1) as reader:
        for frame in reader:
            return frame.pixels
    raise SourceError(f"{source.text} could be decoded once, but not a second time. Is it still there as it was?")
