"""Read and change the schedules of what is tuned: as text, and as a curve over the film's sound and its shots."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dreamvid.errors import DreamvidError, SettingsError
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT
from dreamvid.settings.objective_timeline import ObjectiveKeyframe, ObjectiveTimeline, parse_timeline
from dreamvid.settings.schedule import SIGNALS, parse_schedule
from dreamvid.settings.schema import numeric_fields
from dreamvid.ui.studio.controls import controls
from dreamvid.ui.studio.curves import MOST_POINTS, Point, points_of, sampled, text_of
from dreamvid.ui.studio.film import CURVES_RATE, FilmFacts, film_facts, signals
from dreamvid.ui.studio.page.state import OWN_SOUND, Kind, Tuning

OBJECTIVE = "objective"


def scheduled_names(kind: Kind) -> dict[str, str]:
    """Name what can change over time, with its label: the objective, and every number but the seed."""
    return {OBJECTIVE: OBJECTIVE} | {control.name: control.label for control in controls(kind) if control.can_change}


def schedule_text(tuning: Tuning, name: str) -> str:
    """Return the text of what is in force: a schedule, or the number that does not change."""
    settings = tuning.shown()
    if name == OBJECTIVE:
        return settings.dream.objective
    schedule = settings.schedules.get(name)
    if schedule is not None:
        return schedule
    group = numeric_fields()[name][0]
    return f"{getattr(getattr(settings, group), name):.6g}"


def take_schedule(tuning: Tuning, name: str, text: str) -> str:
    """Let a number or the objective change over time; return what should be known of it. Raises DreamvidError.

    A film's schedule that follows sound follows the film's own, unless another was chosen.
    """
    if name not in scheduled_names(tuning.kind):
        raise SettingsError(f"{name!r} cannot change over time.")
    before = dict(tuning.overrides)
    try:
        tuning.overrides[name] = text
        settings = tuning.settings()
        follows = any(parse_schedule(one).names for one in settings.schedules.values())
        silent = follows and settings.video.audio is None
        if silent and tuning.kind == "run":
            if not (facts := _film(tuning)) or not facts.waveform:
                raise SettingsError(
                    f"`{name}` follows sound, and the film has none. Choose a file as `audio` in the group Video."
                )
            tuning.overrides["audio"] = OWN_SOUND
            settings = tuning.settings()
        duration, fps = span(tuning)
        heard = _heard(tuning)
        settings.check_schedules(duration, fps, lambda frame: _at(heard, frame / fps))
    except DreamvidError:
        tuning.overrides = before
        raise
    return "It follows sound, and there is no music yet: choose a file as `audio`." if silent and not heard else ""


def span(tuning: Tuning) -> tuple[float, float]:
    """Return the duration of what is tuned, in seconds, and its frames per second."""
    video = tuning.shown().video
    facts = _film(tuning)
    if facts is not None and facts.duration_seconds:
        return facts.duration_seconds, facts.fps
    default = DEFAULT_ANIMATION_FORMAT
    stop, rate = video.frame_range()[1] or default.frame_range()[1], video.rate() or default.rate()
    assert stop is not None
    assert rate is not None
    return float(stop / rate), float(rate)


def curve_of(tuning: Tuning, name: str, text: str) -> dict[str, Any]:
    """Describe a schedule for the page's curve editor, over the sound and the shots."""
    duration, fps = span(tuning)
    film, sound = _film(tuning), _sound(tuning)
    found: dict[str, Any] = {
        "name": name,
        "duration": duration,
        "waveform": _waveform(sound, duration),
        "beats": [beat for beat in sound.beats if beat <= duration] if sound else [],
        "shots": list(film.shots) if film else [],
        "layer": parse_timeline(tuning.shown().dream.objective).objectives[0],
    }
    if name == OBJECTIVE:
        points = [
            {"t": one.time_seconds, "v": None, "easing": one.easing, "text": one.objective}
            for one in parse_timeline(text).keyframes
        ]
        scale = {"low": 0, "high": 1, "least": 0, "most": 1}
        return {**found, **scale, "form": "objective", "points": points, "curve": []}
    control = next(control for control in controls(tuning.kind) if control.name == name)
    heard = _heard(tuning)
    try:
        curve = sampled(text, duration, CURVES_RATE if heard else fps, signals=heard, seed=tuning.shown().render.seed)
    except SettingsError:
        curve = []
    points_ = points_of(text, fps)
    values = [*curve, *(point.value for point in points_ or ())]
    low = min([control.low if control.low is not None else 0.0, *values])
    high = max([control.high if control.high is not None else 1.0, *values])
    least, most = _limits(name)
    return {
        **found,
        "form": "expression" if points_ is None else "points",
        "points": [{"t": one.time_seconds, "v": one.value, "easing": one.easing} for one in points_ or ()],
        "curve": curve,
        "low": 0.0 if 0 < low < 0.2 * high else low,
        "high": high,
        "least": least,
        "most": most,
        "whole": control.form == "whole number",
    }


