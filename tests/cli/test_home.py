"""`~` is the user's home wherever a path is taken, also in files and where no shell expands it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import squeezenet1_1

Run = Callable[..., Any]
NETWORK = ("--model", "squeezenet1_1", "--objective", "features.3", "--octaves", "1", "--iterations", "1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for name in ("image.png", "clip.mp4", "audio.m4a"):
        shutil.copy(clips / name, folder / name)
    (folder / "path.txt").write_text("0.5 0.5 0\n0.6 0.5 1\n", encoding="utf-8")
    (folder / "mine.toml").write_text("[dream]\niterations = 1\n", encoding="utf-8")
    torch.save(squeezenet1_1().state_dict(), folder / "net.pth")
    return folder


def test_in_every_flag_of_an_image(dreamvid: Run, home: Path) -> None:
    done = dreamvid(
        *("image", "~/image.png", "-o", "~/out.png", *NETWORK, "--weights", "~/net.pth", "--mask", "~/image.png"),
        *("--preset", "~/mine.toml"),
    )
    assert done.code == 0, done.err
    assert (home / "out.png").is_file()
    guide = (*NETWORK[:2], "--weights", "random", *NETWORK[4:], "--objective", 'guide("~/image.png")@features.3')
    done = dreamvid("image", "~/image.png", "-o", "~/guided.png", *guide)
    assert (done.code, (home / "guided.png").is_file()) == (0, True), done.err


def test_in_every_flag_of_a_zoom(dreamvid: Run, home: Path) -> None:
    done = dreamvid(
        *("zoom", "~/image.png", "-o", "~/out.mp4", *NETWORK, "--weights", "random", "--frames", "0:2"),
        *("--camera-path", "~/path.txt", "--audio", "~/audio.m4a", "--trace", "~/trace.json"),
    )
    assert done.code == 0, done.err
    assert (home / "out.mp4").is_file()
    assert (home / "trace.json").is_file()


def test_in_the_other_commands(dreamvid: Run, home: Path) -> None:
    small = ("--dream-height", "48", *NETWORK, "--weights", "random", "--frames", "0:2")
    assert dreamvid("run", "~/clip.mp4", "-o", "~/dream.mp4", *small).code == 0
    scored = dreamvid("score", "~/clip.mp4", "~/dream.mp4", "--plot", "~/plot.png")
    assert (scored.code, (home / "plot.png").is_file()) == (0, True), scored.err
    assert dreamvid("presets", "show", "~/dream.mp4.toml").code == 0
    drawn = dreamvid("layers", "squeezenet1_1", "--weights", "~/net.pth", "--graph", "~/net.svg")
    assert (drawn.code, (home / "net.svg").is_file()) == (0, True), drawn.err
    sheet = dreamvid(
        *("sheet", "~/clip.mp4@0.1", "-o", "~/sheet.png", "--vary", "octaves=1|2", *NETWORK, "--weights", "random")
    )
    assert (sheet.code, (home / "sheet.png").is_file()) == (0, True), sheet.err
