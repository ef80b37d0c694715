import os
import shutil
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import ffmpeg, image, number_of
from PIL import Image
from renders import tiny

from dreamvid.errors import SourceError
from dreamvid.image.io import write_image
from dreamvid.render.engine import render_video
from dreamvid.settings import load_settings
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_for_render, open_source
from dreamvid.video.sources.images import ImagesSource


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


@pytest.mark.parametrize("name", ["clip [1080p].mp4", "clip [a-z].png", "[x] shot.mov"])
def test_brackets_in_a_name_are_no_pattern_where_nothing_matches(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(tmp_path / name)
    write_image(tmp_path / "clip [1080p].png", image(0))
    assert open_source(tmp_path / "clip [1080p].png").paths == (tmp_path / "clip [1080p].png",)
    write_image(tmp_path / "clip b.png", image(0))
    assert open_source(tmp_path / "clip [a-z].png").paths == (tmp_path / "clip b.png",)


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write_image(tmp_path / "holiday.png", image(0))
    with pytest.raises(SourceError, match=r"Did you mean 'holiday\.png'\? Allowed: demo, lavfi:GRAPH, - for y4m"):
        open_source(tmp_path / "holidy.png")
    with pytest.raises(SourceError, match=r"Did you mean 'demo'"):
        open_source("demmo")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shots").mkdir()
    for number in range(3):
        write_image(tmp_path / "shots" / f"{number}.png", image(number))
    for text in ("~/shots", "~/shots/*.png", "~/shots/%d.png", "~/shots/[0-9].png"):
        assert len(open_source(text).paths) == 3


def test_the_rate_of_images(images: Path) -> None:
    def rate(**chosen: str) -> Fraction:
        return probe(open_for_render(images, load_settings(**chosen).video)).frame_rate

    assert (rate(), rate(fps="24"), rate(input_fps="12"), rate(fps="24", input_fps="12")) == (25, 24, 12, 12)
    source = open_for_render(images, load_settings(fps="10").video)
    with FrameReader(source, probe(source), fps=Fraction(10)) as reader:
        assert [number_of(frame.pixels) for frame in reader] == [1, 2, 9, 10]
    with pytest.raises(SourceError, match=r"`input_fps` is for images, and demo has times of its own"):
        open_source("demo", images_rate=Fraction(10))
    with pytest.raises(SourceError, match="no streams to choose from"):
        open_source(images, stream=1)


def test_images_of_16_bits_keep_their_depth(tmp_path: Path) -> None:
    deep = np.arange(48 * 64 * 3, dtype=np.uint16).reshape(48, 64, 3) * 7
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), deep[:, :, ::-1] + number)
    write_image(tmp_path / "2.png", image(0, 64, 48))
    source = open_source(tmp_path)
    info = probe(source)
    assert info.bit_depth == 16
    with FrameReader(source, info) as reader:
        frames = [frame.pixels for frame in reader]
    assert np.array_equal(frames[0], deep)
    assert np.array_equal(frames[1], deep + 1)
    assert np.array_equal(frames[2], image(0, 64, 48).astype(np.uint16) * 257)


def test_depth_is_kept_wherever_the_deep_image_comes(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    Image.fromarray(image(0, 64, 48)).save(tmp_path / "0.png")
    Image.fromarray(image(1, 64, 48)).save(tmp_path / "1.jpg", quality=95)
    cv2.imwrite(str(tmp_path / "2.png"), deep[:, :, ::-1])
    source = open_source(tmp_path)
    assert isinstance(source, ImagesSource)
    assert source.bit_depth == 16
    assert np.array_equal(source.frame(0), image(0, 64, 48).astype(np.uint16) * 257)
    assert np.array_equal(source.frame(2), deep)


def test_a_huge_image_in_a_folder_is_refused_by_name_before_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(image(number, 64, 48)).save(folder / f"{number}.png")
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 7_001, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 100) + b"IDAT" + b"\0" * 104)
    with pytest.raises(SourceError, match=r"2\.png is too large: 30000x7001 are 210 million pixels"):
        render_video(folder, tmp_path / "dream.mkv", tiny())
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


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
