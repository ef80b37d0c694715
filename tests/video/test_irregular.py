"""Videos that are not alike from their first frame to their last, or in which not everything is as it should be."""

import re
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import HEIGHT, WIDTH, X264, beep, color_error, ffmpeg, image, make, number_of, yuv
from PIL import Image

from dreamvid.errors import SourceError
from dreamvid.image.io import read_image
from dreamvid.video.decode import FrameReader, VideoFrame
from dreamvid.video.probe import Scan, VideoInfo, probe, scan
from dreamvid.video.source import open_source


def read(path: Path, **options: object) -> tuple[VideoInfo, Scan, list[VideoFrame]]:
    source = open_source(path, stream=options.pop("stream", None))  # type: ignore[arg-type]
    info = probe(source)
    seen = scan(source, info)
    with FrameReader(source, info, scan=seen, **options) as reader:  # type: ignore[arg-type]
        return info, seen, list(reader)


def set_pts(path: Path, frame: int, change: int) -> None:
    """Add ticks (90 kHz) to the time stamp of a frame of an MPEG transport stream."""
    data, count = bytearray(path.read_bytes()), 0
    for begin in range(0, len(data), 188):
        pid = (data[begin + 1] & 0x1F) << 8 | data[begin + 2]
        if pid != 0x100 or not data[begin + 1] & 0x40:
            continue
        packet = begin + 4 + (data[begin + 4] + 1 if data[begin + 3] & 0x20 else 0)
        if count == frame:
            place = packet + 9
            old = int.from_bytes(data[place : place + 5], "big")
            value = (old >> 33 & 7) << 30 | (old >> 17 & 0x7FFF) << 15 | (old >> 1 & 0x7FFF)
            value = (value + change) % 2**33
            new = (old >> 36) << 36 | value >> 30 << 33 | (value >> 15 & 0x7FFF) << 17 | (value & 0x7FFF) << 1
            data[place : place + 5] = (new | 1 << 32 | 1 << 16 | 1).to_bytes(5, "big")
        count += 1
    assert count > frame
    path.write_bytes(data)


