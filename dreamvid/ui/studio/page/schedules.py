"""The tab on which numbers and objectives change over time: a curve over the film's sound, and the same as text."""

import math
from typing import Any

import gradio as gr

from dreamvid.errors import DreamvidError, SettingsError
from dreamvid.settings.objective_timeline import ObjectiveKeyframe, ObjectiveTimeline, parse_timeline
from dreamvid.settings.schedule import parse_schedule
from dreamvid.settings.schema import numeric_fields
from dreamvid.ui.studio.controls import controls
from dreamvid.ui.studio.curves import MOST_POINTS, Point, points_of, sampled, text_of
from dreamvid.ui.studio.film import FilmFacts, film_facts, signals
from dreamvid.ui.studio.page.parts import part
from dreamvid.ui.studio.page.state import Kind, Pages, Tuning, numeric_default
from dreamvid.ui.studio.page.tuning import TuningTab
from dreamvid.ui.studio.studio import Studio

_OBJECTIVE = "objective"
_ANIMATION_SECONDS, _ANIMATION_FPS = 10.0, 30.0
# "multiple": by default an event is dropped while the one before is being answered.
_QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "multiple",
}


class SchedulesTab:
    """Edits the schedules of the page's video or animation. tabs: those whose settings are edited."""

    def __init__(self, studio: Studio, pages: Pages, tabs: dict[Kind, TuningTab]) -> None:
        self.studio, self.pages, self.tabs = studio, pages, tabs
        self._shown: dict[str | None, tuple[Kind, str]] = {}
        with gr.Row(equal_height=True):
            self.kind = gr.Radio([("the film", "run"), ("the animation", "zoom")], value="run", label="of", scale=1)
            self.name = gr.Dropdown(self._names("run"), value="step_size", label="what changes", scale=2)
            self.text = gr.Textbox(
                "",
                label="as text",
                info="A number, keyframes such as 0s: 0.01, 4s: 0.02 ease-in-out, or an expression such as "
                "0.01 + 0.02*beat. Enter takes it.",
                elem_id="dv-schedule-text",
                scale=5,
            )
            self.clear = gr.Button("Constant", min_width=90, scale=0)
        self.curve = part("curve", ("points",), elem_id="dv-curve")
        self.problem = gr.HTML("", elem_id="dv-schedule-error")
        outputs = [self.name, self.text, self.curve, self.problem]
        self.kind.change(self._on_kind, self.kind, outputs, **_QUIET)
        self.name.input(self._on_name, [self.kind, self.name], outputs, **_QUIET)
        everything = [*outputs, *tabs["run"].everything, *tabs["zoom"].everything]
        self.text.submit(self._on_text, [self.kind, self.name, self.text], everything, **_QUIET)
        self.text.blur(self._on_text, [self.kind, self.name, self.text], everything, **_QUIET)
        self.curve.points(self._on_points, [self.kind, self.name], everything, **_QUIET)
        self.clear.click(self._on_clear, [self.kind, self.name], everything, **_QUIET)
        self.outputs = outputs

    def opened(self, kind: Kind, name: str, request: gr.Request) -> list[Any]:
        """Show what is edited when the tab is opened."""
        return self._show(self.pages.get(request.session_hash, _kind(kind)), name)

    def _names(self, kind: Kind) -> list[str]:
        return [_OBJECTIVE, *(control.name for control in controls(kind) if control.can_change)]

    def _on_kind(self, kind: str, request: gr.Request) -> list[Any]:
        tuning = self.pages.get(request.session_hash, _kind(kind))
        name = "step_size" if kind == "run" else "zoom"
        _, *rest = self._show(tuning, name)
        return [gr.update(choices=self._names(_kind(kind)), value=name), *rest]

    def _on_name(self, kind: str, name: str, request: gr.Request) -> list[Any]:
        return self._show(self.pages.get(request.session_hash, _kind(kind)), name)

    def _on_text(self, kind: str, name: str, text: str, request: gr.Request) -> list[Any]:
        tuning = self.pages.get(request.session_hash, _kind(kind))
        if text.strip() == self._text(tuning, name):
            return [gr.skip() for _ in range(4 + sum(len(tab.everything) for tab in self.tabs.values()))]
        return self._set(tuning, name, text.strip())

    def _on_points(self, kind: str, name: str, event: gr.EventData, request: gr.Request) -> list[Any]:
        tuning = self.pages.get(request.session_hash, _kind(kind))
        data = event._data if isinstance(event._data, dict) else {}
        try:
            text = _text_of(name, data.get("points"))
        except DreamvidError as error:
            return self._set(tuning, name, self._text(tuning, name), str(error))
        return self._set(tuning, name, text)

    def _on_clear(self, kind: str, name: str, request: gr.Request) -> list[Any]:
        tuning = self.pages.get(request.session_hash, _kind(kind))
        if name == _OBJECTIVE:
            return self._set(tuning, name, parse_timeline(self._text(tuning, name)).objectives[0])
        return self._set(tuning, name, f"{numeric_default(tuning.preset, name, self.studio.workspace):.6g}")

    def _set(self, tuning: Tuning, name: str, text: str, problem: str = "") -> list[Any]:
        """Take a schedule's text, if it is one; return updates for this tab and for those that are tuned."""
        before = dict(tuning.overrides)
        try:
            if name not in self._names(tuning.kind):
                raise SettingsError(f"{name!r} cannot change over time.")
            tuning.overrides[name] = text
            tuning.settings().check_schedules(*self._span(tuning), None if not _needs_sound(text, name) else _silence)
        except DreamvidError as error:
            tuning.overrides = before
            problem = str(error)
        tab = self.tabs[tuning.kind]
        tab.ask(tuning)
        others = [gr.skip() for _ in self.tabs["zoom" if tuning.kind == "run" else "run"].everything]
        mine = tab.all(tuning)
        both = [*mine, *others] if tuning.kind == "run" else [*others, *mine]
        return [*self._show(tuning, name, problem, text if problem else None), *both]

    def _show(self, tuning: Tuning, name: str, problem: str = "", text: str | None = None) -> list[Any]:
        if name not in self._names(tuning.kind):
            name = "step_size" if tuning.kind == "run" else "zoom"
        shown = self._text(tuning, name)
        html = f"<div class='dv-error'>{_escaped(problem)}</div>" if problem else ""
        return [name, shown if text is None else text, self._values(tuning, name, shown), html]

    def _text(self, tuning: Tuning, name: str) -> str:
        settings = tuning.shown()
        if name == _OBJECTIVE:
            return settings.dream.objective
        schedule = settings.schedules.get(name)
        if schedule is not None:
            return schedule
        group = numeric_fields()[name][0]
        return f"{getattr(getattr(settings, group), name):.6g}"

    def _facts(self, tuning: Tuning) -> FilmFacts | None:
        workspace = self.studio.workspace
        try:
            if tuning.kind == "zoom":
                audio = tuning.shown().video.audio
                return film_facts(workspace.file(audio), workspace.cache) if audio else None
            return film_facts(workspace.file(tuning.moment.source), workspace.cache)
        except DreamvidError:
            return None

    def _span(self, tuning: Tuning) -> tuple[float, float]:
        """Return the duration in seconds and the frames per second."""
        settings, facts = tuning.shown(), self._facts(tuning)
        if tuning.kind == "zoom":
            stop, rate = settings.video.frame_range()[1], settings.video.rate()
            fps = float(rate) if rate else _ANIMATION_FPS
            return (stop / fps if stop else _ANIMATION_SECONDS), fps
        if facts is None or not facts.duration_seconds:
            return _ANIMATION_SECONDS, _ANIMATION_FPS
        return facts.duration_seconds, facts.fps

    def _values(self, tuning: Tuning, name: str, text: str) -> dict[str, Any]:
        """Describe the curve for the page."""
        duration, fps = self._span(tuning)
        facts = self._facts(tuning)
        sound_part = 1.0 if facts is None or not facts.duration_seconds else duration / facts.duration_seconds
        waveform = list(facts.waveform[: max(1, round(len(facts.waveform) * min(1.0, sound_part)))]) if facts else []
        found: dict[str, Any] = {
            "name": name,
            "duration": duration,
            "waveform": waveform,
            "beats": [beat for beat in facts.beats if beat <= duration] if facts else [],
            "shots": list(facts.shots) if facts else [],
            "layer": parse_timeline(tuning.shown().dream.objective).objectives[0],
        }
        if name == _OBJECTIVE:
            keyframes = parse_timeline(text).keyframes
            points = [
                {"t": one.time_seconds, "v": None, "easing": one.easing, "text": one.objective} for one in keyframes
            ]
            return {
                **found,
                "form": "objective",
                "points": points,
                "curve": [],
                "low": 0,
                "high": 1,
                "least": 0,
                "most": 1,
            }
        curve = self._curve(tuning, text, duration, fps)
        points_ = points_of(text, fps)
        control = next(control for control in controls(tuning.kind) if control.name == name)
        least, most = _limits(name)
        values = [*curve, *(point.value for point in points_ or ())]
        low = min([control.low if control.low is not None else 0.0, *values])
        high = max([control.high if control.high is not None else 1.0, *values])
        low = 0.0 if 0 < low < 0.2 * high else low
        return {
            **found,
            "form": "expression" if points_ is None else "points",
            "points": [{"t": one.time_seconds, "v": one.value, "easing": one.easing} for one in points_ or ()],
            "curve": curve,
            "low": low,
            "high": high,
            "least": least,
            "most": most,
            "whole": control.form == "whole number",
        }

    def _curve(self, tuning: Tuning, text: str, duration: float, fps: float) -> list[float]:
        audio = tuning.shown().video.audio
        name = tuning.moment.source if audio in (None, "source") else audio
        heard: dict[str, list[float]] = {}
        if parse_schedule(text).names:
            workspace = self.studio.workspace
            try:
                heard = signals(workspace.file(name), workspace.cache)
            except DreamvidError:
                heard = {}
        try:
            return sampled(text, duration, 30.0 if heard else fps, signals=heard, seed=tuning.shown().render.seed)
        except SettingsError:
            return []


