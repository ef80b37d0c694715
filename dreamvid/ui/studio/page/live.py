"""The tab of a live dream: its source, and its page in a frame."""

import time
from typing import Any

import gradio as gr

from dreamvid.errors import DreamvidError
from dreamvid.ui.studio.server.live_room import BROWSER, NOISE, LiveRoom
from dreamvid.ui.studio.studio import Studio
from dreamvid.ui.studio.workspace import SOURCES, VIDEO_SUFFIXES

# "multiple": by default an event is dropped while the one before is being answered.
_QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "multiple",
}
_NAMES = {"this browser's camera": BROWSER, "noise (an animation)": NOISE}


class LiveTab:
    """Starts and stops live sessions of the studio."""

    def __init__(self, studio: Studio, room: LiveRoom) -> None:
        self.studio, self.room = studio, room
        with gr.Row(equal_height=True, elem_id="dv-live-bar"):
            self.source = gr.Dropdown([*_NAMES], value=next(iter(_NAMES)), label="live source", scale=4)
            start = gr.Button("Start", variant="primary", min_width=90, scale=0, elem_id="dv-live-start")
            stop = gr.Button("Stop", min_width=90, scale=0, elem_id="dv-live-stop")
        self.frame = gr.HTML(self._frame(), elem_id="dv-live")
        # The first start loads PyTorch, which takes some seconds.
        start.click(self._on_start, self.source, self.frame, **{**_QUIET, "show_progress": "full"})
        stop.click(self._on_stop, outputs=self.frame, **_QUIET)

    def opened(self) -> Any:
        """List the films that can be played when the tab is opened."""
        workspace = self.studio.workspace
        films = [workspace.name(path) for path in workspace.files(SOURCES, *VIDEO_SUFFIXES)]
        return gr.update(choices=[*_NAMES, *films])

    def _on_start(self, name: str) -> str:
        try:
            self.room.start(_NAMES.get(name, name))
        except DreamvidError as error:
            self.room.message = str(error)  # the frame shows it
        return self._frame()

    def _on_stop(self) -> str:
        self.room.stop()
        return self._frame()

    def _frame(self) -> str:
        camera = "camera 'self'; fullscreen"
        stamp = time.monotonic_ns()  # another address, so that the frame is loaded again
        return f"<iframe class='dv-live' src='/live/?{stamp}' title='Live' allow=\"{camera}\"></iframe>"