@pytest.fixture(scope="module")
def whole_stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transport stream of 30 frames with sound, without B-frames."""
    codec = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "0", "-c:a", "mp2")
    path = make(
        tmp_path_factory.mktemp("stream") / "a.ts", "-map", "0:v", "-map", "1:a", "-vf", yuv(), *codec, inputs=beep()
    )
    assert read(path)[1].constant_rate
    return path


@pytest.fixture
def stream(whole_stream: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copy(whole_stream, tmp_path))


@pytest.mark.parametrize("seconds", [5, -0.4, 9, 60, 4000])
@pytest.mark.parametrize("frame", [0, 11, 29])
def test_a_damaged_time_stamp_changes_nothing(stream: Path, frame: int, seconds: float) -> None:
    set_pts(stream, frame, round(seconds * 90_000))
    info, seen, frames = read(stream)
    steps = np.diff([float(pts * info.time_base) for pts in seen.pts])
    assert seen.count == 30
    assert np.abs(steps - 1 / 30).max() < 0.001
    assert [number_of(frame.pixels) for frame in frames] == list(range(30))
    assert [frame.pts for frame in frames] == list(seen.pts)
    _, _, resampled = read(stream, fps=Fraction(15))
    assert len(resampled) == 15
    assert np.abs(np.diff([number_of(frame.pixels) for frame in resampled]) - 2).max() <= 1


def test_a_damaged_time_stamp_is_told(stream: Path) -> None:
    set_pts(stream, 11, 5 * 90_000)
    _, seen, _ = read(stream)
    assert len(seen.damage) == 1
    assert "frame 11 has a wrong time stamp" in seen.damage[0]


MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "0")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "2")


def test_dropped_frames_are_no_constant_rate(tmp_path: Path) -> None:
    path = make(tmp_path / "a.avi", "-vf", f"{yuv()},select='mod(n\\,3)-2'", "-fps_mode", "vfr", *MPEG4)
    info, seen, frames = read(path)
    assert not seen.constant_rate
    shown = [number_of(frame.pixels) for frame in frames]
    assert shown == [number for number in range(30) if number % 3 != 2]
    times = [float((pts - seen.pts[0]) * info.time_base) for pts in seen.pts]
    assert times == pytest.approx([number / 30 for number in shown], abs=0.001)


@pytest.mark.parametrize("rate", ["30000/1001", "24000/1001", "25", "60"])
def test_rounded_times_are_a_constant_rate(tmp_path: Path, rate: str) -> None:
    path = make(tmp_path / "a.mkv", "-vf", yuv(), *X264, rate=Fraction(rate))
    _, seen, _ = read(path)
    assert (seen.constant_rate, seen.frame_rate) == (True, Fraction(rate))


CHANGES = {
    "wider": (X264, f"scale={WIDTH}:{HEIGHT}", f"scale={2 * WIDTH}:{HEIGHT}"),
    "smaller": (X264, f"scale={WIDTH}:{HEIGHT}", f"scale={WIDTH // 2}:{HEIGHT // 2}"),
    "another pixel format": (X264, "format=yuv420p", "format=yuv444p"),
    "more bits": (("-c:v", "libx265", "-x265-params", "log-level=error"), "format=yuv420p", "format=yuv420p10le"),
}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_in_mid_stream_is_read(tmp_path: Path, name: str, interlaced: bool) -> None:
    codec, first, second = CHANGES[name]
    if interlaced and "x265" in codec[1]:
        pytest.skip("x265 writes fields, not frames")
    field = ",setfield=tff" if interlaced else ""
    flags = ("-flags", "+ildct+ilme") if interlaced else ()
    parts = []
    for number, change in enumerate((first, second)):
        keep = f"trim=start_frame={number * 15}:end_frame={number * 15 + 15}"
        part = tmp_path / f"{number}.ts"
        parts.append(
            make(part, "-vf", f"{keep},{yuv()},{change}{field}", *codec, *flags, "-bf", "0", "-copyts").read_bytes()
        )
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(parts))
    info, seen, frames = read(path)
    assert info.interlaced == interlaced
    assert seen.count == len(frames) == 30
    assert {frame.pixels.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    assert [number_of(frame.pixels) for frame in frames] == list(range(30))
    for frame in frames:
        assert color_error(frame.pixels, image(number_of(frame.pixels))) < (9 if interlaced else 6)
    assert bool(seen.notes) == ("scale" in second)
    _, _, part = read(path, start=13, stop=17)
    for alone, together in zip(part, frames[13:17], strict=True):
        assert np.array_equal(alone.pixels, together.pixels)


def test_interlacing_that_begins_later_is_removed(tmp_path: Path) -> None:
    """A white bar that moves by a quarter of the width from field to field leaves combs where fields are woven."""
    bar = "color=black:s=96x64:r=50:d=1[b];color=white:s=24x64:r=50:d=1[w];[b][w]overlay=x='mod(n*24\\,96)'"
    codec = ("-c:v", "mpeg2video", "-q:v", "1", "-bf", "0")
    ffmpeg(
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        f"{bar},select='mod(n\\,2)',setpts=N/25/TB",
        "-r",
        "25",
        *codec,
        tmp_path / "0.ts",
    )
    woven = ("-flags", "+ildct+ilme", "-output_ts_offset", "1")
    ffmpeg("-v", "error", "-f", "lavfi", "-i", f"{bar},interlace=lowpass=off", *codec, *woven, tmp_path / "1.ts")
    path = tmp_path / "a.ts"
    path.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    info, seen, frames = read(path)
    assert not info.interlaced
    assert seen.irregularities.interlaced
    for frame in frames[30:-2]:
        rows = frame.pixels[16:48, :, 1].astype(int)
        assert np.abs(rows[1:] - rows[:-1]).mean() < 20  # combs give some 120


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A small stream first, then a large one that is marked as the default, then a third."""
    path = tmp_path / "several.mkv"
    small = ("-map", "0:v", "-map", "0:v", "-map", "0:v", "-filter:v:0", "scale=32:24")
    options = ("-filter:v:1", yuv(), "-filter:v:2", "scale=64:48,format=yuv420p", "-disposition:v:0", "0")
    return make(path, *small, *options, *X264, "-disposition:v:1", "default", "-disposition:v:2", "0")


