"""Curves as a picture, drawn with OpenCV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

_WIDTH, _PANEL_HEIGHT = 960, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 26
_INK, _PALE = (40, 40, 40), (225, 225, 225)

COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115))
"""The first three of Okabe and Ito's colours, which the colour-blind tell apart, as RGB."""

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A curve's values, its name ('' for none) and its colour."""

    label: str
    values: Curve
    colour: tuple[int, int, int]


def panel(title: str, x: Curve, lines: Sequence[Line]) -> npt.NDArray[np.uint8]:
    """Draw curves over x into one field, uint8 (H, W, 3), from 0 or their least to a round number."""
    canvas = np.full((_PANEL_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = np.concatenate([line.values for line in lines])
    finite = values[np.isfinite(values)]
    step = _round_step(max(finite.max(initial=0.0) - finite.min(initial=0.0), 1e-6) / 4)
    low = step * math.floor(finite.min(initial=0.0) / step)
    high = max(step * math.ceil(finite.max(initial=0.0) / step), low + step)
    span = max(float(x[-1] - x[0]), 1e-6)

    def place(at: float, value: float) -> tuple[int, int]:
        across = (at - x[0]) / span * (_WIDTH - _LEFT - _RIGHT)
        up = (value - low) / (high - low) * (_PANEL_HEIGHT - _TOP - _BOTTOM)
        return round(_LEFT + across), round(_PANEL_HEIGHT - _BOTTOM - up)

    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        cv2.line(canvas, place(x[0], value), place(x[-1], value), _PALE, 1)
        _write(canvas, f"{value:.6g}", (6, place(x[0], value)[1] + 4))
    ticks = _round_step(span / 10)
    for number in range(math.ceil(x[0] / ticks), math.floor(x[-1] / ticks) + 1):
        _write(canvas, f"{number * ticks:.6g}", (place(number * ticks, low)[0] - 6, _PANEL_HEIGHT - 8))
    end = _write(canvas, title, (_LEFT, 18))
    for line in lines:
        _draw(
            canvas,
            [place(at, v) if math.isfinite(v) else None for at, v in zip(x, line.values, strict=True)],
            line,
        )
        end = _write(canvas, line.label, (end + 20, 18), line.colour) if line.label else end
    return canvas


def _draw(canvas: npt.NDArray[np.uint8], places: Sequence[tuple[int, int] | None], line: Line) -> None:
    """Join neighbours; where one is missing the curve has a gap, and what stands alone is a dot."""
    before = None
    for place in places:
        if place is not None:
            cv2.line(canvas, before or place, place, line.colour, 2, cv2.LINE_AA)
        before = place


def _write(canvas: npt.NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int] = _INK) -> int:
    """Write a line of text; return where it ends."""
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    return at[0] + cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]


def _round_step(value: float) -> float:
    """The least of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is not below `value`."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= value * (1 - 1e-9))