def text_of_given(name: str, given: object) -> str:
    """Write points that a page sent as a schedule's text. Raises SettingsError."""
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_POINTS:
        raise SettingsError(f"A curve has from 1 to {MOST_POINTS} points.")
    points, keyframes = [], []
    for entry in given:
        if not isinstance(entry, dict):
            raise SettingsError("A point has a time, a value and an easing.")
        time, value, easing = entry.get("t"), entry.get("v"), str(entry.get("easing"))
        if not isinstance(time, int | float) or not math.isfinite(time):
            raise SettingsError("A point needs a time.")
        if name == OBJECTIVE:
            keyframes.append(ObjectiveKeyframe(str(entry.get("text", "")).strip(), round(max(0.0, time), 3), easing))
        elif isinstance(value, int | float) and math.isfinite(value):
            points.append(Point(float(time), float(value), easing))
        else:
            raise SettingsError("A point needs a value.")
    if name != OBJECTIVE:
        return text_of(points)
    text = str(ObjectiveTimeline(tuple(sorted(keyframes, key=lambda keyframe: keyframe.time_seconds))))
    parse_timeline(text)
    return text


def _film(tuning: Tuning) -> FilmFacts | None:
    """Return the facts of the film; None for an animation and while there is none."""
    return _facts(tuning, tuning.moment.source) if tuning.kind == "run" else None


def _sound(tuning: Tuning) -> FilmFacts | None:
    """Return the facts of the sound that schedules follow: a file that was chosen, else the film's own."""
    name = _sound_file(tuning)
    return None if name is None else _facts(tuning, name)


def _sound_file(tuning: Tuning) -> str | None:
    audio = tuning.shown().video.audio
    if audio not in (None, OWN_SOUND):
        return audio
    return tuning.moment.source if tuning.kind == "run" else None


def _facts(tuning: Tuning, name: str) -> FilmFacts | None:
    try:
        return film_facts(tuning.workspace.file(name), tuning.workspace.cache)
    except DreamvidError:
        return None


def _heard(tuning: Tuning) -> Mapping[str, Sequence[float]]:
    """Return the sound's curves by name; empty in silence, and where no schedule follows it."""
    name = _sound_file(tuning)
    if name is None or not any(parse_schedule(text).names for text in tuning.shown().schedules.values()):
        return {}
    try:
        return signals(tuning.workspace.file(name), tuning.workspace.cache)
    except DreamvidError:
        return {}


def _at(heard: Mapping[str, Sequence[float]], seconds: float) -> dict[str, float]:
    """Return what the sound does at a time; after its end, and without sound, nothing."""
    place = int(seconds * CURVES_RATE)
    return {name: heard[name][place] if name in heard and 0 <= place < len(heard[name]) else 0.0 for name in SIGNALS}


def _waveform(sound: FilmFacts | None, duration: float) -> list[float]:
    """Fit a sound's peaks to a duration: what is longer is cut off, what is shorter ends in silence."""
    if sound is None or not sound.waveform or not sound.duration_seconds:
        return []
    count = max(1, min(4000, round(len(sound.waveform) * duration / sound.duration_seconds)))
    peaks = list(sound.waveform[:count])
    return peaks + [0.0] * (count - len(peaks))


def _limits(name: str) -> tuple[float, float]:
    """Return a number's bounds; large numbers where it has none."""
    least, most = -1e9, 1e9
    for rule in numeric_fields()[name][1].metadata:
        for key in ("ge", "gt"):
            if getattr(rule, key, None) is not None:
                least = float(getattr(rule, key)) + (1e-6 if key == "gt" else 0)
        for key in ("le", "lt"):
            if getattr(rule, key, None) is not None:
                most = float(getattr(rule, key)) - (1e-6 if key == "lt" else 0)
    return least, most