def test_the_stream_that_players_take_is_taken(several: Path) -> None:
    info, seen, frames = read(several)
    assert (info.width, info.height, info.stream, seen.count) == (WIDTH, HEIGHT, 1, 30)
    assert [number_of(frame.pixels) for frame in frames] == list(range(30))
    assert len(info.notes) == 1
    assert "stream 1 (h264, 96x64) is taken" in info.notes[0]
    assert "0 (h264, 32x24)" in info.notes[0]
    other, _, _ = read(several, stream=2)
    assert (other.width, other.height, other.notes) == (64, 48, ())
    with pytest.raises(SourceError, match=r"no video stream 3\. Allowed for `stream`: 0 \(h264, 32x24\)"):
        read(several, stream=3)


def test_without_a_default_the_largest_stream_is_taken(tmp_path: Path) -> None:
    filters = ("-filter:v:0", "scale=32:24,format=yuv420p", "-filter:v:1", yuv())
    path = make(tmp_path / "a.ts", "-map", "0:v", "-map", "0:v", *filters, *X264)
    info, _, _ = read(path)
    assert (info.width, info.height) == (WIDTH, HEIGHT)


def test_of_equal_streams_the_one_with_more_frames_is_taken(tmp_path: Path) -> None:
    still = make(tmp_path / "still.ts", "-vf", yuv(), *X264, frames=1)
    film = make(tmp_path / "film.ts", "-vf", yuv(), *X264)
    path = tmp_path / "a.mkv"
    ffmpeg(
        "-v", "error", "-i", still, "-i", film, "-map", "0:v", "-map", "1:v", "-c", "copy", "-disposition", "0", path
    )
    info, seen, _ = read(path)
    assert (info.stream, seen.count) == (1, 30)


def animations(folder: Path) -> Iterator[tuple[str, Path]]:
    frames = [Image.fromarray(image(number)) for number in range(5)]
    for suffix, options in {"png": {}, "webp": {"lossless": True}, "gif": {}, "avif": {"quality": 95}}.items():
        path = folder / f"made.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, **options)
        yield suffix, path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".dat", " %d.png", " %d.tif"])
def test_animated_images_are_videos_whatever_their_name(tmp_path: Path, suffix: str) -> None:
    for kind, made in animations(tmp_path):
        path = tmp_path / f"{kind}{suffix}"
        path.write_bytes(made.read_bytes())
        _, seen, frames = read(path)
        assert [number_of(frame.pixels) for frame in frames] == list(range(5)), kind
        assert (seen.constant_rate, seen.frame_rate) == (True, 10), kind


def test_still_images_are_images_whatever_their_name(tmp_path: Path) -> None:
    for kind in ("png", "webp", "avif"):
        Image.fromarray(image(3)).save(tmp_path / f"still.{kind}")
        path = tmp_path / f"{kind}.mp4"
        path.write_bytes((tmp_path / f"still.{kind}").read_bytes())
        assert open_source(path).kind == "images"
        _, seen, frames = read(path)
        assert (seen.count, number_of(frames[0].pixels)) == (1, 3)


def test_a_video_named_like_an_image_is_a_video(tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", "-vf", yuv(), *X264, frames=4)
    for name in ("a.png", "b %d.jpg"):
        (tmp_path / name).write_bytes(film.read_bytes())
        assert read(tmp_path / name)[1].count == 4


def test_the_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    pages = [Image.fromarray(image(number)) for number in range(4)]
    thumbnail = pages[0].resize((16, 12))
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=[*pages[1:], thumbnail])
    _, seen, frames = read(tmp_path / "a.tif")
    assert seen.count == 4
    assert [number_of(frame.pixels) for frame in frames] == list(range(4))
    assert open_source(tmp_path / "a.tif").paths == (tmp_path / "a.tif",)