def _text_of(name: str, given: object) -> str:
    """Read the points that a page sent. Raises SettingsError."""
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_POINTS:
        raise SettingsError(f"A curve has from 1 to {MOST_POINTS} points.")
    points, keyframes = [], []
    for entry in given:
        if not isinstance(entry, dict):
            raise SettingsError("A point has a time, a value and an easing.")
        time, value, easing = entry.get("t"), entry.get("v"), str(entry.get("easing"))
        if not isinstance(time, int | float) or not math.isfinite(time):
            raise SettingsError("A point needs a time.")
        if name == _OBJECTIVE:
            keyframes.append(ObjectiveKeyframe(str(entry.get("text", "")).strip(), round(max(0.0, time), 3), easing))
        elif isinstance(value, int | float) and math.isfinite(value):
            points.append(Point(float(time), float(value), easing))
        else:
            raise SettingsError("A point needs a value.")
    if name != _OBJECTIVE:
        return text_of(points)
    text = str(ObjectiveTimeline(tuple(sorted(keyframes, key=lambda keyframe: keyframe.time_seconds))))
    parse_timeline(text)
    return text


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


def _needs_sound(text: str, name: str) -> bool:
    return name != _OBJECTIVE and bool(parse_schedule(text).names)


def _silence(_: int) -> dict[str, float]:
    return dict.fromkeys(("rms", "bass", "mid", "treble", "onset", "beat"), 0.0)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _kind(value: object) -> Kind:
    return "zoom" if value == "zoom" else "run"
