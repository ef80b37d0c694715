"""What the commands do when all is well."""

import os
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvid.cli.commands.run import default_output
from dreamvid.image.io import read_image
from dreamvid.settings import list_presets, load_settings
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

Run = Callable[..., Any]


class TestRun:
    def test_a_film_and_its_recipe(self, render: Run, clips: Path, tmp_path: Path) -> None:
        done = render(clips / "clip.mp4", "-o", "out.mp4", "--seed", "7")
        assert done.code == 0
        assert done.out == "out.mp4\nout.mp4.toml\n"
        assert "4 frames" in done.err
        assert {path.name for path in tmp_path.iterdir()} == {"out.mp4", "out.mp4.toml"}
        film = open_source(tmp_path / "out.mp4")
        info = probe(film)
        assert (info.width, info.height, scan(film, info).count) == (64, 48, 4)
        assert load_settings(tmp_path / "out.mp4.toml").render.seed == 7

    def test_the_recipe_gives_the_same_film(self, render: Run, dreamvid: Run, clips: Path, tmp_path: Path) -> None:
        assert render(clips / "clip.mp4", "-o", "one.mp4", "--frames", "1:3", "--half-life", "0.5").code == 0
        assert dreamvid("run", clips / "clip.mp4", "-o", "two.mp4", "--preset", "one.mp4.toml").code == 0
        assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()

    def test_quiet_is_quiet(self, render: Run, clips: Path, tmp_path: Path) -> None:
        done = render(clips / "truncated.mp4", "-o", "out.mp4", "--quiet", "--frames", "0:2")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert (tmp_path / "out.mp4").is_file()
        assert "error: " in render(clips / "clip.mp4", "-o", "out.mp4", "--quiet").err

    def test_without_an_output_it_lies_in_the_current_folder(self, render: Run, clips: Path, tmp_path: Path) -> None:
        done = render(clips / "clip.mp4", "--frames", "0:1")
        assert done.out.splitlines()[0] == "clip.dream.mp4"
        assert (tmp_path / "clip.dream.mp4").is_file()

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
    def test_file_names_need_not_be_utf8(self, render: Run, clips: Path, tmp_path: Path) -> None:
        name = os.fsdecode(b"\xff.mp4")
        shutil.copy(clips / "clip.mp4", tmp_path / name)
        assert render(name, "-o", f"out-{name}", "--frames", "0:1").code == 0
        assert (tmp_path / f"out-{name}").is_file()
        assert load_settings(tmp_path / f"out-{name}.toml").video.frames == "0:1"

    @pytest.mark.parametrize("words", [("--objective", "-0.5*blocks.4.1"), ("--objective=-0.5*blocks.4.1",)])
    def test_an_objective_may_begin_with_a_minus(
        self, words: tuple[str, ...], render: Run, clips: Path, tmp_path: Path
    ) -> None:
        assert render(clips / "clip.mp4", "-o", "out.mp4", "--frames", "0:1", *words).code == 0
        recipe = tomllib.loads((tmp_path / "out.mp4.toml").read_text(encoding="utf-8"))
        assert recipe["dream"]["objective"] == "-0.5*blocks.4.1"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("clips/road.mov", "road.dream.mp4"),
        ("-", "stdin.dream.mp4"),
        ("lavfi:mandelbrot=size=320x240:rate=30", "mandelbrot.dream.mp4"),
        ("lavfi:testsrc", "testsrc.dream.mp4"),
        ("shots/scene_%04d.png", "scene.dream.mp4"),
        ("shots/*.png", "video.dream.mp4"),
        ("shots/", "shots.dream.mp4"),
        ("a.b c.mp4", "a.b c.dream.mp4"),
    ],
)
def test_default_output(source: str, name: str) -> None:
    assert default_output(source) == name


def test_image(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    words = ("image", clips / "image.png", "--iterations", "2", "--octaves", "1", "--device", "cpu")
    done = dreamvid(*words)
    assert (done.code, done.out, done.err) == (0, "image.dream.png\n", "")
    before, after = read_image(clips / "image.png"), read_image(tmp_path / "image.dream.png")
    assert after.shape == before.shape
    assert 0.5 < np.abs(after.astype(float) - before).mean() < 30
    assert dreamvid(*words, "-o", "again.png", "--quiet").out == ""
    assert (read_image(tmp_path / "again.png") == after).all()


def test_presets(dreamvid: Run) -> None:
    told = dreamvid("presets").out
    for preset in list_presets():
        assert preset.name in told
        assert preset.description in told


def test_a_preset_is_shown_in_full_and_is_a_preset_again(dreamvid: Run, tmp_path: Path) -> None:
    told = dreamvid("presets", "show", "plants").out
    (tmp_path / "mine.toml").write_text(told, encoding="utf-8")
    assert load_settings(tmp_path / "mine.toml").model_dump() == load_settings("plants").model_dump()
    tables = tomllib.loads(told)
    assert tables["dream"].keys() == load_settings().dream.model_dump(exclude_none=True).keys()


def test_layers(dreamvid: Run) -> None:
    rows = {line.split()[0]: line.split() for line in dreamvid("layers").out.splitlines()}
    # Of EfficientNet-Lite2: 120 channels, after 2·2·2·2 = 16 pixels.
    assert rows["blocks.4.1"][1:3] == ["120", "16"]
    assert rows["conv_stem"][1:4] == ["32", "2", "3"]
    assert "'efficientnet_lite2'" in dreamvid("layers", "efficientnet_lite_2").err


def test_models(dreamvid: Run) -> None:
    rows = {line.split()[0]: line for line in dreamvid("models").out.splitlines() if line}
    assert "embedded" in rows["efficientnet_lite2"]
    assert "torchvision" in rows["googlenet"]
    found = dreamvid("models", "convnext_t").out
    assert "convnext_tiny" in found
    assert "googlenet" not in found
    unknown = dreamvid("models", "nosuchthing")
    assert unknown.code == 2
    assert "'nosuchthing'" in unknown.err


def test_doctor(dreamvid: Run) -> None:
    done = dreamvid("doctor")
    assert done.code == 0
    for part in ("python", "torch", "timm", "device cpu", "libx264", "ffmpeg path", "embedded weights", "GB"):
        assert part in done.out
