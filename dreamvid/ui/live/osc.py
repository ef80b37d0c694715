"""Take settings, presets and actions by OSC, and answer with the state (extra `live`: python-osc).

    /dreamvid/step_size 0.02          a setting by its name; a second number is the seconds of a cross-fade
    /dreamvid/step_size               without a value: answers with the setting's value
    /dreamvid/preset "plants" 4
    /dreamvid/freeze                  an action; 1 and 0 switch it on and off
    /dreamvid/state                   answers with numbers, each at an address below /dreamvid/state
    /dreamvid/list                    answers with a message for each setting: name, kind, minimum, maximum, default

Everything is checked as on the page. What is wrong is answered with /dreamvid/error and a sentence.
"""

import hmac
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from dreamvid.errors import DreamvidError, InputError, SettingsError, nearest
from dreamvid.render.live.controls import ACTIONS, Controls
from dreamvid.ui.live.guard import Rate

ROOT = "/dreamvid"
_LONGEST_PACKET = 8192
_MOST_MESSAGES = 256  # in a bundle
_MOST_SENDERS = 64
_WAIT_SECONDS = 0.2
_LIST_COST = 50.0
_INSTALL = "OSC needs python-osc: pip install 'dreamvid[live]'. Without it, give `osc=False`."

Answer = tuple[str, list[Any]]


