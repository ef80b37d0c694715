"""What a program relies on that runs dreamvid: JSON lines, exit codes, and results where stdout is closed or full."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvid.errors import DreamvidError, FfmpegError, InputError, Interrupted
from dreamvid.render.progress import STAGES, Progress

Run = Callable[..., Any]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "automation.md").read_text(encoding="utf-8")
KEYS = set(json.loads(Progress("scan", 1, None).to_json()))
FULL = Path("/dev/full")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_are_all_there_is_on_stderr(render: Run, clips: Path) -> None:
    done = render(clips / "truncated.mp4", "-o", "out.mp4", "--progress", "json", "--step", "0.02")
    assert (done.code, done.out) == (0, "out.mp4\nout.mp4.toml\n")
    states = lines(done.err)
    assert all(state.keys() == KEYS and state["version"] == 1 for state in states)
    stages = [state["stage"] for state in states]
    assert list(dict.fromkeys(stage for stage in stages if stage in STAGES)) == list(STAGES)
    assert stages[0] == "warning"
    assert "--step is called --step-size now." in states[0]["message"]
    assert stages[-1] == "done"
    dreamed = [state for state in states if state["stage"] == "dream"]
    assert [state["frame"] for state in dreamed] == sorted(state["frame"] for state in dreamed)
    assert dreamed[-1]["frame"] == dreamed[-1]["total"] == states[-1]["frame"] > 4
    assert dreamed[-1]["fps"] > 0
    assert any("frames could be decoded" in state["message"] for state in states if state["stage"] == "warning")


@pytest.mark.parametrize("words", [("--progress=json", "--octaves", "99"), ("--progress", "json", "--octave", "9")])
def test_an_error_is_a_json_line_too(words: tuple[str, ...], dreamvid: Run) -> None:
    done = dreamvid("run", "x.mp4", *words)
    (state,) = lines(done.err)
    assert (done.code, state["stage"]) == (2, "error")
    assert "--octave" in state["message"]


def test_quiet_is_quiet_in_json_too(render: Run, clips: Path) -> None:
    assert render(clips / "clip.mp4", "-o", "a.mp4", "--progress", "json", "--quiet").err == ""


def test_the_log_is_shown_where_it_is_asked_for(render: Run, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMVID_LOG", "debug")
    shown = render(clips / "clip.mp4", "-o", "a.mp4", "--progress", "none")
    assert "debug: segment 0: frames 0 to 4\n" in shown.err
    monkeypatch.setenv("DREAMVID_LOG", "loud")
    assert "DREAMVID_LOG is 'loud': allowed is debug or info." in render("nowhere.mp4").err


def test_no_progress(render: Run, clips: Path) -> None:
    done = render(clips / "clip.mp4", "-o", "a.mp4", "--progress", "none")
    assert (done.code, done.out, done.err) == (0, "a.mp4\na.mp4.toml\n", "")


def test_the_document_has_every_field_every_stage_and_every_exit_code() -> None:
    for name in (*KEYS, *STAGES, "done", "warning", "error", "message"):
        assert f"`{name}`" in DOCUMENT, name
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    raised = {DreamvidError.exit_code, FfmpegError.exit_code, InputError.exit_code, Interrupted("").exit_code}
    assert told == {0, 143, *raised}


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from dreamvid.cli import main; sys.exit(main())"
    text = f"'{sys.executable}' -c '{code}' {command}"
    return subprocess.run(["sh", "-c", text], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_result_is_a_success_where_stdout_cannot_take_its_name(clips: Path, tmp_path: Path) -> None:
    done = shell(f"image '{clips / 'image.png'}' -o out.png --octaves 1 --iterations 1 >/dev/full", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").stat().st_size > 0
    assert done.stderr.startswith("warning: cannot write to stdout")
    assert "The result is finished: out.png" in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["presets >/dev/full", "presets >&-"])
def test_a_list_that_cannot_be_written_is_a_failure_in_words(command: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write")
    assert len(done.stderr.splitlines()) == 1
    assert "bug" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_messages_that_cannot_be_written_change_nothing(stderr: str, tmp_path: Path) -> None:
    assert shell(f"presets show nothing {stderr}", tmp_path).returncode == 2


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_help_that_cannot_be_written_is_no_bug(tmp_path: Path) -> None:
    done = shell("--help >/dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: cannot write: No space left on device.\n")
