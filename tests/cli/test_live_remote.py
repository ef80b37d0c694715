"""`dreamvid live` opened to the outside: ports in use, the token, and flags that do not fit."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Run = Callable[..., Any]
SMALL = ("noise", "--model", "squeezenet1_1", "--weights", "random", "--objective", "features.3", "--size", "64x48")


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port that is in use."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_names_the_flag_to_change(dreamvid: Run, taken: int) -> None:
    done = dreamvid("live", *SMALL, "--port", str(taken), "--no-osc", "--midi", "none")
    assert done.code == 2
    assert f"port {taken} is in use" in done.err
    assert f"--port {taken + 1}" in done.err


@pytest.mark.extra("pythonosc")
def test_a_port_of_osc_in_use_names_the_flag_to_change(dreamvid: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        done = dreamvid("live", *SMALL, "--port", "0", "--osc-port", str(other.getsockname()[1]), "--midi", "none")
    assert done.code == 2
    assert "--osc-port" in done.err
    assert "--no-osc" in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port", "0", "--listen", "203.0.113.7"), "does not have the address"),
        (("--port", "0", "--listen", "no such name!"), "is no address"),
        (("--port", "70000"), "from 0 to 65535"),
    ],
)
def test_what_cannot_be_opened_is_told(dreamvid: Run, flags: tuple[str, ...], words: str) -> None:
    done = dreamvid("live", *SMALL, "--no-osc", "--midi", "none", *flags)
    assert done.code == 2
    assert words in done.err


def test_the_flags_that_are_no_settings_are_a_part_of_the_command() -> None:
    from dreamvid.cli.commands.live import live
    from dreamvid.cli.remote import RemoteFlags, words_of

    own = {"fps": "24", "max_height": 720, "latency": None, "interpolate": True, "audio_in": "default"}
    flags = RemoteFlags(port=9000, osc=False, midi=("a", "b"))
    assert words_of(flags, own, live) == [
        *("--fps", "24", "--interpolate", "--audio-in", "default"),
        *("--port", "9000", "--no-osc", "--midi", "a", "--midi", "b"),
    ]
    assert words_of(RemoteFlags(), {}, live) == []


def test_the_token_is_printed_once_even_where_little_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from small_live import SmallLive

    from dreamvid.cli.remote import RemoteFlags, open_remote

    flags = RemoteFlags(listen="0.0.0.0", port=0, osc=False, midi=("none",))
    with SmallLive() as host, open_remote(host, flags, page=True, say=lambda text: None) as remote:
        assert remote.token is not None
        err = capsys.readouterr().err
        assert err.count(remote.token) == 2, "in the address of the page, and in that of the picture alone"
