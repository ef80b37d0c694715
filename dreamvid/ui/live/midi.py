"""Listen to MIDI devices (extra `live`: mido and python-rtmidi)."""

import re
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from dreamvid.errors import InputError, nearest
from dreamvid.ui.live.learn import Learning

_WAIT_SECONDS = 0.005
_SEQUENCER = Path("/dev/snd/seq")
_INSTALL = "MIDI needs mido and python-rtmidi: pip install 'dreamvid[live]'"


class MidiPort(Protocol):
    """An open input port of mido: rtmidi's or that of a socket."""

    name: str

    def poll(self) -> Any:
        """Return the next message, None if there is none yet."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def open_ports(names: Sequence[str] = ()) -> list[MidiPort]:
    """Open MIDI inputs: those that have one of these names, or all that there are without names.

    Raises InputError where mido or its backend is missing, and for a name that no device has.
    """
    try:
        import mido

        if sys.platform == "linux" and not _SEQUENCER.exists():
            raise OSError("the kernel has no MIDI sequencer")  # asked, ALSA would write to the terminal
        known = list(dict.fromkeys(mido.get_input_names()))
    except ImportError:
        raise InputError(_INSTALL) from None
    except (OSError, RuntimeError) as error:  # no sequencer on this machine
        if not names:
            return []
        raise InputError(f"There is no MIDI on this machine: {error}.") from None
    chosen = [] if names else known
    for name in names:
        found = [one for one in known if name in (one, port_name(one))]
        if not found:
            raise InputError(
                f"There is no MIDI input {name!r}.{nearest(name, known)} "
                f"Connected: {', '.join(map(port_name, known)) or 'none'}."
            )
        chosen += found
    ports: list[MidiPort] = []
    for name in chosen:
        try:
            ports.append(mido.open_input(name))
        except (OSError, RuntimeError) as error:
            if names:
                raise InputError(f"The MIDI input {name!r} cannot be opened: {error}.") from None
    return ports


def port_name(name: str) -> str:
    """Return a device's name without the numbers that ALSA adds, which change: "nanoKONTROL2:nanoKONTROL2 MIDI 1"."""
    return re.sub(r"\s+\d+:\d+$", "", name)


class MidiListener:
    """Gives the messages of open ports to `Learning`, in a thread of its own, until it is closed."""

    def __init__(
        self, ports: Sequence[MidiPort], learning: Learning, report: Callable[[str], None] = lambda message: None
    ) -> None:
        self._ports, self._learning, self._report = list(ports), learning, report
        learning.ports = tuple(port_name(port.name) for port in ports)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="live midi", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close the ports."""
        self._end.set()
        self._thread.join()
        for port in self._ports:
            with suppress(OSError, RuntimeError):
                port.close()

    def _listen(self) -> None:
        ports = list(self._ports)
        while not self._end.wait(_WAIT_SECONDS):
            for port in list(ports):
                try:
                    while (message := port.poll()) is not None:
                        self._take(port_name(port.name), message)
                except (OSError, EOFError, ValueError) as error:
                    ports.remove(port)
                    self._report(f"The MIDI input {port.name!r} is gone: {error}.")

    def _take(self, port: str, message: Any) -> None:
        if message.type == "control_change":
            self._learning.control_changed(port, message.channel + 1, message.control, message.value)
        elif message.type in ("note_on", "note_off"):
            velocity = message.velocity if message.type == "note_on" else 0
            self._learning.note_struck(port, message.channel + 1, message.note, velocity)
