"""The tab on which numbers and objectives change over time: a curve over the film's sound, and the same as text."""

import html
from typing import Any

import gradio as gr

from dreamvid.errors import DreamvidError
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.ui.studio.page.parts import part
from dreamvid.ui.studio.page.scheduling import (
    OBJECTIVE,
    curve_of,
    schedule_text,
    scheduled_names,
    take_schedule,
    text_of_given,
)
from dreamvid.ui.studio.page.state import Kind, Pages, Tuning, numeric_default
from dreamvid.ui.studio.page.tuning import TuningTab
from dreamvid.ui.studio.studio import Studio

_FIRST: dict[Kind, str] = {"run": "step_size", "zoom": "zoom"}
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
        with gr.Row(equal_height=True):
            self.kind = gr.Radio(
                [("the film", "run"), ("the animation", "zoom")], value="run", label="Schedules of", scale=2
            )
            self.name = gr.Dropdown(_choices("run"), value=_FIRST["run"], label="what changes", scale=2)
            self.text = gr.Textbox(
                "",
                label="as text",
                info="A number, keyframes such as 0s: 0.01, 4s: 0.02 ease-in-out, or an expression such as "
                "0.01 + 0.02*beat. Objectives: blocks.3.2 | blocks.4.1 @ 5s. Enter takes it.",
                elem_id="dv-schedule-text",
                scale=5,
            )
            self.clear = gr.Button("Constant", min_width=110, scale=0, elem_id="dv-schedule-constant")
        self.curve = part("curve", ("points",), elem_id="dv-curve")
        self.problem = gr.HTML("", elem_id="dv-schedule-error")
        outputs = [self.name, self.text, self.curve, self.problem]
        self.kind.change(self._on_kind, self.kind, outputs, **_QUIET)
        self.name.input(self._on_name, [self.kind, self.name], outputs, **_QUIET)
        everything = [*outputs, *tabs["run"].everything, *tabs["zoom"].everything]
        self.text.submit(self._on_text, [self.kind, self.name, self.text], everything, **_QUIET)
        self.curve.points(self._on_points, [self.kind, self.name], everything, **_QUIET)
        self.clear.click(self._on_clear, [self.kind, self.name], everything, **_QUIET)
        self.outputs = outputs

    def opened(self, kind: Kind, name: str, text: str, request: gr.Request) -> list[Any]:
        """Show what is edited when the tab is opened. text: that of the field.

        The page may ask after its user has begun to type. What is typed stays: it is none of what was shown.
        """
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            is_typed = text not in ("", tuning.shown_schedule)
            edited, shown, *rest = self._show(tuning, name)
            return [edited, gr.skip() if is_typed or shown == text else shown, *rest]

    def _on_kind(self, kind: str, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            name = _FIRST[tuning.kind]
            _, *rest = self._show(tuning, name)
            return [gr.update(choices=_choices(tuning.kind), value=name), *rest]

    def _on_name(self, kind: str, name: str, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            return self._show(tuning, name)

    def _on_text(self, kind: str, name: str, text: str, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            if name in scheduled_names(tuning.kind) and text.strip() == schedule_text(tuning, name):
                return self._skipped()
            return self._set(tuning, name, text.strip())

    def _on_points(self, kind: str, name: str, event: gr.EventData, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            data = event._data if isinstance(event._data, dict) else {}
            if data.get("name") != name or not tuning.is_newest("points", data.get("n")):
                return self._skipped()
            try:
                text = text_of_given(name, data.get("points"))
            except DreamvidError as error:
                return self._all(tuning, name, str(error))
            return self._set(tuning, name, text)

    def _on_clear(self, kind: str, name: str, request: gr.Request) -> list[Any]:
        with self.pages.using(request.session_hash, _kind(kind)) as tuning:
            if name == OBJECTIVE:
                return self._set(tuning, name, parse_timeline(schedule_text(tuning, name)).objectives[0])
            return self._set(tuning, name, f"{numeric_default(tuning.preset, name, self.studio.workspace):.6g}")

    def _skipped(self) -> list[Any]:
        return [gr.skip() for _ in range(4 + sum(len(tab.everything) for tab in self.tabs.values()))]

    def _set(self, tuning: Tuning, name: str, text: str) -> list[Any]:
        """Take a schedule's text, if it is one."""
        try:
            note = take_schedule(tuning, name, text)
        except DreamvidError as error:
            return self._all(tuning, name, str(error), text)
        self.tabs[tuning.kind].ask(tuning)
        return self._all(tuning, name, note)

    def _all(self, tuning: Tuning, name: str, problem: str, text: str | None = None) -> list[Any]:
        """Return updates for this tab and for what is tuned. text: is shown in place of what is in force."""
        mine = self.tabs[tuning.kind].all(tuning)
        others = [gr.skip() for _ in self.tabs["zoom" if tuning.kind == "run" else "run"].everything]
        both = [*mine, *others] if tuning.kind == "run" else [*others, *mine]
        return [*self._show(tuning, name, problem, text), *both]

    def _show(self, tuning: Tuning, name: str, problem: str = "", text: str | None = None) -> list[Any]:
        if name not in scheduled_names(tuning.kind):
            name = _FIRST[tuning.kind]
        shown = schedule_text(tuning, name)
        told = f"<div class='dv-error'>{html.escape(problem)}</div>" if problem else ""
        curve = {**curve_of(tuning, name, shown), "taken": tuning.newest("points")}
        tuning.shown_schedule = shown if text is None else text
        return [name, tuning.shown_schedule, curve, told]


def _choices(kind: Kind) -> list[tuple[str, str]]:
    return [(label, name) for name, label in scheduled_names(kind).items()]


def _kind(value: object) -> Kind:
    return "zoom" if value == "zoom" else "run"
