"""Open a live session to the outside: the page, and OSC and MIDI where their packages are installed.

with Remote(host, port=8765) as remote:
    print(remote.url)
    ...
"""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from dreamvid.errors import InputError
from dreamvid.ui.live.guard import LOOPBACK, is_loopback, make_token
from dreamvid.ui.live.host import LiveHost
from dreamvid.ui.live.learn import Learning, midi_map_path
from dreamvid.ui.live.midi import MidiListener, open_ports
from dreamvid.ui.live.osc import OscServer
from dreamvid.ui.live.page import LivePage
from dreamvid.ui.live.server import DEFAULT_PORT, LiveServer


class Remote:
    """The page, OSC and MIDI of a session, until it is closed.

    listen: the address that the page and OSC are opened on; any other than 127.0.0.1 makes a token, which is needed for
    both. port: of the page, and of OSC unless `osc_port` is given. page: whether there is a page. osc: whether to
    listen to OSC; None where python-osc is installed. midi: names of inputs; None all that are connected, where mido is
    installed; () none. report: told what goes wrong meanwhile. Raises InputError for a port in use, an address that is
    not there, and a package that is missing.
    """

    def __init__(
        self,
        host: LiveHost,
        *,
        listen: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        page: bool = True,
        osc: bool | None = None,
        osc_port: int | None = None,
        midi: Sequence[str] | None = None,
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.token = None if is_loopback(listen) else make_token()
        self.server: LiveServer | None = None
        self.osc: OscServer | None = None
        with ExitStack() as parts:
            learning = None
            if midi or (midi is None and importlib.util.find_spec("mido") is not None):
                learning = Learning(host.controls, midi_map_path(), report=report)
                parts.callback(MidiListener(open_ports(midi or ()), learning, report).close)
            live_page = LivePage(host, learning) if page else None
            if live_page is not None:
                parts.callback(live_page.close)
                self.server = LiveServer(live_page, address=listen, port=port, token=self.token)
                parts.callback(self.server.close)
            if osc or (osc is None and importlib.util.find_spec("pythonosc") is not None):
                taken = port if self.server is None else self.server.port
                self.osc = OscServer(host.controls, listen, taken if osc_port is None else osc_port, self.token)
                parts.callback(self.osc.close)
                if live_page is not None:
                    live_page.osc = f"{listen}:{self.osc.port}"
            self._parts = parts.pop_all()

    @property
    def url(self) -> str:
        """The page's address, with the token if there is one. Raises InputError without a page."""
        return self._url("/")

    @property
    def output_url(self) -> str:
        """The address of the picture alone, for OBS or a projector. Raises InputError without a page."""
        return self._url("/output")

    def _url(self, path: str) -> str:
        if self.server is None:
            raise InputError("This session has no page. Add it: `to=page`")
        return self.server.url_of(path)

    def close(self) -> None:
        """Close everything."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
