"""Run a live dream inside of the studio: its session in a thread, its page below /live/, of the same process."""

import html
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dreamvid.errors import DreamvidError
from dreamvid.ui.studio.doors import check_settings, source_from_browser
from dreamvid.ui.studio.workspace import RESULTS, Workspace, WorkspaceError, shown

Message = MutableMapping[str, Any]
BROWSER, NOISE = "browser", "noise"
"""Live sources that are no files: the browser's own camera, and an animation that starts from noise."""

_NOTHING = "Nothing is live. Choose a source above and press Start."
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>Live</title><style>body{{background:#07080a;color:#949cab;"
    "font:15px system-ui;display:grid;place-items:center;height:95vh;text-align:center}}</style><p>{}"
)


class LiveRoom:
    """One live session at a time, as an ASGI application. workspace: its results/ is where it records to."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._changing = threading.Lock()
        self._application: Callable[..., Awaitable[None]] | None = None
        self._end: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self.message = ""

    @property
    def running(self) -> bool:
        """Tell whether a session runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, source: object, preset: str | None = None) -> None:
        """Start a session, in place of the one that runs. Raises DreamvidError.

        source: `browser`, `noise`, or a film of the workspace. preset: where the dream begins. PyTorch is loaded with
        the first session.
        """
        from dreamvid.render.live.capture.source import open_live_source
        from dreamvid.render.live.controls import Controls
        from dreamvid.render.live.session import LiveOptions, LiveSession
        from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, find_preset, load_settings
        from dreamvid.ui.live.asgi import live_application
        from dreamvid.ui.live.page import LivePage

        if source in (BROWSER, NOISE):
            name = str(source)
            text = name
        else:
            name = source_from_browser(source, self._workspace)
            text = str(self._workspace.root / name)
        kind = "zoom" if source == NOISE else "run"
        if preset is not None and find_preset(preset).kind != kind:
            raise WorkspaceError(f"the preset {shown(preset)} is not for this source.")
        settings = load_settings(preset or (DEFAULT_ZOOM_PRESET if kind == "zoom" else DEFAULT_PRESET))
        check_settings(settings, self._workspace)
        self.stop()
        with self._changing:
            self.message = ""
            controls = Controls(settings, kind)
            options = LiveOptions(
                folder=self._workspace.root / RESULTS, say=self._say, command=("dreamvid", "live", name)
            )
            session = LiveSession(open_live_source(text), [], controls, settings, options)
            page = LivePage(session)
            self._application = live_application(page)

            def run() -> None:
                try:
                    session.run()
                except DreamvidError as error:
                    self.message = str(error)
                finally:
                    page.close()

            self._thread = threading.Thread(target=run, name="live", daemon=True)
            self._end = session.stop.set
            self._thread.start()

    def end(self) -> None:
        """Ask the session to end, without waiting for it."""
        if (end := self._end) is not None:
            end()

    def stop(self) -> None:
        """End the session; its recording is closed first."""
        with self._changing:
            self.end()
            if self._thread is not None:
                self._thread.join(20)
            self._application = self._end = self._thread = None

    def _say(self, text: str) -> None:
        self.message = text

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        """Answer with the session's page, or say that there is none and why."""
        if self._application is not None and self.running:
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            text = " ".join(filter(None, (html.escape(self.message), _NOTHING)))
            await send({"type": "http.response.body", "body": _PAGE.format(text).encode()})
