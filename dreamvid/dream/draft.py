"""A draft of a film: what the settings mean when it is to be quick.

A network's patterns have their size in pixels of the octave they grow in, so a smaller dream has larger patterns. The
draft keeps the coarsest octave as it is and their number, and moves the finer ones closer to it, down to an image of
half the pixels: all steps are taken, so that its strength is the film's, and only the finest patterns come out larger.
Memory is in seconds and so stays what it is at half the frame rate; the film's cadence stays a number of frames, so
that half as many are dreamed in a second.
"""

import math
from fractions import Fraction
from typing import Protocol

from dreamvid.dream.octaves import octave_sizes
from dreamvid.settings import Settings, merge

# Height of the draft relative to the finest octave of the film, and how many of its frames are one frame of the draft.
HEIGHT_PART, FRAMES_PART = math.sqrt(0.5), 2


class Format(Protocol):
    """Size and rate of a source, such as its `VideoInfo` has them."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""


def draft(settings: Settings, info: Format) -> Settings:
    """Resolve settings for a source: changed where `draft` is on, else as they are.

    Schedules of what the draft decides itself (the octaves) end.
    """
    if not settings.video.draft:
        return settings
    width, height = settings.video.size_pixels() or (info.width, info.height)
    dream = settings.dream
    sizes = octave_sizes(
        height, width, dream_height=dream.dream_height, octaves=dream.octaves, octave_scale=dream.octave_scale
    )
    lines = max(16, _even(sizes[-1][0] * HEIGHT_PART))
    coarsest = min(sizes[0][0], lines)
    octaves = len(sizes)
    scale = (lines / coarsest) ** (1 / (octaves - 1)) if octaves > 1 else dream.octave_scale
    start, stop = settings.video.frame_range()
    first = start // FRAMES_PART
    last = "" if stop is None else str(max(first + 1, -(-stop // FRAMES_PART)))
    rate = settings.video.rate() or info.frame_rate
    return merge(
        settings,
        {
            "dream": {"dream_height": lines, "octaves": octaves, "octave_scale": max(1.001, scale)},
            "coherence": {"cadence": settings.coherence.cadence_at(rate)},
            "video": {
                "size": f"{max(16, _even(width * lines / height))}x{lines}",
                "fps": str(Fraction(rate) / FRAMES_PART),
                "frames": f"{first or ''}:{last}",
            },
        },
    )


def _even(length: float) -> int:
    return 2 * round(length / 2)
