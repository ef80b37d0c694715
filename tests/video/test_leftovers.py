"""What a program that is killed leaves in the folder for temporary files: nothing, or what the next one removes."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")

SPOOL = (
    "import sys, time; from dreamvid.video.source import open_source; print(open_source('-').paths[0], flush=True); "
)


def test_while_frames_come_there_is_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = open_source("lavfi:testsrc2=size=32x32:rate=5:d=20")
    with FrameReader(source, probe(source), queue_frames=1) as reader:
        times = [next(reader).time_seconds for _ in range(20)]
        assert list(tmp_path.iterdir()) == []
        assert times == [number / 5 for number in range(20)]


def spool(film: Path, folder: Path, then: str) -> "tuple[subprocess.Popen[bytes], Path]":
    """A program that has taken its film from stdin, and where it keeps it."""
    with film.open("rb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SPOOL + then],
            stdin=file,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def test_the_film_from_stdin_of_a_killed_program_is_removed_by_the_next(tmp_path: Path) -> None:
    film, folder = tmp_path / "film.y4m", tmp_path / "temp"
    folder.mkdir()
    run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=size=16x16:rate=5:d=1", f"file:{film}"], "making a film")
    killed, its = spool(film, folder, "time.sleep(60)")
    alive, other = spool(film, folder, "time.sleep(60)")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    long_ago = time.time() - 3600
    for path in (its, other):
        os.utime(path.parent, (long_ago, long_ago))
    try:
        last, mine = spool(film, folder, "")
        last.communicate()
        assert not its.parent.exists()
        assert other.read_bytes() == film.read_bytes()
        assert not mine.exists()  # it has ended by itself
    finally:
        alive.kill()
        alive.communicate()
