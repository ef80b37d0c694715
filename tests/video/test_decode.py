import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import FRAMES, ZOO, color_error, image, number_of
from passthrough import read

from dreamvid.errors import FfmpegError, SourceError
from dreamvid.image.io import write_image
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

Zoo = Callable[[str], Path]


@pytest.mark.parametrize("name", ZOO)
def test_every_clip_is_read_frame_by_frame(zoo: Zoo, name: str) -> None:
    clip = ZOO[name]
    got = read(zoo(name))
    assert [frame.index for frame in got.frames] == list(range(got.scan.count))
    assert [frame.pts for frame in got.frames] == list(got.scan.pts)
    width, height = clip.size
    dtype = np.uint16 if clip.bit_depth > 8 else np.uint8
    for frame in got.frames:
        assert frame.time_seconds == pytest.approx(float(frame.pts * got.info.time_base))
        assert frame.pixels.shape == (height, width, 3)
        assert frame.pixels.dtype == dtype
    if clip.damaged:
        return
    upright = [np.rot90(frame.pixels, -1) if clip.rotated else frame.pixels for frame in got.frames]
    assert tuple(map(number_of, upright)) == clip.numbers
    expected = [image(number, upright[0].shape[1], upright[0].shape[0]) for number in clip.numbers]
    assert max(map(color_error, upright, expected)) <= clip.error


@pytest.mark.parametrize(
    "name",
    ["constant.mp4", "gap.mp4", "interlaced.mpg", "resized.ts", "stream.ts", "delays.gif", "edit_list.mp4"],
)
def test_a_part_is_the_same_as_in_the_whole(zoo: Zoo, name: str) -> None:
    got = read(zoo(name))
    with FrameReader(got.source, got.info, start=13, stop=18) as reader:
        part = list(reader)
    assert [frame.index for frame in part] == [13, 14, 15, 16, 17]
    for frame, whole in zip(part, got.frames[13:18], strict=True):
        assert frame.pts == whole.pts
        assert np.array_equal(frame.pixels, whole.pixels)
    with FrameReader(got.source, got.info, start=20) as reader:
        assert [frame.index for frame in reader] == list(range(20, got.scan.count))


def test_the_size_is_as_asked_for(zoo: Zoo) -> None:
    source = open_source(zoo("constant.mp4"))
    with FrameReader(source, probe(source), size=Size(height=40, width=50), stop=3) as reader:
        frames = list(reader)
    assert [frame.pixels.shape for frame in frames] == [(40, 50, 3)] * 3
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize("rate", [Fraction(15), Fraction(60), Fraction(24000, 1001)])
def test_another_rate_shows_what_is_nearest_in_time(zoo: Zoo, rate: Fraction) -> None:
    source = open_source(zoo("constant.mp4"))
    info = probe(source)
    with FrameReader(source, info, fps=rate) as reader:
        assert reader.time_base == 1 / rate
        frames = list(reader)
    assert abs(len(frames) - FRAMES / 30 * rate) <= 1
    assert [frame.pts for frame in frames] == list(range(len(frames)))
    for frame in frames:
        assert abs(number_of(frame.pixels) / 30 - frame.time_seconds) <= 0.5 / min(rate, 30) + 0.02
    with FrameReader(source, info, fps=rate, start=5, stop=9) as reader:
        assert [(frame.index, frame.pts) for frame in reader] == [(n, n) for n in range(5, 9)]


def test_ten_bits_keep_their_levels(zoo: Zoo) -> None:
    frame = read(zoo("pq.mp4")).frames[0].pixels
    assert len(np.unique(frame >> 6)) > 300  # 8 bits could not hold as many


def test_images_of_several_sizes(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"{number}.png", image(number, 96 + 10 * number, 64))
    source = open_source(tmp_path)
    info = probe(source)
    with FrameReader(source, info) as reader:
        frames = list(reader)
    assert [number_of(frame.pixels) for frame in frames] == list(range(6))
    assert {frame.pixels.shape for frame in frames} == {(64, 96, 3)}
    assert np.array_equal(frames[0].pixels, image(0))
    with FrameReader(source, info, start=2, stop=4) as reader:
        assert [number_of(frame.pixels) for frame in reader] == [2, 3]
    with FrameReader(source, info, fps=2 * info.frame_rate) as reader:
        assert [number_of(frame.pixels) for frame in reader] == [n // 2 for n in range(12)]


def test_an_error_in_the_thread_reaches_the_consumer(zoo: Zoo, tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", image(number))
    source = open_source(tmp_path)
    info = probe(source)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    with FrameReader(source, info) as reader:
        assert next(reader).index == 0
        with pytest.raises(SourceError, match=r"1\.png"):
            next(reader)
        assert list(reader) == []
    film = tmp_path / "a.mp4"
    film.write_bytes(zoo("silent.mp4").read_bytes())
    source = open_source(film)
    info = probe(source)
    film.unlink()
    with FrameReader(source, info) as reader, pytest.raises(FfmpegError, match=r"decoding .*No such file"):
        next(reader)


def test_leaving_early_ends_thread_and_process() -> None:
    before = threading.active_count()
    source = open_source("lavfi:testsrc2=s=320x240")
    with FrameReader(source, probe(source), queue_frames=2) as reader:
        assert next(reader).index == 0
        assert threading.active_count() > before
    assert threading.active_count() == before
    assert list(reader) == []
    reader.close()


def test_an_empty_range_is_refused(zoo: Zoo) -> None:
    source = open_source(zoo("silent.mp4"))
    info = probe(source)
    for start, stop in ((5, 5), (-1, None), (9, 3)):
        with pytest.raises(SourceError, match="START:STOP"):
            FrameReader(source, info, start=start, stop=stop)
