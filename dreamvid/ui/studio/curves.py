"""Turn a schedule's text into points that a hand can move, and points into text, which stays the only form.

Keyframes of plain numbers are points. Everything else, such as `0.01 + 0.02*beat`, is an expression: its curve is drawn
and its text is edited.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dreamvid.errors import SettingsError
from dreamvid.settings.schedule import EASINGS, parse_schedule

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_KEYFRAME = re.compile(rf"\s*({_NUMBER})\s*(s|f)\s*:\s*({_NUMBER})\s*([a-z-]+)?\s*")
MOST_POINTS = 200


@dataclass(frozen=True)
class Point:
    """A keyframe: a time in seconds, a value, and the easing that leads to it."""

    time_seconds: float
    value: float
    easing: str = "linear"


def points_of(text: str, fps: float) -> list[Point] | None:
    """Return the points of a schedule's text; None for an expression. fps: of the video, for times in frames.

    A plain number is one point at 0 s. Raises SettingsError for text that is no schedule.
    """
    parse_schedule(text)
    try:
        return [Point(0.0, float(text))]
    except ValueError:
        pass
    points = []
    for part in text.split(","):
        match = _KEYFRAME.fullmatch(part)
        if not match:
            return None
        time, unit, value, easing = match.groups()
        points.append(Point(float(time) / (1 if unit == "s" else fps), float(value), easing or "linear"))
    return points


def text_of(points: Sequence[Point]) -> str:
    """Write points, in any order, as a schedule's text. Raises SettingsError.

    One point is a plain number. Of two points at one time, the later one in the sequence counts.
    """
    if not 1 <= len(points) <= MOST_POINTS:
        raise SettingsError(f"A curve has from 1 to {MOST_POINTS} points, got {len(points)}.")
    unique: dict[float, Point] = {}
    for point in points:
        if point.easing not in EASINGS:
            raise SettingsError(f"There is no easing {point.easing!r}. Allowed: {', '.join(EASINGS)}.")
        unique[round(max(0.0, point.time_seconds), 3)] = point
    if len(unique) == 1:
        (only,) = unique.values()
        return f"{only.value:.6g}"
    ordered = sorted(unique.items())
    text = ", ".join(
        f"{time:.6g}s: {point.value:.6g}" + (f" {point.easing}" if point.easing != "linear" else "")
        for time, point in ordered
    )
    parse_schedule(text)
    return text


def sampled(
    text: str,
    duration_seconds: float,
    fps: float,
    count: int = 400,
    signals: Mapping[str, Sequence[float]] = MappingProxyType({}),
    seed: int = 0,
) -> list[float]:
    """Evaluate a schedule at `count` times from 0 to the duration.

    signals: the sound's curves by name, one value a frame of the video; silence where there are none. Raises
    SettingsError for text that is no schedule, and for a value that is not finite.
    """
    schedule = parse_schedule(text)
    values = []
    for index in range(count):
        time = duration_seconds * index / max(1, count - 1)
        frame = int(time * fps)
        now = {
            name: float(signals[name][min(frame, len(signals[name]) - 1)]) if signals.get(name) else 0.0
            for name in schedule.names
        }
        values.append(schedule.at(time, frame, now, seed=seed))
    return values
