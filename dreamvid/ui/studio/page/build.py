"""Put the page together."""

import html
from typing import Any

import gradio as gr

from dreamvid.errors import DreamvidError
from dreamvid.ui.studio.page.live import LiveTab
from dreamvid.ui.studio.page.parts import part
from dreamvid.ui.studio.page.schedules import SchedulesTab
from dreamvid.ui.studio.page.state import Kind, Pages
from dreamvid.ui.studio.page.tuning import TuningTab
from dreamvid.ui.studio.scoring import kind_of
from dreamvid.ui.studio.server.live_room import LiveRoom
from dreamvid.ui.studio.studio import Studio
from dreamvid.ui.studio.workspace import RESULTS

TITLE = "dreamvid studio"
# "multiple": by default an event is dropped while the one before is being answered.
_QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "multiple",
}


def build_page(studio: Studio, room: LiveRoom) -> gr.Blocks:
    """Build the page of a studio. room: where its live sessions run."""
    pages = Pages(studio.workspace)
    tabs: dict[Kind, TuningTab] = {}
    # A file that Gradio would put into its cache is deleted after an hour; none of the page's parts makes one.
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, 3600)) as blocks:
        folder = html.escape(str(studio.workspace.root))
        gr.HTML(f"<div class='dv-header'><b>dream<i>vid</i></b><span>{folder}</span></div>")
        with gr.Tabs() as all_tabs:
            with gr.Tab("Tune", id="run"):
                tabs["run"] = TuningTab(studio, pages, "run")
            with gr.Tab("Schedules", id="schedules") as schedules_tab:
                schedules_place = gr.Column()
            with gr.Tab("Queue", id="queue"):
                part("queue", elem_id="dv-queue")
            with gr.Tab("Results", id="results"):
                results = part("results", ("retune",), elem_id="dv-results")
            with gr.Tab("Animations", id="zoom") as zoom_tab:
                tabs["zoom"] = TuningTab(studio, pages, "zoom")
            with gr.Tab("Live", id="live") as live_tab:
                live = LiveTab(studio, room)
        with schedules_place:
            schedules = SchedulesTab(studio, pages, tabs)

        def retune(event: gr.EventData, request: gr.Request) -> list[Any]:
            name = event._data.get("name") if isinstance(event._data, dict) else None
            try:
                kind: Kind = "zoom" if kind_of(studio.workspace.file(name, RESULTS)) == "zoom" else "run"
                with pages.using(request.session_hash, kind) as tuning:
                    tabs[kind].retune(name, tuning)
                    mine = tabs[kind].all(tuning)
            except DreamvidError as error:
                with pages.using(request.session_hash, "run") as tuning:
                    studio.dreams.tell(tuning.session, str(error), stage="error")
                return [gr.skip(), *_skipped(tabs["run"]), *_skipped(tabs["zoom"])]
            updates = {one: mine if one == kind else _skipped(tab) for one, tab in tabs.items()}
            return [gr.update(selected=kind), *updates["run"], *updates["zoom"]]

        everything = [*tabs["run"].everything, *tabs["zoom"].everything]
        results.retune(retune, outputs=[all_tabs, *everything], **_QUIET)
        blocks.load(tabs["run"].loaded, outputs=tabs["run"].everything, **_QUIET)
        zoom_tab.select(tabs["zoom"].opened, outputs=tabs["zoom"].everything, **_QUIET)
        live_tab.select(live.opened, outputs=live.source, **_QUIET)
        edited = [schedules.kind, schedules.name, schedules.text]
        schedules_tab.select(schedules.opened, edited, schedules.outputs, **_QUIET)
    page: gr.Blocks = blocks
    return page


def _skipped(tab: TuningTab) -> list[Any]:
    return [gr.skip() for _ in tab.everything]
