import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from clips import ffmpeg, image

from dreamvid.errors import SourceError
from dreamvid.image.io import write_image
from dreamvid.video.source import open_source


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "shots %d"
    folder.mkdir()
    for number in (10, 9, 2, 1):
        write_image(folder / f"f_{number}.png", image(number))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("text", ["", "f_%d.png", "*.png", "f_*"])
def test_images_are_in_natural_order(images: Path, text: str) -> None:
    source = open_source(f"{images}/{text}")
    assert source.kind == "images"
    assert [path.name for path in source.paths] == ["f_1.png", "f_2.png", "f_9.png", "f_10.png"]


def test_a_padded_pattern_takes_only_what_it_names(tmp_path: Path) -> None:
    for name in ("f_0001.png", "f_0002.png", "f_3.png", "g_0004.png", "f_10000.png"):
        write_image(tmp_path / name, image(0))
    names = [path.name for path in open_source(f"{tmp_path}/f_%04d.png").paths]
    assert names == ["f_0001.png", "f_0002.png", "f_10000.png"]


def test_one_image_and_one_film(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", image(0))
    write_image(tmp_path / "a.webp", image(0))
    (tmp_path / "a%d.mp4").write_bytes(b"x")
    assert open_source(tmp_path / "a.png").kind == "images"
    assert open_source(tmp_path / "a.webp").kind == "images"
    assert open_source(tmp_path / "a%d.mp4").kind == "file"
    assert open_source("lavfi:testsrc2").kind == "lavfi"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for text, words in (
        (f"{tmp_path}/none.mp4", "no such file"),
        (f"{tmp_path}/empty.mp4", "file is empty"),
        (f"{tmp_path}/folder", "no images"),
        (f"{tmp_path}/*.png", "no images"),
        (f"{tmp_path}/f_%04d.png", "no file matches"),
        ("lavfi:", "lacks its filter graph"),
        ("https://example.org/a.mp4", "addresses are not read"),
    ):
        with pytest.raises(SourceError, match=words):
            open_source(text)


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    first = tmp_path / "a.mp4"
    first.write_bytes(os.urandom(5_000_000))
    second = tmp_path / "b.mp4"
    shutil.copy(first, second)
    os.utime(second, (1, 1))
    assert open_source(first).fingerprint() == open_source(second).fingerprint()
    for place in (0, 2_500_000, 4_999_999):
        data = bytearray(first.read_bytes())
        data[place] ^= 1
        second.write_bytes(data)
        assert open_source(first).fingerprint() != open_source(second).fingerprint(), place
    assert open_source("lavfi:a").fingerprint() != open_source("lavfi:b").fingerprint()


def test_the_fingerprint_of_images(images: Path) -> None:
    before = open_source(images).fingerprint()
    assert before != open_source(images, images_rate=Fraction(12)).fingerprint()
    write_image(images / "f_9.png", image(99))
    assert before != open_source(images).fingerprint()


_READ_STDIN = """
from dreamvid.video.source import open_source
from dreamvid.video.probe import probe, scan
source = open_source("-")
info = probe(source)
print(source.kind, info.width, info.height, info.frame_rate, scan(source, info).count)
"""


def test_y4m_on_stdin(tmp_path: Path) -> None:
    clip = tmp_path / "a.y4m"
    graph = "testsrc2=s=48x32:r=24000/1001"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", graph, "-frames:v", "7", "-pix_fmt", "yuv420p", clip)
    with clip.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _READ_STDIN], stdin=file, capture_output=True, text=True, check=True
        )
    assert done.stdout.split() == ["stdin", "48", "32", "24000/1001", "7"]


def test_nothing_on_stdin() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ_STDIN],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SourceError: nothing came in on stdin" in done.stderr
