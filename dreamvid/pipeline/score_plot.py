"""The curves of a score as a picture."""

from pathlib import Path

import numpy as np

from dreamvid.pipeline.plot import COLOURS, Line, panel
from dreamvid.pipeline.score_result import Score
from dreamvid.video.image import write_image

_SOURCE_COLOUR = (150, 150, 150)


def plot_score(score: Score, path: str | Path) -> None:
    """Draw the per-frame curves, and what is newly seen by its age, into the picture `path`.

    Raises OutputError when it cannot be written.
    """
    seconds, ages = score.times_seconds, np.arange(len(score.revealed_strength), dtype=np.float64)
    blue, orange, green = COLOURS
    tone = [
        Line(label, values, colour)
        for name, colour in zip(("brightness", "contrast", "saturation"), COLOURS, strict=True)
        for label, values in (("", getattr(score, f"source_{name}")), (name, getattr(score, name)))
    ]
    tone = [line if line.label else Line("", line.values, _paler(line.colour)) for line in tone]
    error = [Line("source", score.source_error, _SOURCE_COLOUR), Line("dream", score.dream_error, blue)]
    revealed = [
        Line("strength", score.revealed_strength, blue),
        Line("change", score.revealed_change, orange),
    ]
    panels = [
        panel("warping error x 1e4, over seconds", seconds, error),
        panel("strength (objective over the source's)", seconds, [Line("", score.strength, blue)]),
        panel("tone of the dream (pale: of the source)", seconds, tone),
        panel("clipped by the dream, % of pixels", seconds, [Line("", 100 * score.clipped, green)]),
        panel("newly seen places relative to the rest, over frames since first seen", ages, revealed),
    ]
    write_image(path, np.concatenate(panels))


def _paler(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(255 - (255 - value) * 0.35) for value in colour)
    return red, green, blue
