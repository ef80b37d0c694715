from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import color_error, image, number_of
from passthrough import read

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.video.encode import SegmentWriter, StreamSpec
from dreamvid.video.encoders import ENCODERS, LOSSLESS, Encoding

SPEC = StreamSpec(96, 64, Fraction(30), Fraction(1, 30))
H264 = Encoding(ENCODERS["libx264"])


def test_lossless_is_bit_exact(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(1).integers(0, 256, (5, 63, 95, 3), np.uint8))
    with SegmentWriter(tmp_path / "a.mov", replace(SPEC, width=95, height=63), LOSSLESS) as writer:
        for pts, frame in enumerate(frames):
            writer.write(frame, pts)
    got = read(tmp_path / "a.mov")
    assert all(np.array_equal(a.pixels, b) for a, b in zip(got.frames, frames, strict=True))


def test_sixteen_bits_lossless_are_bit_exact(tmp_path: Path) -> None:
    frames = list(np.random.default_rng(1).integers(0, 65536, (3, 64, 96, 3), np.uint16))
    with SegmentWriter(tmp_path / "a.mov", replace(SPEC, bit_depth=16), LOSSLESS) as writer:
        for pts, frame in enumerate(frames):
            writer.write(frame, pts)
    got = read(tmp_path / "a.mov")
    assert all(np.array_equal(a.pixels, b) for a, b in zip(got.frames, frames, strict=True))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "ffv1"])
@pytest.mark.parametrize("constant", [True, False])
def test_every_encoder_keeps_colors_and_times(tmp_path: Path, codec: str, constant: bool) -> None:
    encoding = Encoding(ENCODERS[codec])
    path = tmp_path / f"a{encoding.segment_suffix}"
    spec = StreamSpec(96, 64, Fraction(24000, 1001), Fraction(1, 24000), constant, Fraction(4, 3))
    pts = [1001 * n for n in range(12)] if constant else [1001 * n + 77 * (n % 3) for n in range(12)]
    with SegmentWriter(path, spec, encoding) as writer:
        for number, ticks in enumerate(pts):
            writer.write(image(number), ticks)
    got = read(path)
    assert [frame.pts for frame in got.frames] == pts
    assert got.info.sample_aspect == Fraction(4, 3)
    assert got.scan.constant_rate == constant
    assert got.info.matrix == ("rgb" if codec == "ffv1" else "bt709")
    assert (got.info.primaries, got.info.transfer) == ("bt709", "bt709")
    for number, frame in enumerate(got.frames):
        assert number_of(frame.pixels) == number
        assert color_error(frame.pixels, image(number)) < 2.5


def test_hdr_keeps_code_values_and_tags(tmp_path: Path) -> None:
    encoding = Encoding(ENCODERS["libx265"], 4)
    spec = replace(SPEC, bit_depth=10, matrix="bt2020nc", primaries="bt2020", transfer="smpte2084")
    with SegmentWriter(tmp_path / "a.mp4", spec, encoding) as writer:
        for number in range(3):
            writer.write(image(number).astype(np.uint16) * 257, number)
    got = read(tmp_path / "a.mp4")
    assert (got.info.matrix, got.info.transfer, got.info.bit_depth, got.info.hdr) == (
        "bt2020",
        "smpte2084",
        10,
        True,
    )
    assert color_error(got.frames[1].pixels, image(1)) < 1.5


def test_odd_sizes_repeat_the_last_row_and_column(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "a.mp4", replace(SPEC, width=161, height=97), H264) as writer:
        for number in range(3):
            writer.write(image(number, 161, 97), number)
    frame = read(tmp_path / "a.mp4").frames[2].pixels
    assert frame.shape == (98, 162, 3)
    assert color_error(frame[:97, :161], image(2, 161, 97)) < 2.5
    assert np.abs(frame[40:, 161].astype(int) - frame[40:, 160]).mean() < 3
    assert np.abs(frame[97].astype(int) - frame[96]).mean() < 3


def test_one_frame_is_enough(tmp_path: Path) -> None:
    for constant in (True, False):
        path = tmp_path / f"{constant}.mp4"
        with SegmentWriter(path, replace(SPEC, constant_rate=constant), H264) as writer:
            writer.write(image(7), 1234)
        assert [number_of(frame.pixels) for frame in read(path).frames] == [7]


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        with SegmentWriter(tmp_path / name, SPEC, H264) as writer:
            for number in range(10):
                writer.write(image(number), number)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_left_of_an_unfinished_segment(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def stumble() -> None:
        with SegmentWriter(path, SPEC, H264) as writer:
            writer.write(image(0), 0)
            assert not path.exists()
            raise KeyError

    with pytest.raises(KeyError):
        stumble()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FfmpegError, match="no frame"), SegmentWriter(path, SPEC, H264):
        pass
    writer = SegmentWriter(path, SPEC, H264)
    writer.write(image(0), 0)
    writer.abort()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_gives_up_is_an_error(tmp_path: Path) -> None:
    tiny = replace(SPEC, width=2, height=2)  # too small for this one
    encoding = Encoding(ENCODERS["libsvtav1"])

    def encode() -> None:
        with SegmentWriter(tmp_path / "a.mp4", tiny, encoding) as writer:
            for number in range(10_000):
                writer.write(np.zeros((2, 2, 3), np.uint8), number)

    with pytest.raises(FfmpegError, match=r"encoding a\.mp4"):
        encode()
    assert list(tmp_path.iterdir()) == []


def test_wrong_frames_and_folders_are_refused(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "a.mp4", SPEC, H264) as writer:
        writer.write(image(0), 5)
        with pytest.raises(ValueError, match="shape"):
            writer.write(image(0, 98, 64), 6)
        with pytest.raises(ValueError, match="uint8"):
            writer.write(image(0).astype(np.uint16), 6)
        with pytest.raises(ValueError, match="times must grow"):
            writer.write(image(0), 5)
    assert len(read(tmp_path / "a.mp4").frames) == 1
    with pytest.raises(OutputError, match="cannot write in the folder"):
        SegmentWriter(tmp_path / "no" / "a.mp4", SPEC, H264)
    with pytest.raises(OutputError, match=r"named \*\.mp4"):
        SegmentWriter(tmp_path / "a.mkv", SPEC, H264)
