"""`dreamvid live` as a user runs it: exit codes, Ctrl-C, a full disk, a pipe, and several sinks at once."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_sessions import free_port
from renders import frames_of, names

from dreamvid.cli.app import main
from dreamvid.video.ffmpeg import ffmpeg_path

FLAGS = [
    *("--objective", "blocks.1.0", "--dream-height", "48", "--octaves", "2", "--iterations", "2"),
    *("--warm-iterations", "1", "--device", "cpu", "--no-osc", "--midi", "none"),
]
GRAPH = "lavfi:testsrc2=s=96x64:r=15"


def start(
    folder: Path, *words: str, limit: int | None = None, environment: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start `dreamvid live`; limit: of the size of files, in bytes."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ignored where the tests run in the background
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = subprocess.Popen(
        [sys.executable, "-m", "dreamvid", "live", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
        env=environment,
    )
    _started.append(process)
    return process


_started: list["subprocess.Popen[str]"] = []


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    while _started:
        process = _started.pop()
        process.kill()
        process.wait()


def wait_for_line(process: "subprocess.Popen[str]", part: str, seconds: float = 60.0) -> str:
    assert process.stderr is not None
    deadline, seen = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        line = process.stderr.readline()
        seen += line
        if part in line:
            return line
        if not line:
            break
    raise AssertionError(f"no {part!r} in:\n{seen}")


def test_ctrl_c_closes_the_recording_and_ends_well(tmp_path: Path) -> None:
    process = start(tmp_path, GRAPH, "--to", "live.mp4", "--fps", "10", *FLAGS)
    wait_for_line(process, "recording to live.mp4")
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert names(tmp_path) == ["live.mp4", "live.mp4.toml"]
    assert len(frames_of(tmp_path / "live.mp4")) >= 3


def test_a_recording_that_finds_no_room_is_told_and_the_dream_goes_on(tmp_path: Path) -> None:
    process = start(tmp_path, GRAPH, "--to", "live.mkv", "--codec", "ffv1", "--to", "-", *FLAGS, limit=8000)
    assert process.stdout is not None
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=nowhere)
        line = wait_for_line(process, "has ended")
        assert "limit" in line or "space" in line
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        reader.wait(timeout=10)
    assert process.returncode == 0


def test_y4m_on_stdout_is_read_by_ffmpeg(tmp_path: Path) -> None:
    process = start(tmp_path, GRAPH, "--to", "-", "--fps", "10", "-q", *FLAGS)
    read = [str(ffmpeg_path()), "-v", "error", "-i", "-", "-frames:v", "8", "-c:v", "ffv1", "read.mkv"]
    subprocess.run(read, stdin=process.stdout, cwd=tmp_path, timeout=90, check=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0  # its only sink is gone
    frames = frames_of(tmp_path / "read.mkv")
    assert frames.shape == (8, 64, 96, 3)
    assert frames[-1].std() > 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs a source"),
        (["camera:9"], "There is no camera"),
        (["nothing.mp4"], "There is no source 'nothing.mp4'"),
        ([GRAPH, "--to", "nowhere"], "There is no sink 'nowhere'"),
        ([GRAPH, "--to", "gopher://x"], "Streams are not sent to gopher://"),
        ([GRAPH, "--fps", "fast"], "--fps"),
        ([GRAPH, "--max-height", "8"], "--max-height"),
        ([GRAPH, "--latency", "0"], "--latency"),
        ([GRAPH, "--to", "a.mp4", "--to", "b.mp4"], "One file is recorded"),
        ([GRAPH, "--preset", "infinite-zoom"], "moves a camera"),
        ([GRAPH, "--to", "-"], None),
        ([GRAPH, "--to", "missing/live.mp4", "--midi", "none", "--no-osc"], "does not exist"),
        (["tcp://127.0.0.1:{port}", "--to", "udp://127.0.0.1:{port}", "--midi", "none", "--no-osc"], "cannot open tcp"),
    ],
)
def test_what_cannot_begin_is_a_line_and_exit_code_2(
    words: list[str],
    message: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    if message is None:  # stdout is a terminal
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        message = "is a terminal"
    port = str(free_port())
    code = main(["live", *(word.replace("{port}", port) for word in words)])
    errors = capsys.readouterr().err
    assert message in errors
    assert code == 2, errors
    assert "Traceback" not in errors
    assert names(tmp_path) == []


def test_the_list_names_what_can_be_captured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--list"]) == 0
    assert "browser" in capsys.readouterr().out


def test_a_port_in_use_is_told_with_the_flag_to_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["live", GRAPH, "--port", str(port), *FLAGS]) == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb, a screen without a monitor")
def test_a_window_on_a_screen_and_the_screen_as_a_source(tmp_path: Path) -> None:
    """White footage in a window is what another session sees when it captures the screen."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    try:
        number = os.read(reading, 16).decode().strip()
        environment = {**os.environ, "DISPLAY": f":{number}"}
        shown = start(tmp_path, "lavfi:color=white:s=96x64:r=10", "--to", "window", *FLAGS, environment=environment)
        seen = start(tmp_path, "screen", "--to", "seen.mp4", "--fps", "5", *FLAGS, environment=environment)
        wait_for_line(seen, "recording to")
        look = ["-f", "x11grab", "-i", f":{number}", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            grabbed = subprocess.run([str(ffmpeg_path()), "-v", "error", *look], capture_output=True, check=True).stdout
            if max(grabbed) > 200:
                break
            time.sleep(0.2)
        time.sleep(6)
        for process in (seen, shown):
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
    finally:
        screen.kill()
        screen.wait()
    frames = frames_of(tmp_path / "seen.mp4")
    assert frames.shape[1:] == (480, 640, 3)
    assert frames[-1].max() > 200
