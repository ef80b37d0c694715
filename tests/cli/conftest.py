"""Tiny real clips, and a way to run the command line inside the test's process."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dreamvid.cli import main
from dreamvid.image.io import write_image
from dreamvid.video.ffmpeg import ffmpeg_path

# As little work as a render can be.
FAST = ("--octaves", "1", "--iterations", "1", "--dream-height", "48")


def ffmpeg(*args: str | Path) -> None:
    command = [str(ffmpeg_path()), "-v", "error", "-y", *map(str, args)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def dreamvid(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `dreamvid WORDS...` in the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def render(dreamvid: Run) -> Run:
    """Run `dreamvid run WORDS...` with as little work as a render can be."""
    return lambda *words: dreamvid("run", *FAST, *words)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sources, good and bad."""
    folder = tmp_path_factory.mktemp("clips")
    video = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=0.4")
    ffmpeg(*video, "-pix_fmt", "yuv420p", folder / "clip.mp4")
    long = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=3")
    ffmpeg(*long, "-pix_fmt", "yuv420p", "-g", "5", "-movflags", "+faststart", folder / "long.mp4")
    whole = (folder / "long.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", folder / "audio.m4a")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is a text, whatever its name says.\n" * 50, encoding="utf-8")
    (folder / "nothing").mkdir()
    ramp = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(48, 64, 3)
    write_image(folder / "image.png", ramp)
    return folder
