from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from clips import AAC, FRAMES, X264, ZOO, beep, ffmpeg, image, make, yuv

from dreamvid.errors import SourceError
from dreamvid.image.io import write_image
from dreamvid.video.probe import FrameLog, probe, scan
from dreamvid.video.source import open_source

Zoo = Callable[[str], Path]


@pytest.mark.parametrize("name", ZOO)
def test_every_clip_is_described(zoo: Zoo, name: str) -> None:
    clip = ZOO[name]
    source = open_source(zoo(name))
    info = probe(source)
    assert (info.width, info.height) == clip.size
    assert info.sample_aspect == clip.aspect
    assert info.bit_depth == clip.bit_depth
    assert info.interlaced == clip.interlaced
    assert len(info.audio) == len(clip.beeps)
    assert len(info.subtitles) == clip.subtitles
    found = scan(source, info)
    assert bool(found.damage) == clip.damaged
    if clip.damaged:
        assert 0 < found.count < FRAMES
        assert found.damage[0] == f"{found.count} of {FRAMES} frames could be decoded"
        return
    assert found.count == len(clip.times)
    assert found.constant_rate == (clip.rate is not None)
    if clip.rate is not None:
        assert found.frame_rate == clip.rate
    shift = float(found.pts[0] * info.time_base - clip.times[0])
    assert abs(shift) <= clip.tolerance
    for pts, time in zip(found.pts, clip.times, strict=True):
        assert float(pts * info.time_base) == pytest.approx(float(time) + shift, abs=0.00101)


def test_color_tags(zoo: Zoo) -> None:
    pq = probe(open_source(zoo("pq.mp4")))
    assert (pq.matrix, pq.primaries, pq.transfer, pq.hdr) == ("bt2020", "bt2020", "smpte2084", True)
    full = probe(open_source(zoo("full_range.mp4")))
    assert (full.matrix, full.full_range, full.hdr) == ("bt709", True, False)
    assert probe(open_source(zoo("untagged720.mp4"))).matrix == "bt709"
    assert probe(open_source(zoo("silent.mp4"))).matrix == "bt601"
    assert probe(open_source(zoo("odd.mkv"))).matrix == "rgb"


def test_a_part_is_scanned(zoo: Zoo) -> None:
    source = open_source(zoo("constant.mp4"))
    info = probe(source)
    seen: list[int] = []
    part = scan(source, info, 12, seen.append)
    assert (part.count, part.complete, seen) == (12, False, list(range(1, 13)))
    assert part.pts == scan(source, info).pts[:12]
    assert scan(source, info, FRAMES).complete
    assert scan(source, info, 500).count == FRAMES


def test_a_graph_keeps_its_exact_rate() -> None:
    source = open_source("lavfi:testsrc2=s=32x32:r=30000/1001:d=2")
    info = probe(source)
    found = scan(source, info)
    assert (info.frame_rate, found.frame_rate) == (Fraction(30000, 1001), Fraction(30000, 1001))
    assert (found.count, found.constant_rate) == (60, True)


def test_an_endless_graph_wants_a_range() -> None:
    source = open_source("lavfi:color=s=16x16")
    info = probe(source)
    with pytest.raises(SourceError, match=r"no end.*`frames=0:300`"):
        scan(source, info)
    assert scan(source, info, 300).count == 300  # the remedy it names


def test_images(tmp_path: Path) -> None:
    for number in range(5):
        write_image(tmp_path / f"{number}.png", image(number))
    source = open_source(tmp_path, images_rate=Fraction(12))
    info = probe(source)
    found = scan(source, info)
    assert (info.width, info.height, info.frame_rate, info.time_base) == (96, 64, 12, Fraction(1, 12))
    assert (found.pts, found.constant_rate, found.complete) == ((0, 1, 2, 3, 4), True, True)
    (tmp_path / "5.png").write_text("no image")
    with pytest.raises(SourceError, match=r"5\.png"):
        scan(open_source(tmp_path), info)


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("Käse, this is only text\n" * 50, encoding="utf-8")
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 40)
    sound = tmp_path / "sound.mp4"
    ffmpeg("-v", "error", *beep(), *AAC, sound)
    whole = make(tmp_path / "whole.mp4", "-vf", yuv(), *X264).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    subtitle = tmp_path / "a.srt"
    subtitle.write_text("1\n00:00:00,200 --> 00:00:00,900\nHello\n")
    ansi = tmp_path / "ansi.txt"
    ansi.write_text("hello\n" * 10)
    for path, words in (
        (text, "text file"),
        (noise, "not a video that ffmpeg can read"),
        (sound, "no video stream: audio only"),
        (cut, r"incomplete.*moov"),
        (subtitle, "no video stream: subtitle only"),
        (ansi, "not a video"),
    ):
        with pytest.raises(SourceError, match=words):
            probe(open_source(path))
    with pytest.raises(SourceError, match=r"does not accept the filter graph.*nosuch"):
        probe(open_source("lavfi:nosuch=3"))


def test_a_line_of_the_log_that_is_broken_up_loses_no_frame() -> None:
    """Decoders with several threads write into each other's lines."""
    log = FrameLog()
    line = "n: {0:3d} pts: {1:6d} pts_time:{2} fmt:bgr0 cl:unspecified sar:1/1 s:96x64 i:P iskey:1 type:I"
    log.read("info", line.format(0, 0, 0))
    log.read("error", "slice CRC mismatch 7806B894!" + line.format(1, 33, 0.033))
    log.read("error", "slice CRC mis")  # with the line of frame 2, which cannot be read any more
    log.read("info", line.format(3, 100, 0.1))
    log.read("info", line.format(0, 133, 0.133))  # after a change of size
    log.read("info", line.format(1, 167, 0.167))
    log.extend(7)  # the last one's line is lost too
    assert log.stamps == [0, 33, None, 100, 133, 167, None]


def test_text_in_a_file_makes_no_frames_without_end() -> None:
    log = FrameLog()
    log.read("info", "title : n: 999999999 pts: 5 fmt:bgr0 sar:1/1 s:96x64 i:P")
    assert len(log.stamps) <= 101
