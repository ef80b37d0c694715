"""What is shown of a render's progress, without a render."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from dreamvid.render.progress import Progress, RenderResult, clock, describe
from dreamvid.runtime.profiler import BusySeconds, Profile
from dreamvid.ui import console
from dreamvid.ui.terminal import RenderDisplay

RESULT = RenderResult(
    Path("o.mp4"), Path("o.mp4.toml"), 300, ("some sound was lost",), 120, Profile(300, 150, 10.0, BusySeconds(), {})
)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (
            Progress("dream", 12, 300, 2.345, 122.8, "dream"),
            "frame 12 of 300, 2.35 fps, 2:03 left, slow: dream",
        ),
        (Progress("dream", 300, 300, 20.4, 0.0, "encode"), "frame 300 of 300, 20 fps, slow: encode"),
        (Progress("scan", 57, None), "frame 57"),
    ],
)
def test_describe(progress: Progress, words: str) -> None:
    assert describe(progress) == words


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_without_a_terminal_there_are_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with RenderDisplay() as display:
        for done in range(301):
            display.show(Progress("dream", done, 300, 9.5, (300 - done) / 9.5, "dream"))
    display.finish(RESULT)
    out, err = capsys.readouterr()
    assert out == "o.mp4\no.mp4.toml\n"
    lines = err.splitlines()
    assert 3 <= len(lines) <= 6
    assert "Dreaming: frame 300 of 300, 9.50 fps, slow: dream" in lines
    assert "warning: some sound was lost" in lines
    assert "300 frames" in lines[-1]
    assert "120 of them earlier" in lines[-1]
    assert "\x1b" not in err


def test_messages_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with RenderDisplay() as display:
        for done in range(3):
            display.show(Progress("dream", done, 300, message="Going on: 120 of 300 frames are done already."))
    assert capsys.readouterr().err.count("Going on: 120") == 1


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RenderDisplay(quiet=True) as display:
        display.show(Progress("dream", 300, 300, message="Going on."))
    display.finish(RESULT)
    assert capsys.readouterr() == ("", "")


def test_without_progress_there_are_warnings_and_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    with RenderDisplay("none") as display:
        display.show(Progress("dream", 300, 300, message="Going on."))
    display.finish(RESULT)
    assert capsys.readouterr() == ("o.mp4\no.mp4.toml\n", "warning: some sound was lost\n")


def test_a_flag_is_shown_only_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("plain", "json"):
        with (
            console.speaking(lambda: {"tile": "--tile"}, as_json=form == "json"),
            RenderDisplay(form) as display,  # type: ignore[arg-type]
        ):
            display.show(Progress("dream", 1, 9, message="Going on with `tile=64`."))
    with RenderDisplay("plain") as display:
        display.show(Progress("dream", 1, 9, message="Going on with `tile=64`."))
    plain, as_json, outside = capsys.readouterr().err.splitlines()
    assert plain == "Going on with --tile 64."
    assert json.loads(as_json)["message"] == "Going on with --tile 64."
    assert outside == "Going on with `tile=64`."


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    with RenderDisplay() as display:
        display.show(Progress("scan", 5, None))
        display.show(Progress("dream", 12, 300, 2.3, 125.0, "dream"))
        console.warning("a tile was halved")
    shown = screen.getvalue()
    assert "\x1b[2Kwarning: a tile was halved\n" in re.sub(r"\x1b\[[\d;]*m", "", shown)  # on a line of its own
    assert "frame 12 of 300" in shown
    assert "slow: dream" in shown
    assert "━" in shown
