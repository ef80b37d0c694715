"""Open a live session to the outside: the page, and OSC and MIDI where their packages are installed.

with Remote(host, port=8765) as remote:
    print(remote.url)
    ...
"""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from dreamvid.ui.live.guard import LOOPBACK
from dreamvid.ui.live.host import LiveHost
from dreamvid.ui.live.learn import Learning, midi_map_path
from dreamvid.ui.live.midi import MidiListener, open_ports
from dreamvid.ui.live.osc import OscServer
from dreamvid.ui.live.page import LivePage
from dreamvid.ui.live.server import DEFAULT_PORT, LiveServer


class Remote:
    """The page, OSC and MIDI of a session, until it is closed.

    listen: the address that the page and OSC are opened on; any other than 127.0.0.1 makes a token. port: of the page.
    osc: whether to listen to OSC; None where python-osc is installed. osc_port: its UDP port; None the page's. midi:
    names of inputs; None all that are connected, where mido is installed; () none. report: told what goes wrong
    meanwhile. Raises InputError for a port in use, an address that is not there, and a package that is missing.
    """

    def __init__(
        self,
        host: LiveHost,
        *,
        listen: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        osc: bool | None = None,
        osc_port: int | None = None,
        midi: Sequence[str] | None = None,
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        controls = host.controls
        with ExitStack() as parts:
            learning = None
            if midi or (midi is None and importlib.util.find_spec("mido") is not None):
                learning = Learning(controls, midi_map_path(), report=report)
                parts.callback(MidiListener(open_ports(midi or ()), learning, report).close)
            self.page = LivePage(host, learning)
            parts.callback(self.page.close)
            self.server = LiveServer(self.page, address=listen, port=port)
            parts.callback(self.server.close)
            self.osc: OscServer | None = None
            if osc or (osc is None and importlib.util.find_spec("pythonosc") is not None):
                self.osc = OscServer(controls, listen, self.server.port if osc_port is None else osc_port, self.token)
                parts.callback(self.osc.close)
                self.page.osc = f"{listen}:{self.osc.port}"
            self._parts = parts.pop_all()

    @property
    def url(self) -> str:
        """The page's address, with the token if there is one."""
        return self.server.url

    @property
    def output_url(self) -> str:
        """The address of the picture alone, for OBS or a projector."""
        return self.server.url_of("/output")

    @property
    def token(self) -> str | None:
        """What whoever is not on this machine has to know; None on the loopback address."""
        return self.server.token

    def close(self) -> None:
        """Close everything."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