class OscServer:
    """Listens on a UDP port in a thread of its own until it is closed.

    token: what a sender has to send to /dreamvid/token before anything else; None on the loopback address. Raises
    InputError where python-osc is missing or the port is in use.
    """

    def __init__(self, controls: Controls, address: str, port: int, token: str | None = None) -> None:
        try:
            import pythonosc.osc_packet  # noqa: F401 - to be told now and not at the first message
        except ImportError:
            raise InputError(_INSTALL) from None
        self._controls, self._token = controls, token
        self._known: OrderedDict[str, None] = OrderedDict()
        self._rate, self._guesses = Rate(1000, 2000), Rate(0.1, 5)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.settimeout(_WAIT_SECONDS)
        try:
            self._socket.bind((address, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise InputError(
                f"The port {port} for OSC cannot be opened on {address}: {getattr(error, 'strerror', None) or error}. "
                "Choose another one with `osc_port`, or give `osc=False`."
            ) from None
        self.address, self.port = address, int(self._socket.getsockname()[1])
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="live osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._end.is_set():
            try:
                data, sender = self._socket.recvfrom(_LONGEST_PACKET + 1)
            except TimeoutError:
                continue
            except OSError:  # an answer that nobody took, told here on some systems
                continue
            for address, values in self._answers(data, str(sender[0])):
                self._send(address, values, sender)

    def _send(self, address: str, values: list[Any], receiver: Any) -> None:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        try:
            self._socket.sendto(builder.build().dgram, receiver)
        except OSError:  # the sender is gone
            return

    def _answers(self, data: bytes, client: str) -> list[Answer]:
        from pythonosc.osc_packet import OscPacket, ParseError

        if not self._rate.allows(client):
            return []
        if len(data) > _LONGEST_PACKET:
            return [_error(f"A packet may have {_LONGEST_PACKET} bytes.")]
        try:
            messages = [timed.message for timed in OscPacket(data).messages]
        except (ParseError, ValueError, IndexError, RecursionError, OverflowError):
            return []
        answers: list[Answer] = []
        for message in messages[:_MOST_MESSAGES]:
            answers += self._guarded(message.address, list(message.params), client)
        return answers

    def _guarded(self, address: str, values: list[Any], client: str) -> list[Answer]:
        if not address.startswith(f"{ROOT}/"):
            return []
        name = address.removeprefix(f"{ROOT}/")
        if self._token is not None and client not in self._known:
            return self._greet(name, values, client)
        try:
            return list(self._do(name, values, client))
        except DreamvidError as error:
            return [_error(str(error))]

    def _greet(self, name: str, values: list[Any], client: str) -> list[Answer]:
        """Take the token of a sender that is not known yet."""
        given = values[0] if name == "token" and values and isinstance(values[0], str) else ""
        if self._token is not None and given and self._guesses.allows(client):
            if hmac.compare_digest(given.encode(), self._token.encode()):
                self._known[client] = None
                while len(self._known) > _MOST_SENDERS:
                    self._known.popitem(last=False)
                return [(f"{ROOT}/token", [1])]
            return [_error("The token is wrong.")]
        # One answer a while: a sender's address may be forged, and an answer to it is a stranger's.
        return [_error(f"Send the token first: {ROOT}/token TEXT.")] if self._guesses.allows(f"{client} asks") else []

    def _do(self, name: str, values: list[Any], client: str) -> Iterable[Answer]:
        controls = self._controls
        if name == "state":
            return self._state()
        if name == "list":
            return self._list() if self._rate.allows(client, _LIST_COST) else []
        if name == "token":
            return [(f"{ROOT}/token", [1])]
        if name == "preset":
            if not values or not isinstance(values[0], str):
                raise SettingsError(f"{ROOT}/preset needs a preset's name as text, and may have seconds after it.")
            controls.preset(values[0], _seconds(values))
            return []
        if name in ACTIONS:
            on = None if not values else _switched_on(name, values[0])
            # A button sends 1 when it is pressed and 0 when it is let go: only the former starts what happens once.
            if on is not False or name in ("freeze", "blackout", "record"):
                controls.action(name, on)
            return []
        names = [control.name for control in controls.inventory()]
        try:
            control = controls.control(name)
        except SettingsError as error:
            if "cannot change" in str(error):
                raise
            known = [*names, *ACTIONS, "preset", "state", "list"]
            raise SettingsError(
                f"There is no address {ROOT}/{name}.{nearest(name, known)} {ROOT}/list lists the settings."
            ) from None
        if not values:
            return [(f"{ROOT}/{control.name}", [_as_osc(controls.values()[control.name])])]
        value = values[0]
        if not isinstance(value, str | int | float | bool):
            raise SettingsError(f"{ROOT}/{name} takes a number or text, got {type(value).__name__}.")
        if control.kind == "switch" and isinstance(value, int | float):
            value = bool(value)
        controls.set(control.name, _rounded(value), _seconds(values))
        return []

    def _state(self) -> list[Answer]:
        state, controls = self._controls.state(), self._controls
        answers: list[Answer] = [(f"{ROOT}/{name}", [_as_osc(value)]) for name, value in controls.values().items()]
        answers.append((f"{ROOT}/preset", [controls.preset_name or ""]))
        if state is None:
            return answers
        numbers = {
            "time": state.time_seconds,
            "fps": state.fps_out,
            "fps_in": state.fps_in,
            "delay": state.delay_ms,
            "dropped": state.dropped,
            "dreamed": state.dreamed,
            "frozen": int(state.frozen),
            "blackout": int(state.blackout),
            "recording": int(state.recording is not None),
            "source": state.source.status,
            "quality": state.quality.level,
            "message": state.message,
        }
        return answers + [(f"{ROOT}/state/{name}", [_as_osc(value)]) for name, value in numbers.items()]

    def _list(self) -> list[Answer]:
        return [
            (
                f"{ROOT}/list",
                [
                    control.name,
                    control.kind,
                    *(
                        [float(control.minimum), float(control.maximum)]
                        if control.minimum is not None and control.maximum is not None
                        else ["|".join(control.choices)]
                    ),
                    _as_osc(control.default),
                ],
            )
            for control in self._controls.inventory()
        ]


def _error(text: str) -> Answer:
    return f"{ROOT}/error", [text]


def _rounded(value: str | int | float | bool) -> str | int | float | bool:
    """Round a number to what its 32 bits tell: 0.02 arrives as 0.019999999552965164."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _seconds(values: list[Any]) -> float:
    """Return the second value, the seconds of a cross-fade; 0 without one."""
    if len(values) < 2:
        return 0.0
    if isinstance(values[1], bool) or not isinstance(values[1], int | float):
        raise SettingsError(f"The seconds of a cross-fade must be a number, got {values[1]!r}.")
    return float(f"{values[1]:.7g}")


def _switched_on(name: str, value: Any) -> bool:
    if not isinstance(value, int | float):
        raise SettingsError(f"{ROOT}/{name} takes 1 or 0, got {value!r}.")
    return bool(value)


def _as_osc(value: Any) -> Any:
    return "" if value is None else int(value) if isinstance(value, bool) else value
