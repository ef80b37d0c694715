"""Turns settings into those of a draft: a quick, smaller render that looks like the final one.

A network's patterns have a fixed size in pixels of the octave in which they grow, so a smaller dream has larger
patterns. The draft keeps the coarsest octave and the number of octaves, and moves the finer ones closer to it, down to
an image of half the pixels. All steps are taken, so the dream is as strong as the final one, and only the finest
patterns are larger. The frame rate is halved. The half-life is in seconds and needs no change; frames are dreamed as
seldom as in calm parts of the video.
"""

import math
from fractions import Fraction
from typing import Protocol

from dreamvid.dream.octaves import enlarged_size, octave_sizes
from dreamvid.settings import Settings, merge
from dreamvid.settings.size import Size

# Height of the draft relative to the finest octave of the video, and number of its frames for one frame of the draft.
HEIGHT_PART, FRAMES_PART = math.sqrt(0.5), 2


class Format(Protocol):
    """Size and frame rate of a source, as its `VideoInfo` has them."""

    @property
    def size(self) -> Size:
        """In pixels."""

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""


def draft(settings: Settings, info: Format) -> Settings:
    """Return the settings for a source: changed if `draft` is set, else as they are.

    Schedules of the settings that the draft changes (the octaves) are dropped.
    """
    if not settings.video.draft:
        return settings
    height, width = settings.video.size_pixels() or info.size
    dream = settings.dream
    sizes = octave_sizes(
        *enlarged_size(height, width, dream_height=dream.dream_height),
        dream_height=dream.dream_height,
        octaves=dream.octaves,
        octave_scale=dream.octave_scale,
    )
    lines = max(16, _even(sizes[-1].height * HEIGHT_PART))
    shown = min(lines, max(16, _even(height * HEIGHT_PART)))  # a small frame is dreamed enlarged
    coarsest = min(sizes[0].height, lines)
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
            "coherence": {"cadence": settings.coherence.cadence_at(Fraction(rate) / FRAMES_PART)},
            "video": {
                "size": f"{max(16, _even(width * shown / height))}x{shown}",
                "fps": str(Fraction(rate) / FRAMES_PART),
                "frames": f"{first or ''}:{last}",
            },
        },
    )


def _even(length: float) -> int:
    return 2 * round(length / 2)