def test_a_phone_image_is_refused_in_words(tmp_path: Path) -> None:
    for name in ("IMG_1.heic", "IMG_1.jpg"):
        for head in (b"ftypheic\0\0\0\0mif1heic", b"ftypmif1\0\0\0\0mif1heic", b"ftyphevc\0\0\0\0msf1hevc"):
            path = tmp_path / name
            path.write_bytes(b"\0\0\0\x18" + head + b"\0" * 100)
            for read_it in (open_source, read_image):
                with pytest.raises(SourceError, match=r"HEIC image.*JPEG or PNG"):
                    read_it(path)


def test_what_the_scan_takes_the_reader_takes(tmp_path: Path) -> None:
    data = bytearray(make(tmp_path / "whole.mp4", "-vf", yuv(), *X264, "-g", "3").read_bytes())
    start, end = data.index(b"mdat") + 1500, data.index(b"moov") - 4
    for place in range(start, end, 97):
        data[place] ^= 0xA5
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(data))
    _, seen, frames = read(path)
    assert seen.count == len(frames) > 0
    assert seen.damage


@pytest.mark.parametrize("angle", [45, 30, -10])
def test_any_rotation_is_applied_and_told(tmp_path: Path, angle: int) -> None:
    flat = make(tmp_path / "flat.mp4", "-vf", yuv(), *X264, frames=4)
    path = tmp_path / "turned.mp4"
    ffmpeg("-v", "error", "-display_rotation", str(angle), "-i", flat, "-c", "copy", path)
    info, seen, frames = read(path)
    assert (info.rotated, seen.count) == (True, 4)
    assert "corners are cut off" in info.notes[0]
    straight = read(flat)[2][0].pixels
    center = np.s_[HEIGHT // 2 - 4 : HEIGHT // 2 + 4, WIDTH // 2 - 4 : WIDTH // 2 + 4]
    assert np.abs(frames[0].pixels[center].mean((0, 1)) - straight[center].mean((0, 1))).max() < 40
    assert np.abs(frames[0].pixels.astype(int) - straight).mean() > 10


def test_sound_that_is_announced_and_never_comes(stream: Path) -> None:
    """The table of the streams keeps naming sound whose packets are all gone."""
    data = stream.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    kept = [packet for packet in packets if (packet[1] & 0x1F) << 8 | packet[2] != 0x101]
    assert len(kept) < len(packets)
    stream.write_bytes(b"".join(kept))
    info, seen, frames = read(stream)
    assert (len(info.audio), info.playable_audio) == (1, ())
    assert seen.count == len(frames) == 30


def test_sound_that_two_programs_share_counts_once(tmp_path: Path) -> None:
    """A broadcast with two programs of one sound; ffmpeg lists that stream once for each of them."""
    maps = ("-map", "0:v", "-map", "0:v", "-map", "1:a", "-filter:v:0", yuv(), "-filter:v:1", "scale=32:24")
    programs = ("-program", "program_num=1:st=0:st=2", "-program", "program_num=2:st=1:st=2")
    path = make(tmp_path / "a.ts", *maps, *MPEG2, "-c:a", "mp2", *programs, inputs=beep())
    info, seen, frames = read(path)
    assert (len(info.audio), len(info.playable_audio)) == (1, 1)
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert seen.count == len(frames) == 30
    streams = ffmpeg("-i", path, "-f", "null", "-").split("Stream mapping")[0]
    assert streams.count("Audio: mp2") == 2


def test_a_frame_whose_color_tags_are_damaged_is_read(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mov", "-vf", yuv(), "-c:v", "prores_ks", frames=4)
    data = bytearray(path.read_bytes())
    header = [match.start() for match in re.finditer(b"icpf", data)][2]
    data[header + 18 : header + 20] = b"\x63\x63"  # primaries and transfer, as Apple's description of ProRes has it
    whole = read(path)[2]
    path.write_bytes(bytes(data))
    _, seen, frames = read(path)
    assert seen.count == 4
    for frame, before in zip(frames, whole, strict=True):
        assert np.array_equal(frame.pixels, before.pixels)
