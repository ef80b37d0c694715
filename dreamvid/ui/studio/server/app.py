"""Start the server: the page, its routes, and the guard in front of both."""

import logging
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import fastapi
import gradio as gr
import uvicorn

from dreamvid.errors import InputError
from dreamvid.ui import console
from dreamvid.ui.studio.page.build import build_page
from dreamvid.ui.studio.page.parts import head
from dreamvid.ui.studio.page.theme import studio_theme
from dreamvid.ui.studio.server.guard import Guard, Login, check_address
from dreamvid.ui.studio.server.live_room import LiveRoom
from dreamvid.ui.studio.server.routes import STATIC, routes
from dreamvid.ui.studio.studio import Studio

_PORTS_TRIED = 20


def build_app(studio: Studio, room: LiveRoom, address: str, port: int, login: Login | None) -> Guard:
    """Put the guard in front of the page and its routes. address, port: what the server listens on."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=[*routes(studio)])
    app.mount("/live", room)
    blocks = build_page(studio, room)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=address,
        server_port=port,
        allowed_paths=[],
        blocked_paths=[str(studio.workspace.root)],  # its files go through our own routes only
        favicon_path=str(STATIC / "favicon.svg"),
        show_error=True,
        max_file_size=1,  # Gradio's uploads are closed
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
        theme=studio_theme(),
        css="",
        head=head(),
    )
    return Guard(app, address, login)


def run_studio(studio: Studio, *, address: str, port: int | None, login: Login | None, open_browser: bool) -> None:
    """Serve a studio until Ctrl-C or SIGTERM. port: None for 7870 or the next free one.

    Raises InputError for an address or a port that cannot be used, and for one without a login that others can reach.
    """
    check_address(address, login)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    room = LiveRoom(studio.workspace)
    listening = _listen(address, port)
    port = listening.getsockname()[1]
    # Gradio copies files of the present folder that a function names; here there are none.
    with tempfile.TemporaryDirectory(prefix="dreamvid-studio-") as empty:
        os.environ["GRADIO_TEMP_DIR"] = empty
        before = Path.cwd()
        os.chdir(empty)
        try:
            app = build_app(studio, room, address, port, login)
            shown = f"[{address}]" if ":" in address else "127.0.0.1" if address == "0.0.0.0" else address
            url = f"http://{shown}:{port}"
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, lifespan="on"
            )
            console.result(f"The studio is at {url}  (workspace: {studio.workspace.root}). Ctrl-C ends it.")
            if open_browser:
                with suppress(webbrowser.Error):
                    webbrowser.open(url)
            _Server(config, (studio.dreams.close, room.end)).run(sockets=[listening])
        finally:
            room.stop()
            os.chdir(before)
            listening.close()


class _Server(uvicorn.Server):
    """Ends quietly on Ctrl-C and SIGTERM: uvicorn would raise the signal again after it has ended.

    on_exit: end the streams to the pages that are open, for which uvicorn waits.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Iterable[Callable[[], None]]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it cuts off Gradio's streams, which never end
        for end in self._on_exit:
            end()
        super().handle_exit(sig, frame)

    def run(self, sockets: Any = None) -> None:
        with suppress(KeyboardInterrupt):
            super().run(sockets)


def _listen(address: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    wanted = [port] if port is not None else range(7870, 7870 + _PORTS_TRIED)
    reason = ""
    for one in wanted:
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, one))
            listening.listen(128)  # whoever comes before the page is ready waits for it
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
        else:
            return listening
    raise InputError(f"the studio cannot listen on {address}, port {wanted[0]}: {reason}. Give another `port`.")
