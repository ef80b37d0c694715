"""OSC over UDP on 127.0.0.1: what arrives, what is answered, and what is refused."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dreamvid.errors import InputError
from dreamvid.render.live.controls import Controls
from dreamvid.render.live.state import LiveState
from dreamvid.settings import load_settings
from dreamvid.ui.live.osc import OscServer

pytestmark = pytest.mark.extra("pythonosc")


class Sender:
    """Sends messages and reads the answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))

    def send(self, address: str, *values: Any) -> None:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        self.socket.send(builder.build().dgram)

    def answers(self, seconds: float = 5.0) -> list[tuple[str, list[Any]]]:
        """Read the answers: wait for the first one, and a moment for each further one."""
        from pythonosc.osc_message import OscMessage

        found = []
        self.socket.settimeout(seconds)
        while True:
            try:
                message = OscMessage(self.socket.recv(65536))
            except TimeoutError:
                return found
            self.socket.settimeout(0.2)
            found.append((message.address, list(message.params)))

    def ask(self, address: str, *values: Any) -> list[tuple[str, list[Any]]]:
        self.send(address, *values)
        return self.answers()


@pytest.fixture
def controls() -> Controls:
    return Controls(load_settings())


@pytest.fixture
def sender(controls: Controls) -> Iterator[Sender]:
    server = OscServer(controls, "127.0.0.1", 0)
    sender = Sender(server.port)
    yield sender
    server.close()
    sender.socket.close()


def until(condition: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(condition())


def test_a_float_of_32_bits_is_rounded_to_what_was_sent(controls: Controls, sender: Sender) -> None:
    sender.send("/dreamvid/step_size", 0.02)
    assert until(lambda: controls.values()["step_size"] == 0.02)
    assert controls.settings(0.0).dream.step_size == 0.02
    sender.send("/dreamvid/octaves", 3.0)
    sender.send("/dreamvid/keep_color", 1)
    sender.send("/dreamvid/optimizer", "adam")
    sender.send("/dreamvid/half-life", "1 + 0.5*beat")
    assert until(lambda: controls.values()["half_life_seconds"] == "1 + 0.5*beat")
    dream = controls.settings(0.1).dream
    assert (dream.octaves, dream.keep_color, dream.optimizer) == (3, True, "adam")


def test_a_second_number_is_the_seconds_of_a_cross_fade(controls: Controls, sender: Sender) -> None:
    sender.send("/dreamvid/step_size", 0.032, 2.0)
    assert until(lambda: controls.values()["step_size"] == 0.032)
    controls.settings(1.0)
    assert controls.settings(2.0).dream.step_size == pytest.approx(0.022)
    sender.send("/dreamvid/preset", "plants", 2)
    assert until(lambda: controls.preset_name == "plants")


def test_a_button_starts_once_and_a_switch_goes_on_and_off(controls: Controls, sender: Sender) -> None:
    for value in (1, 0):  # pressed, let go
        sender.send("/dreamvid/reset", value)
        sender.send("/dreamvid/freeze", value)
    sender.send("/dreamvid/snapshot")
    actions: list[Any] = []
    assert until(lambda: actions.extend(controls.take()) or len(actions) == 4)
    assert [tuple(action) for action in actions] == [
        ("reset", None),
        ("freeze", True),
        ("freeze", False),
        ("snapshot", None),
    ]
    for _ in range(2):
        sender.send("/dreamvid/tap")
        time.sleep(0.4)
    assert until(lambda: controls.tempo.beats_per_minute is not None)
    assert 75 < controls.tempo.beats_per_minute < 160


def test_questions_are_answered(controls: Controls, sender: Sender) -> None:
    controls.publish(LiveState(fps_out=24.5, delay_ms=61.0, dreamed=100))
    assert sender.ask("/dreamvid/octaves") == [("/dreamvid/octaves", [4])]
    state = dict(sender.ask("/dreamvid/state"))
    assert state["/dreamvid/state/fps"] == [24.5]
    assert state["/dreamvid/state/delay"] == [61.0]
    assert state["/dreamvid/objective"] == ["blocks.4.1"]
    listed = {values[0]: values[1:] for _, values in sender.ask("/dreamvid/list")}
    assert set(listed) == {control.name for control in controls.inventory()}
    assert listed["octaves"] == ["integer", 1.0, 12.0, 4]
    assert listed["optimizer"] == ["choice", "ascent|adam", "ascent"]


@pytest.mark.parametrize(
    ("address", "values", "words"),
    [
        ("/dreamvid/step_size", (7.0,), "above 0.0 up to 1.0"),
        ("/dreamvid/step_size", (0.02, -1.0), "from 0 to 600"),
        ("/dreamvid/step_size", (0.02, "soon"), "must be a number"),
        ("/dreamvid/step_size", (b"\x00\x01",), "number or text"),
        ("/dreamvid/stepsize", (0.02,), "step_size"),
        ("/dreamvid/mask", ("/etc/passwd",), "cannot change"),
        ("/dreamvid/weights", ("/etc/passwd",), "cannot change"),
        ("/dreamvid/objective", ('guide("/etc/passwd")@blocks.3.2',), "may read a file"),
        ("/dreamvid/preset", ("../../etc/passwd",), "Allowed: animals"),
        ("/dreamvid/preset", (3,), "as text"),
        ("/dreamvid/freeze", ("now",), "1 or 0"),
    ],
)
def test_what_is_wrong_is_answered_and_changes_nothing(
    controls: Controls, sender: Sender, address: str, values: tuple[Any, ...], words: str
) -> None:
    before = controls.values()
    [(where, [text])] = sender.ask(address, *values)
    assert where == "/dreamvid/error"
    assert words in text
    assert controls.values() == before


def test_what_is_no_osc_is_ignored(controls: Controls, sender: Sender) -> None:
    for data in (b"", b"x", b"#bundle\0" + b"\xff" * 20, b"/dreamvid/step_size\0", b"\xff" * 500, b"/" * 9000):
        sender.socket.send(data)
    sender.send("/other/step_size", 0.5)
    sender.answers(0.1)
    sender.send("/dreamvid/step_size", 0.02)
    assert until(lambda: controls.values()["step_size"] == 0.02)


def test_a_flood_does_not_stop_it(controls: Controls, sender: Sender) -> None:
    for _ in range(5000):
        sender.send("/dreamvid/reset")
    assert len(controls.take()) <= 64

    def goes_on() -> bool:
        sender.send("/dreamvid/step_size", 0.02)
        return controls.values()["step_size"] == 0.02

    assert until(goes_on)


def test_with_a_token_a_sender_says_it_first(controls: Controls) -> None:
    server = OscServer(controls, "127.0.0.1", 0, token="secret")
    sender = Sender(server.port)
    try:
        assert "token first" in sender.ask("/dreamvid/state")[0][1][0]
        sender.send("/dreamvid/step_size", 0.05)
        assert sender.ask("/dreamvid/token", "guess")[-1] == ("/dreamvid/error", ["The token is wrong."])
        assert controls.values()["step_size"] == 0.012
        assert ("/dreamvid/token", [1]) in sender.ask("/dreamvid/token", "secret")
        sender.send("/dreamvid/step_size", 0.05)
        assert until(lambda: controls.values()["step_size"] == 0.05)
    finally:
        server.close()
        sender.socket.close()


def test_a_port_in_use_names_the_flag(controls: Controls) -> None:
    server = OscServer(controls, "127.0.0.1", 0)
    try:
        with pytest.raises(InputError, match="`osc_port`") as told:
            OscServer(controls, "127.0.0.1", server.port)
        assert told.value.exit_code == 2
    finally:
        server.close()
