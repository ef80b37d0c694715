"""Bad input: a message that helps, exit code 2, nothing left behind, and a remedy that works."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import dreamvid
from dreamvid.errors import DreamvidError
from dreamvid.video.encoders import ENCODERS, check_encoder

Run = Callable[..., Any]


def listing(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def refused(outcome: Any, folder: Path, *parts: str, left: set[str] | None = None) -> None:
    """Check a refusal: its code, its message, and that only `left` is in the folder."""
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    for part in parts:
        assert part in outcome.err
    assert listing(folder) == {Path(name) for name in left or set()}


def accepted(outcome: Any, folder: Path, output: str = "out.mp4") -> None:
    assert outcome.code == 0, outcome.err
    assert (folder / output).stat().st_size > 0
    assert (folder / f"{output}.toml").stat().st_size > 0
    assert not (folder / f".{output}.job").exists()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("nowhere.mp4", ["no such file", "nowhere.mp4"]),
        ("nothing", ["nothing", "no image"]),
        ("empty.mp4", ["empty.mp4", "empty"]),
        ("text.mp4", ["text.mp4"]),
        ("audio.m4a", ["audio.m4a", "no video"]),
    ],
)
def test_sources_that_are_none(source: str, parts: list[str], render: Run, clips: Path, tmp_path: Path) -> None:
    refused(render(clips / source, "-o", "out.mp4"), tmp_path, *parts)


def test_a_missing_file_is_found_under_its_right_name(render: Run, clips: Path, tmp_path: Path) -> None:
    refused(render("clip.mp4", "-o", "out.mp4"), tmp_path, "clip.mp4")
    accepted(render(clips / "clip.mp4", "-o", "out.mp4"), tmp_path)


def test_a_folder_with_images_is_a_film(render: Run, clips: Path, tmp_path: Path) -> None:
    refused(render(clips / "nothing", "-o", "out.mp4"), tmp_path, ".png")
    (tmp_path / "images").mkdir()
    for number in range(2):
        shutil.copy(clips / "image.png", tmp_path / "images" / f"{number}.png")
    accepted(render(tmp_path / "images", "-o", "out.mp4"), tmp_path)


def test_a_truncated_file_is_dreamed_as_far_as_it_goes(render: Run, clips: Path, tmp_path: Path) -> None:
    outcome = render(clips / "truncated.mp4", "-o", "out.mp4")
    accepted(outcome, tmp_path)
    (told,) = [line for line in outcome.err.splitlines() if "frames could be decoded" in line]
    assert told.startswith("warning: ")
    assert "of 30" in told


def test_a_range_without_frames(render: Run, clips: Path, tmp_path: Path) -> None:
    words = (clips / "clip.mp4", "-o", "out.mp4", "--frames")
    refused(render(*words, "100:200"), tmp_path, "100", "4 frames")
    accepted(render(*words, "2:4"), tmp_path)


@pytest.mark.parametrize(
    ("words", "parts", "remedy"),
    [
        (["--preset", "plnts"], ["'plnts'", "'plants'", "dreamvid presets"], ["--preset", "plants"]),
        (
            ["--model", "efficientnet_lite_2"],
            ["'efficientnet_lite_2'", "'efficientnet_lite2'", "dreamvid models"],
            ["--model", "efficientnet_lite2"],
        ),
        (
            ["--objective", "blocks.4.9"],
            ["'blocks.4.9'", "'blocks.4.1'", "dreamvid layers efficientnet_lite2"],
            ["--objective", "blocks.4.1"],
        ),
        (
            ["--objective", "blocks.4.1:5000"],
            ["5000", "numbered 0 to 119"],
            ["--objective", "blocks.4.1:119"],
        ),
        (
            ["--objective", "class:peacok"],
            ["'peacok'", "'peacock'", "0 to 999"],
            ["--objective", "class:peacock"],
        ),
        (
            ["--objective", "blocks.4.1 *2"],
            ["blocks.4.1 *2\n", "^", "0.5*LAYER"],
            ["--objective", "2*blocks.4.1"],
        ),
        (["--objective", "-0.2*mixed5"], ["'mixed5'", "dreamvid layers"], ["--objective", "-0.2*blocks.4.1"]),
        (["--codec", "libxvid"], ["'libxvid'", "libx264", "libx265"], ["--codec", "libx265"]),
        (["--crf", "60"], ["60", "0 (best) to 51"], ["--crf", "51"]),
        (["--octaves", "99"], ["'99'", "1 up to 12"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0][:2] == "--" else None,
)
def test_names_and_values_that_are_wrong(
    words: list[str], parts: list[str], remedy: list[str], dreamvid: Run, clips: Path, tmp_path: Path
) -> None:
    fast = ("--iterations", "1", "--dream-height", "48", "--device", "cpu", "--frames", "0:1")
    command = ("run", clips / "clip.mp4", "-o", "out.mp4", *fast)
    refused(dreamvid(*command, *words), tmp_path, *parts)
    accepted(dreamvid(*command, *remedy), tmp_path)


def test_a_checkpoint_of_another_architecture(render: Run, clips: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine.pth"
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), checkpoint)
    words = (clips / "clip.mp4", "-o", "out.mp4", "--frames", "0:1", "--weights", checkpoint)
    refused(render(*words), tmp_path, str(checkpoint), "--model", left={"mine.pth"})
    right = ("--model", "mobilenetv3_small_050", "--objective", "blocks.3.0")
    accepted(render(*words, *right), tmp_path)


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'touch harmed'\ntR.", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint(content: bytes, render: Run, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(content)
    outcome = render(clips / "clip.mp4", "-o", "out.mp4", "--weights", "mine.pth")
    refused(outcome, tmp_path, "'mine.pth'", left={"mine.pth"})


class TestOutput:
    def test_a_missing_folder(self, render: Run, clips: Path, tmp_path: Path) -> None:
        words = (clips / "clip.mp4", "--frames", "0:1", "-o", "films/out.mp4")
        outcome = render(*words)
        refused(outcome, tmp_path, "films", "mkdir -p films")
        subprocess.run(outcome.err.split(": ")[-1], shell=True, check=True)
        accepted(render(*words), tmp_path / "films")

    def test_an_output_that_exists(self, render: Run, clips: Path, tmp_path: Path) -> None:
        words = (clips / "clip.mp4", "--frames", "0:1", "-o", "out.mp4")
        (tmp_path / "out.mp4").write_text("precious", encoding="utf-8")
        refused(render(*words), tmp_path, "out.mp4", "--overwrite", left={"out.mp4"})
        assert (tmp_path / "out.mp4").read_text(encoding="utf-8") == "precious"
        accepted(render(*words, "--overwrite"), tmp_path)

    def test_the_source_is_never_the_output(self, render: Run, clips: Path, tmp_path: Path) -> None:
        shutil.copy(clips / "clip.mp4", tmp_path / "clip.mp4")
        outcome = render("clip.mp4", "-o", "clip.mp4", "--overwrite")
        refused(outcome, tmp_path, "source", left={"clip.mp4"})
        assert (tmp_path / "clip.mp4").read_bytes() == (clips / "clip.mp4").read_bytes()

    def test_an_unknown_suffix(self, render: Run, clips: Path, tmp_path: Path) -> None:
        words = (clips / "clip.mp4", "--frames", "0:1", "-o")
        for name in ("out.xyz", "out", "out.png"):
            refused(render(*words, name), tmp_path, "suffix", ".mp4", ".webm")
        accepted(render(*words, "out.mkv"), tmp_path, "out.mkv")

    def test_a_folder_that_cannot_be_written_to(self, render: Run, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory() as closed:
            Path(closed).chmod(0o555)
            with unprivileged():
                outcome = render("lavfi:testsrc=d=1", "-o", f"{closed}/out.mp4")
            refused(outcome, Path(closed), closed, "cannot be written to", "-o")


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody who may not write everywhere, as the administrator may."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        if not os.access(dreamvid.__path__[0], os.R_OK | os.X_OK):
            pytest.skip("nobody but the administrator may read this checkout")
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(render: Run, clips: Path, tmp_path: Path) -> None:
    words = (clips / "clip.mp4", "-o", "out.mp4", "--frames", "0:1", "--device")
    refused(render(*words, "cuda"), tmp_path, "--device cuda", "cpu")
    accepted(render(*words, "cpu"), tmp_path)


def test_an_encoder_that_does_not_run_here(render: Run, clips: Path, tmp_path: Path) -> None:
    def runs(name: str) -> bool:
        try:
            check_encoder(name)
        except DreamvidError:
            return False
        return True

    lacking = next((name for name in ("h264_nvenc", "hevc_nvenc") if not runs(name)), None)
    if lacking is None:
        pytest.skip(f"all of {', '.join(ENCODERS)} run here")
    words = (clips / "clip.mp4", "-o", "out.mp4", "--frames", "0:1", "--codec")
    refused(render(*words, lacking), tmp_path, repr(lacking), "libx264")
    accepted(render(*words, "libx264"), tmp_path)


class TestImage:
    @pytest.mark.parametrize(
        ("words", "parts"),
        [
            (["nowhere.png", "-o", "out.png"], ["nowhere.png"]),
            (["{clips}/text.mp4", "-o", "out.png"], ["text.mp4", ".png"]),
            (["{clips}/image.png", "-o", "out.mp4"], ["'.mp4'", ".png"]),
            (["{clips}/image.png", "-o", "films/out.png"], ["films", "mkdir -p films"]),
            (["{clips}/image.png", "-o", "out.png", "--objective", "blocks.4.9"], ["'blocks.4.1'"]),
        ],
    )
    def test_refusals(self, words: list[str], parts: list[str], dreamvid: Run, clips: Path, tmp_path: Path) -> None:
        refused(dreamvid("image", *(word.format(clips=clips) for word in words)), tmp_path, *parts)

    def test_an_output_that_exists(self, dreamvid: Run, clips: Path, tmp_path: Path) -> None:
        (tmp_path / "out.png").write_text("precious", encoding="utf-8")
        words = ("image", clips / "image.png", "-o", "out.png", "--iterations", "1", "--octaves", "1")
        refused(dreamvid(*words), tmp_path, "--overwrite", left={"out.png"})
        assert dreamvid(*words, "--overwrite").code == 0
        assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"

    def test_the_source_is_never_the_output(self, dreamvid: Run, clips: Path, tmp_path: Path) -> None:
        shutil.copy(clips / "image.png", tmp_path / "a.png")
        refused(dreamvid("image", "a.png", "-o", "./a.png", "--overwrite"), tmp_path, "source", left={"a.png"})
