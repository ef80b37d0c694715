"""`dreamvid zoom`, and what `dreamvid presets` draws of its presets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamvid.cli.commands.zoom import default_output
from dreamvid.image.io import read_image
from dreamvid.settings import list_presets, load_settings
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

Run = Callable[..., Any]
FAST = ("--objective", "blocks.1.0", "--octaves", "1", "--iterations", "1", "--size", "64x48")


def test_noise_twice_is_the_same(dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid("zoom", "noise", *FAST, "--frames", "0:4", "--seed", "1", "-o", "a.mp4")
    assert (done.code, done.out) == (0, "a.mp4\na.mp4.toml\n")
    info = probe(open_source(tmp_path / "a.mp4"))
    assert (info.width, info.height, info.frame_rate) == (64, 48, 30)
    assert scan(open_source(tmp_path / "a.mp4"), info).count == 4
    assert dreamvid("zoom", "noise", "--preset", "a.mp4.toml", "-o", "b.mp4").code == 0
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_from_an_image_and_from_a_film(dreamvid: Run, clips: Path, tmp_path: Path) -> None:
    flags = (*FAST, "--frames", "0:2", "--pan-x", "-0.1", "--zoom", "0s: 1.2, 4s: 0.8 ease-in-out", "--loop")
    assert dreamvid("zoom", clips / "image.png", *flags).out.startswith("image.zoom.mp4\n")
    assert dreamvid("zoom", f"{clips / 'clip.mp4'}@0.2", *flags).out.startswith("clip.zoom.mp4\n")
    settings = load_settings(tmp_path / "clip.zoom.mp4.toml")
    assert settings.camera.pan_x == -0.1
    assert settings.camera.loop
    assert settings.schedules["zoom"] == "0s: 1.2, 4s: 0.8 ease-in-out"


def test_help_has_the_camera_and_no_flow(dreamvid: Run) -> None:
    zoom, run = dreamvid("zoom", "--help-all").out, dreamvid("run", "--help-all").out
    for flag in ("--zoom", "--kaleidoscope", "--dream-rate"):
        assert flag in zoom
        assert flag not in run
    assert "--audio" in zoom
    assert "--audio" in run
    assert "--flow" in run
    assert "--flow" not in zoom
    assert "640x480" in zoom


def test_default_output() -> None:
    assert default_output("noise") == "noise.zoom.mp4"
    assert default_output("photos/cat.jpg") == "cat.zoom.mp4"
    assert default_output("clips/road.mov@1:02:03.5") == "road.zoom.mp4"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("zoom", "nowhere.png"), "no image nowhere.png"),
        (("zoom", "noise", "--zoom", "0"), "--zoom"),
        (("zoom", "noise", "--zoom", "1.2 + 0.3*sin(tau*t"), "')' to close"),
        (("zoom", "noise", "--rotate", "0s: 1, 0s: 2"), "keyframes must be in the order"),
        (("zoom", "noise", "--dream-rate", "0.1 + wobble"), "'wobble'"),
        (("zoom", "noise", "--frames", "5:9"), "begins with frame 0"),
        (("zoom", "noise", "--audio", "text.txt"), "is not there"),
        (("zoom", "noise", "--camera-path", "nowhere.txt"), "nowhere.txt"),
        (("run", "clip.mp4", "--preset", "spiral"), "dreamvid zoom --preset spiral"),
        (("presets", "sheet", "plants", "tunnel"), "on sheets of their own"),
        (("presets", "sheet", "tunnel", "demo@1"), "on sheets of their own"),
        (("presets", "sheet", "#panting"), "'painting'"),
        (("presets", "sheet", "demo@1", "plnts"), "'plants'"),
        (("presets", "sheet", "--width", "3"), "from 16 to 4096"),
        (("presets", "show", "infinite-zoom", "--plot", "plot.png"), "no schedule to draw"),
    ],
)
def test_bad_input(words: tuple[str, ...], said: str, dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid(*words)
    assert done.code == 2
    assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_sound_file_without_sound(dreamvid: Run, clips: Path) -> None:
    done = dreamvid("zoom", "noise", *FAST, "--audio", clips / "clip.mp4")
    assert done.code == 2
    assert "clip.mp4 has no sound" in done.err


def test_a_run_preset_gives_its_look(dreamvid: Run, tmp_path: Path) -> None:
    words = ("zoom", "noise", *FAST[2:], "--preset", "plants", "--frames", "0:1", "--dream-height", "48", "-o", "a.mp4")
    assert dreamvid(*words).code == 0
    assert load_settings(tmp_path / "a.mp4.toml").dream.objective == "blocks.5.1"


def test_the_gallery(dreamvid: Run, tmp_path: Path) -> None:
    done = dreamvid("presets", "sheet", "slow-bloom", "-o", "gallery.png", "--size", "64x48")
    assert (done.code, done.out) == (0, "gallery.png\n")
    assert read_image(tmp_path / "gallery.png").shape[1] == 4 * (64 + 8)


def test_the_schedules_as_an_image(dreamvid: Run, tmp_path: Path) -> None:
    assert dreamvid("presets", "show", "tunnel", "--plot", "tunnel.png").out == "tunnel.png\n"
    panels = len(load_settings("tunnel").schedules)
    assert read_image(tmp_path / "tunnel.png").shape == (200 * panels, 960, 3)
    assert dreamvid("presets", "show", "travel", "--plot", "travel.png").code == 0
    assert read_image(tmp_path / "travel.png").shape[0] == 400


def test_the_table_names_both_defaults(dreamvid: Run) -> None:
    told = dreamvid("presets").out
    assert told.count("(default)") == 2
    for preset in list_presets("zoom"):
        assert preset.name in told
