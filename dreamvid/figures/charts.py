"""Draws curves as images, with OpenCV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.image.io import write_image
from dreamvid.metrics.report import Score
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, Settings
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.schedule import parse_schedule
from dreamvid.settings.schema import flag_name, numeric_fields

_WIDTH, _PANEL_HEIGHT = 960, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 26
_INK, _PALE = (40, 40, 40), (225, 225, 225)

COLORS = ((0, 114, 178), (213, 94, 0), (0, 158, 115))
"""The first three of Okabe and Ito's colors, which color-blind people can tell apart, as RGB."""

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A curve's values, its name ('' for none) and its color."""

    label: str
    values: Curve
    color: tuple[int, int, int]


def panel(title: str, x: Curve, lines: Sequence[Line]) -> npt.NDArray[np.uint8]:
    """Draw curves over x into one panel, uint8 (H, W, 3), from 0 or their minimum to a round number."""
    canvas = np.full((_PANEL_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = np.concatenate([line.values for line in lines])
    finite = values[np.isfinite(values)]
    step = _round_step(max(finite.max(initial=0.0) - finite.min(initial=0.0), 1e-6) / 4)
    low = step * math.floor(finite.min(initial=0.0) / step)
    high = max(step * math.ceil(finite.max(initial=0.0) / step), low + step)
    span = max(float(x[-1] - x[0]), 1e-6)

    def position(at: float, value: float) -> tuple[int, int]:
        across = (at - x[0]) / span * (_WIDTH - _LEFT - _RIGHT)
        up = (value - low) / (high - low) * (_PANEL_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across), round(_PANEL_HEIGHT - _BOTTOM - up)

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        cv2.line(canvas, position(x[0], value), position(x[-1], value), _PALE, 1)
        _write(canvas, f"{value:.6g}", (6, position(x[0], value)[1] + 4))
    ticks = _round_step(span / 10)
    for number in range(math.ceil(x[0] / ticks), math.floor(x[-1] / ticks) + 1):
        _write(canvas, f"{number * ticks:.6g}", (position(number * ticks, low)[0] - 6, _PANEL_HEIGHT - 8))
    end = _write(canvas, title, (_LEFT, 18))
    for line in lines:
        _draw(
            canvas,
            [position(at, v) if math.isfinite(v) else None for at, v in zip(x, line.values, strict=True)],
            line,
        )
        end = _write(canvas, line.label, (end + 20, 18), line.color) if line.label else end
    return canvas


def _draw(canvas: npt.NDArray[np.uint8], points: Sequence[tuple[int, int] | None], line: Line) -> None:
    """Join neighboring points; a missing point leaves a gap, and a single one is drawn as a dot."""
    before = None
    for point in points:
        if point is not None:
            cv2.line(canvas, before or point, point, line.color, 2, cv2.LINE_AA)
        before = point


def _write(canvas: npt.NDArray[np.uint8], text: str, at: tuple[int, int], color: tuple[int, int, int] = _INK) -> int:
    """Write a line of text; return where it ends."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, 1, cv2.LINE_AA)
    return at[0] + cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]


def _round_step(value: float) -> float:
    """Return the smallest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is not below `value`."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= value * (1 - 1e-9))


_RATE = 30
_BEAT_SECONDS = 0.5


def plot_schedules(settings: Settings, path: str | Path) -> int:
    """Draw every schedule, and the objectives in turn, over the length of the video, into the image `path`.

    Schedules that listen to sound get a drum twice a second. Returns the number of panels; if there are none, nothing
    is written. Raises SettingsError for a value out of bounds, OutputError when it cannot be written.
    """
    seconds = np.arange(round(_length_seconds(settings) * _RATE) + 1) / _RATE
    panels = []
    timeline = parse_timeline(settings.dream.objective)
    if len(timeline.keyframes) > 1:
        weights = [dict(timeline.at(float(now))) for now in seconds]
        lines = [
            Line(text, np.array([weight.get(text, 0.0) for weight in weights]), COLORS[number % len(COLORS)])
            for number, text in enumerate(timeline.objectives)
        ]
        panels.append(panel("objective", seconds, lines))
    moments = [settings.at(float(now), number, _drum(float(now))) for number, now in enumerate(seconds)]
    for name, text in settings.schedules.items():
        group, field = numeric_fields()[name]
        unit = field.json_schema_extra.get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
        values = np.array([float(getattr(getattr(moment, group), name)) for moment in moments])
        heard = " (to a drum, twice a second)" if parse_schedule(text).names else ""
        title = f"{flag_name(name)} {unit and f'[{unit}]'} = {_shortened(text)}{heard}"
        panels.append(panel(title, seconds, [Line("", values, COLORS[0])]))
    if panels:
        write_image(path, _stacked(panels))
    return len(panels)


def _length_seconds(settings: Settings) -> float:
    stop = settings.video.frame_range()[1] or DEFAULT_ANIMATION_FORMAT.frame_range()[1] or 1
    return float(stop / (settings.video.rate() or DEFAULT_ANIMATION_FORMAT.rate() or 1))


def _drum(seconds: float) -> dict[str, float]:
    since = seconds % _BEAT_SECONDS
    level = float(0.5 ** (since / 0.12))
    return {"rms": level, "bass": level, "mid": 0.5 * level, "treble": 0.3 * level, "onset": level, "beat": level}


def _shortened(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:69]}..."


def _stacked(panels: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    return np.concatenate(panels)


_SOURCE_COLOR = (150, 150, 150)


def plot_score(score: Score, path: str | Path) -> None:
    """Draw the per-frame curves, and disoccluded regions by their age, into the image `path`.

    Raises OutputError when it cannot be written.
    """
    seconds, ages = score.times_seconds, np.arange(len(score.revealed_strength), dtype=np.float64)
    blue, orange, green = COLORS
    tone = [
        Line(label, values, color)
        for name, color in zip(("brightness", "contrast", "saturation"), COLORS, strict=True)
        for label, values in (("", getattr(score, f"source_{name}")), (name, getattr(score, name)))
    ]
    tone = [line if line.label else Line("", line.values, _paler(line.color)) for line in tone]
    error = [Line("source", score.source_error, _SOURCE_COLOR), Line("dream", score.dream_error, blue)]
    revealed = [
        Line("strength", score.revealed_strength, blue),
        Line("change", score.revealed_change, orange),
    ]
    panels = [
        panel("warping error x 1e4, over seconds", seconds, error),
        panel("strength (objective over the source's)", seconds, [Line("", score.strength, blue)]),
        panel("tone of the dream (pale: of the source)", seconds, tone),
        panel("clipped by the dream, % of pixels", seconds, [Line("", 100 * score.clipped, green)]),
        panel("flashing blocks, number", seconds, [Line("", score.flashing_blocks, orange)]),
        panel("noisy blocks, per mille", seconds, [Line("", score.noise, orange)]),
        panel("evenness: mean change of the blocks' strength, %", seconds, [Line("", score.evenness, orange)]),
        panel("disoccluded regions relative to the rest, over frames since they came into view", ages, revealed),
    ]
    write_image(path, np.concatenate(panels))


def _paler(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(255 - (255 - value) * 0.35) for value in color)
    return red, green, blue
