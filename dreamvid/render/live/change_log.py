"""Log what was changed during a live session, and write it as a schedule file that `dreamvid run` replays."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dreamvid.render.live.inventory import Control
from dreamvid.settings import Recipe, Settings, merge
from dreamvid.settings.objective_timeline import ObjectiveKeyframe, ObjectiveTimeline, parse_timeline
from dreamvid.settings.schedule import LONGEST_KEYFRAMES, is_number, parse_schedule

_MOST_ENTRIES = 100_000  # of a setting; a knob that moves with every frame reaches it after an hour
_MOST_NOTES = 10_000
_TOLERANCE = 2e-3  # of a curve's range: what a straight line may differ from what was sampled


@dataclass(frozen=True)
class _Entry:
    """The value of a number, or its expression, from a time on. sampled: one of the many points of a curve."""

    time_seconds: float
    value: float | str
    sampled: bool = False


@dataclass(frozen=True)
class _ObjectiveChange:
    time_seconds: float
    before: str
    after: str
    fade_seconds: float


class ChangeLog:
    """What was changed and when, on the live clock.

    settings: those that the session began with. kind: that of the recipe, "run" or "zoom". controls: the settings that
    can change. Not for several threads.
    """

    def __init__(self, settings: Settings, kind: str, controls: Mapping[str, Control]) -> None:
        self._settings, self._kind, self._controls = settings, kind, controls
        self._numbers: dict[str, list[_Entry]] = {}
        self._objectives: list[_ObjectiveChange] = []
        self._others: dict[str, list[tuple[float, object]]] = {}
        self._notes: list[tuple[float, str]] = []
        self.dropped = 0

    def step(self, name: str, time_seconds: float, value: float | str) -> None:
        """Note that a number has another value, or follows an expression, from a time on."""
        self._add(name, _Entry(time_seconds, value))

    def sample(self, name: str, time_seconds: float, value: float) -> None:
        """Note the value of a number that changes from frame to frame."""
        self._add(name, _Entry(time_seconds, value, sampled=True))

    def objective(self, time_seconds: float, before: str, after: str, fade_seconds: float) -> None:
        """Note that the objective changes, or begins to."""
        self._objectives.append(_ObjectiveChange(time_seconds, before, after, fade_seconds))

    def other(self, name: str, time_seconds: float, value: object) -> None:
        """Note that a choice or a switch has another value, which no schedule can repeat."""
        self._others.setdefault(name, []).append((time_seconds, value))
        self.note(time_seconds, f"{name} = {value}")

    def note(self, time_seconds: float, text: str) -> None:
        """Note something that a schedule cannot repeat."""
        if len(self._notes) < _MOST_NOTES:
            self._notes.append((time_seconds, text))

    def _add(self, name: str, entry: _Entry) -> None:
        entries = self._numbers.setdefault(name, [])
        if len(entries) < _MOST_ENTRIES:
            entries.append(entry)
        else:
            self.dropped += 1

    def recipe(
        self, start_seconds: float, stop_seconds: float, fps: float, provenance: Mapping[str, Any] | None = None
    ) -> Recipe:
        """Make the recipe of a part of the session: `dreamvid run` repeats its changes on what was recorded of it.

        start_seconds, stop_seconds: the part, on the live clock. fps: frames per second of the recording, for schedules
        in frames. What cannot be repeated (choices and switches that changed meanwhile, actions) is listed in the
        recipe's provenance as `not_replayed`.
        """
        tables: dict[str, dict[str, Any]] = {}
        schedules: dict[str, str] = {}
        notes: list[str] = []
        for name, control in self._controls.items():
            if name == "objective":
                tables.setdefault(control.group, {})[name] = str(self._timeline(start_seconds, stop_seconds))
            elif control.kind in ("number", "integer"):
                if control.scheduled:
                    text, thinned = self._number(control, start_seconds, stop_seconds, fps)
                    schedules[name] = text
                    if thinned:
                        notes.append(f"{name} moved too often: only 1 in {thinned} of its values was kept")
            else:
                before = [value for time, value in self._others.get(name, []) if time <= start_seconds]
                value = before[-1] if before else getattr(getattr(self._settings, control.group), name)
                tables.setdefault(control.group, {})[name] = value
        plain = {name: text for name, text in schedules.items() if is_number(text)}
        for name, text in plain.items():
            tables.setdefault(self._controls[name].group, {})[name] = text
        moving = {name: text for name, text in schedules.items() if name not in plain}
        if any(parse_schedule(text).names for text in moving.values()):
            tables["video"] = {"audio": "source"}
        base = self._settings.model_copy(update={"schedules": {}})
        settings = merge(base, tables, {"schedules": moving})
        notes += [
            f"{time - start_seconds:.3f}s: {text}" for time, text in self._notes if start_seconds < time <= stop_seconds
        ]
        if self.dropped:
            notes.append(f"{self.dropped} later changes: there were too many to keep")
        return Recipe(settings, self._kind, {**(provenance or {}), **({"not_replayed": notes} if notes else {})})

    # --- numbers

    def _number(self, control: Control, start: float, stop: float, fps: float) -> tuple[str, int]:
        """Write a number over time as a schedule; say by how much it had to be thinned out, 0 if not at all."""
        first: float | str = self._settings.schedules.get(
            control.name, getattr(getattr(self._settings, control.group), control.name)
        )
        points = [_Point(0.0, first, "hold")]
        for entry in self._numbers.get(control.name, []):
            if entry.time_seconds > stop:
                break
            after_curve = isinstance(points[-1].value, str) or not entry.sampled
            easing = "hold" if after_curve else "linear"
            time = round(entry.time_seconds - start, 3)
            if time <= points[-1].seconds:
                points[-1] = _Point(points[-1].seconds, entry.value, points[-1].easing)
            else:
                points.append(_Point(time, entry.value, easing))
        points = _without_repeats(_straightened(points))
        if len(points) == 1 and not isinstance(points[0].value, str):
            return _text(points[0].value), 0
        thinned = 0
        while True:
            kept = points[:1] + points[1 :: thinned or 1]
            text = self._written(control, kept, start, fps)
            if len(text) <= LONGEST_KEYFRAMES:
                return text, thinned
            thinned = max(2, 2 * thinned)

    @staticmethod
    def _written(control: Control, points: "Sequence[_Point]", start: float, fps: float) -> str:
        values = [
            _bounded(control, _shifted(point.value, start, fps)) if isinstance(point.value, str) else _text(point.value)
            for point in points
        ]
        if len(points) == 1:
            return values[0]
        return ", ".join(
            f"{point.seconds:.10g}s: {value}" + (f" {point.easing}" if point.easing == "hold" and index else "")
            for index, (point, value) in enumerate(zip(points, values, strict=True))
        )

    # --- the objective

    def _timeline(self, start: float, stop: float) -> ObjectiveTimeline:
        """Write the objective over time; its times count from `start`."""
        keyframes = list(parse_timeline(self._settings.dream.objective).keyframes)
        for change in self._objectives:
            if change.time_seconds > stop:
                break
            now = change.time_seconds
            keyframes = [key for key in keyframes if key.time_seconds < now]
            after = parse_timeline(change.after).keyframes
            if len(after) > 1:
                present = max(ObjectiveTimeline(after).at(now), key=lambda pair: pair[1])[0]
                keyframes.append(ObjectiveKeyframe(present, now, "hold"))
                keyframes += [key for key in after if key.time_seconds > now]
            elif change.fade_seconds:
                keyframes.append(ObjectiveKeyframe(change.before, now, "hold"))
                keyframes.append(ObjectiveKeyframe(change.after, now + change.fade_seconds))
            else:
                keyframes.append(ObjectiveKeyframe(change.after, now, "hold"))
        present = max(ObjectiveTimeline(tuple(keyframes)).at(start), key=lambda pair: pair[1])[0]
        shifted = [ObjectiveKeyframe(present, 0.0)]
        for key in keyframes:
            time = round(key.time_seconds - start, 3)
            if time > shifted[-1].time_seconds and key.time_seconds <= stop:
                if key.objective == shifted[-1].objective and key.easing == "hold" and len(shifted) == 1:
                    shifted[-1] = ObjectiveKeyframe(present, 0.0)
                shifted.append(ObjectiveKeyframe(key.objective, time, key.easing))
        return ObjectiveTimeline(tuple(shifted))


class _Point(NamedTuple):
    seconds: float
    value: float | str
    easing: str


def _straightened(points: list[_Point]) -> list[_Point]:
    """Leave out the points of curves that a straight line passes through (Ramer 1972; Douglas and Peucker 1973)."""
    numbers = [point.value for point in points if not isinstance(point.value, str)]
    tolerance = _TOLERANCE * (max(numbers) - min(numbers)) if numbers else 0.0
    kept: list[_Point] = []
    run: list[_Point] = []
    for point in points:
        if point.easing == "hold":
            kept += _simplified(run, tolerance)
            run = [point]
        else:
            run.append(point)
    return kept + _simplified(run, tolerance)


def _simplified(run: list[_Point], tolerance: float) -> list[_Point]:
    """Simplify one curve: its first point may be a jump to it."""
    keep = {0, len(run) - 1}
    spans = [(0, len(run) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        (t0, v0, _), (t1, v1, _) = run[first], run[last]
        if isinstance(v0, str) or isinstance(v1, str):
            keep.add(first + 1)
            spans.append((first + 1, last))
            continue
        errors = [
            abs(float(value) - (v0 + (v1 - v0) * (time - t0) / (t1 - t0))) for time, value, _ in run[first + 1 : last]
        ]
        worst = max(range(len(errors)), key=errors.__getitem__)
        if errors[worst] > tolerance:
            middle = first + 1 + worst
            keep.add(middle)
            spans += [(first, middle), (middle, last)]
    return [point for index, point in enumerate(run) if index in keep]


def _without_repeats(points: list[_Point]) -> list[_Point]:
    """Leave out jumps to the value that is there already."""
    kept: list[_Point] = []
    for index, point in enumerate(points):
        follows = index + 1 < len(points) and points[index + 1].easing != "hold"
        if not kept or point.value != kept[-1].value or point.easing != "hold" or follows:
            kept.append(point)
    return kept


def _shifted(text: str, start: float, fps: float) -> str:
    """Move an expression in time, so that it begins where it was `start` seconds later."""
    if start == 0:
        return text
    text = re.sub(r"\bt\b", f"(t + {start:.3f})", text)
    return re.sub(r"\b(f|frame)\b", rf"(\1 + {round(start * fps)})", text)


def _bounded(control: Control, text: str) -> str:
    """Hold an expression within the bounds of its setting, as the live session does."""
    if control.minimum is None or control.maximum is None:
        return text
    return f"clamp({text}, {_text(control.within(control.minimum))}, {_text(control.maximum)})"


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.9g}"
