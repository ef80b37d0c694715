"""MIDI: learned by moving a knob, kept in a file, and real messages over a socket."""

import socket
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dreamvid.errors import SettingsError
from dreamvid.render.live.controls import Controls
from dreamvid.settings import load_settings
from dreamvid.ui.live.learn import Learning, midi_map_path
from dreamvid.ui.live.midi import MidiListener, open_ports, port_name


@pytest.fixture
def controls() -> Controls:
    return Controls(load_settings())


@pytest.fixture
def learning(controls: Controls, tmp_path: Path) -> Learning:
    return Learning(controls, tmp_path / "config" / "midi.toml")


def test_a_knob_is_learned_and_covers_the_settings_range(controls: Controls, learning: Learning) -> None:
    learning.learn("step-size")
    assert learning.state()["learning"] == "step_size"
    learning.control_changed("pad", 1, 74, 64)
    assert learning.state()["learning"] is None
    step = controls.control("step_size")
    for value, expected in ((0, step.at(0)), (127, 1.0), (64, step.at(64 / 127))):
        learning.control_changed("pad", 1, 74, value)
        assert controls.values()["step_size"] == expected
    learning.control_changed("pad", 2, 74, 0)  # another channel
    assert controls.values()["step_size"] == expected


def test_the_map_is_kept_and_read_again(controls: Controls, learning: Learning, tmp_path: Path) -> None:
    for target, note in (("octaves", 1), ("tap", 2), ("preset plants", 3)):
        learning.learn(target)
        learning.note_struck("pad", 10, note, 90)
    path = tmp_path / "config" / "midi.toml"
    assert tomllib.loads(path.read_text()) == {
        "pad": {"channel 10 note 1": "octaves", "channel 10 note 2": "tap", "channel 10 note 3": "preset plants"}
    }
    again = Controls(load_settings())
    Learning(again, path).note_struck("pad", 10, 3, 90)
    assert again.preset_name == "plants"
    assert [one.name for one in path.parent.iterdir()] == ["midi.toml"]


def test_pads_act_once_for_each_stroke(controls: Controls, learning: Learning) -> None:
    learning.learn("freeze")
    learning.control_changed("pad", 1, 20, 127)
    for value in (127, 127, 0, 100, 0):
        learning.control_changed("pad", 1, 20, value)
    assert [action.name for action in controls.take()] == ["freeze", "freeze"]
    learning.learn("keep_color")
    learning.note_struck("pad", 1, 5, 80)
    learning.note_struck("pad", 1, 5, 0)
    assert controls.values()["keep_color"] is True
    learning.note_struck("pad", 1, 5, 80)
    assert controls.values()["keep_color"] is False
    learning.learn("optimizer")
    learning.control_changed("pad", 1, 21, 127)
    assert controls.values()["optimizer"] == "adam"


def test_what_cannot_be_learned_is_told(learning: Learning, tmp_path: Path) -> None:
    for target, words in (
        ("step_sise", "step_size"),
        ("objective", "is text"),
        ("preset plant", "plants"),
        ("mask", "cannot"),
    ):
        with pytest.raises(SettingsError, match=words):
            learning.learn(target)
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("text", ["[pad\n", "pad = 3\n", "[pad]\nx = 3\n"])
def test_a_damaged_map_is_told(controls: Controls, tmp_path: Path, text: str) -> None:
    path = tmp_path / "midi.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="Correct it or remove it"):
        Learning(controls, path)


def test_a_map_that_names_what_is_not_there_is_reported_and_goes_on(controls: Controls, tmp_path: Path) -> None:
    path = tmp_path / "midi.toml"
    path.write_text('[pad]\n"channel 1 control 1" = "step"\n"channel 1 control 2" = "mask"\n')
    told: list[str] = []
    learning = Learning(controls, path, report=told.append)
    learning.control_changed("pad", 1, 1, 60)
    learning.control_changed("pad", 1, 2, 60)
    assert "step_size" in told[0]
    assert "cannot change" in told[1]


def test_a_folder_that_cannot_be_written_is_reported(controls: Controls, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    learning = Learning(controls, tmp_path / "file" / "midi.toml", report=told.append)
    learning.learn("octaves")
    learning.control_changed("pad", 1, 1, 127)
    assert controls.values()["octaves"] == 12
    assert "cannot be written" in told[0]


def test_the_map_is_in_the_users_config_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DREAMVID_MIDI_MAP", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert midi_map_path() == tmp_path / "dreamvid" / "midi.toml"
    monkeypatch.setenv("DREAMVID_MIDI_MAP", str(tmp_path / "own.toml"))
    assert midi_map_path() == tmp_path / "own.toml"


def test_the_numbers_that_alsa_adds_are_no_part_of_a_name() -> None:
    assert port_name("nanoKONTROL2:nanoKONTROL2 MIDI 1 20:0") == "nanoKONTROL2:nanoKONTROL2 MIDI 1"
    assert port_name("localhost:8080") == "localhost:8080"


@pytest.mark.extra("mido")
def test_real_messages_over_a_socket(controls: Controls, tmp_path: Path) -> None:
    import mido
    from mido.sockets import PortServer, connect

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told: list[str] = []
    with PortServer("127.0.0.1", port) as server:
        knob = connect("127.0.0.1", port)
        incoming: Any = server.accept()
        incoming.name = "socket"
        learning = Learning(controls, tmp_path / "midi.toml")
        listener = MidiListener([incoming], learning, told.append)
        learning.learn("step_size")
        for value in (10, 127):
            knob.send(mido.Message("control_change", channel=0, control=74, value=value))
        knob.send(mido.Message("clock"))
        deadline = time.monotonic() + 5
        while controls.values()["step_size"] != 1.0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert controls.values()["step_size"] == 1.0
        assert learning.state()["bindings"] == {"step_size": ["socket: channel 1 control 74"]}
        assert learning.ports == ("socket",)
        knob.close()
        time.sleep(0.1)  # a device that is pulled out ends nothing
        listener.close()


@pytest.mark.extra("mido", "rtmidi")
def test_a_device_that_is_not_connected_is_told() -> None:
    from dreamvid.errors import InputError

    with pytest.raises(InputError, match="no MIDI"):
        open_ports(["no such device"])
