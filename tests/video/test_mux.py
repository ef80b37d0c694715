import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import (
    AAC,
    FRAMES,
    RATE,
    X264,
    ZOO,
    beep,
    color_error,
    image,
    make,
    number_of,
    onset_seconds,
    yuv,
)
from passthrough import pass_through, read

from dreamvid.errors import FfmpegError, OutputError
from dreamvid.video.encode import StreamSpec
from dreamvid.video.ffmpeg import ffmpeg_path
from dreamvid.video.sink import Recording, open_sink
from dreamvid.video.source import IMAGES_RATE

Zoo = Callable[[str], Path]
ODD_NAME = "-o ünï 視頻 %d 'q"


def packets(path: Path, stream: str = "0:a:0") -> list[tuple[int, str]]:
    """Size and hash of every packet of a stream, as stored."""
    command = [str(ffmpeg_path()), "-v", "error", "-i", f"file:{path}", "-map", stream, "-c", "copy"]
    done = subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, text=True, check=True)
    lines = [line.split(",") for line in done.stdout.splitlines() if not line.startswith("#")]
    return [(int(line[4]), line[5].strip()) for line in lines]


@pytest.mark.parametrize("name", ZOO)
def test_every_clip_goes_through(zoo: Zoo, tmp_path: Path, name: str) -> None:
    clip = ZOO[name]
    output = tmp_path / f"{ODD_NAME}.mp4"
    warnings = pass_through(zoo(name), output, tmp_path)
    before, after = read(zoo(name)), read(output)
    assert len(after.frames) == len(before.frames)
    for old, new in zip(before.frames, after.frames, strict=True):
        # Times of a constant rate are exact where the source rounds to milliseconds.
        assert new.time_seconds - after.frames[0].time_seconds == pytest.approx(
            old.time_seconds - before.frames[0].time_seconds, abs=0.00051
        )
    assert after.info.sample_aspect == clip.aspect
    assert len(after.info.audio) == len(clip.beeps)
    assert len(after.info.subtitles) == clip.subtitles
    assert bool(warnings) == ("mp2" in before.info.audio)
    if not clip.damaged:
        upright = [np.rot90(frame.pixels, -1) if clip.rotated else frame.pixels for frame in after.frames]
        assert tuple(map(number_of, upright)) == clip.numbers
    for track, beep_seconds in enumerate(clip.beeps):
        offset = onset_seconds(output, track) - after.frames[0].time_seconds
        assert offset == pytest.approx(beep_seconds - float(clip.times[0]), abs=0.002)


def test_sound_is_copied_packet_by_packet(zoo: Zoo, tmp_path: Path) -> None:
    for name in ("constant.mp4", "jitter.mp4", "late_video.mp4", "late_audio.mp4", "tracks.mkv"):
        for suffix in (".mp4", ".mkv"):
            assert pass_through(zoo(name), tmp_path / f"o{suffix}", tmp_path) == []
            original = packets(zoo(name))
            assert len(original) > 40
            assert packets(tmp_path / f"o{suffix}") == original, (name, suffix)


@pytest.mark.parametrize("name", ["constant.mp4", "jitter.mp4", "stream.ts", "av1.webm"])
@pytest.mark.parametrize(("start", "stop"), [(0, 20), (9, None), (9, 25)])
def test_a_part_keeps_its_sound_in_time(zoo: Zoo, tmp_path: Path, name: str, start: int, stop: int | None) -> None:
    output = tmp_path / "o.mp4"
    pass_through(zoo(name), output, tmp_path, start=start, stop=stop, cuts=(5, 8))
    before, after = read(zoo(name)), read(output)
    kept = before.frames[start:stop]
    assert [number_of(frame.pixels) for frame in after.frames] == list(range(FRAMES))[start:stop]
    assert after.frames[0].time_seconds == 0
    expected = onset_seconds(zoo(name)) - kept[0].time_seconds
    assert onset_seconds(output) == pytest.approx(expected, abs=0.003)
    assert after.info.duration_seconds is not None
    span = kept[-1].time_seconds - kept[0].time_seconds
    assert span < after.info.duration_seconds < span + 0.1 + 1 / 29


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", None),
        (".mp4", "libx265"),
        (".mp4", "libsvtav1"),
        (".mkv", None),
        (".mkv", "ffv1"),
        (".mkv", "prores_ks"),
        (".webm", None),
        (".webm", "libsvtav1"),
        (".mov", None),
        (".mov", "libx264"),
    ],
)
def test_every_output_plays_back_and_decodes_like_its_segments(
    zoo: Zoo, tmp_path: Path, suffix: str, codec: str | None
) -> None:
    sink = open_sink(f"a{suffix}", codec)
    spec = StreamSpec(96, 64, RATE, 1 / RATE)
    pieces = [range(7), range(7, 8), range(8, 30)]
    paths = [tmp_path / f"{piece.start} %d '{sink.segment_suffix}" for piece in pieces]
    for path, piece in zip(paths, pieces, strict=True):
        with sink.open_segment(path, spec) as writer:
            for number in piece:
                writer.write(image(number), number)
    output = tmp_path / f"{ODD_NAME}{suffix}"
    source = read(zoo("constant.mp4"))
    sink.join(Recording(paths, spec, pieces, source=source.source, info=source.info), output)
    joined = read(output)
    segments = [frame for path in paths for frame in read(path).frames]
    assert len(joined.frames) == FRAMES
    for number, (frame, alone) in enumerate(zip(joined.frames, segments, strict=True)):
        assert np.array_equal(frame.pixels, alone.pixels)
        assert frame.time_seconds == pytest.approx(number / 30, abs=0.00051)
    assert joined.info.audio
    assert onset_seconds(output) == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize("name", ["constant.mp4", "delays.gif", "anamorphic.mp4"])
@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations(zoo: Zoo, tmp_path: Path, name: str, suffix: str) -> None:
    output = tmp_path / f"{ODD_NAME}{suffix}"
    assert pass_through(zoo(name), output, tmp_path) == []
    before, after = read(zoo(name)), read(output)
    assert tuple(number_of(frame.pixels) for frame in after.frames) == ZOO[name].numbers
    for old, new in zip(before.frames, after.frames, strict=True):
        assert new.time_seconds == pytest.approx(old.time_seconds, abs=0.0051 if suffix == ".gif" else 0.0011)
    aspect = Fraction(after.info.width, after.info.height)
    assert aspect == ZOO[name].aspect * Fraction(before.info.width, before.info.height)


def test_a_gif_of_a_high_rate_says_what_it_leaves_out(zoo: Zoo, tmp_path: Path) -> None:
    (warning,) = pass_through(zoo("ntsc60.mp4"), tmp_path / "o.gif", tmp_path)
    assert "at most 50" in warning
    assert read(tmp_path / "o.gif").scan.count == 25


def test_png_sequences(zoo: Zoo, tmp_path: Path) -> None:
    before = read(zoo("constant.mp4"))
    for output in (f"{tmp_path}/new %d/", f"{tmp_path}/seq_%04d.png"):
        pass_through(zoo("constant.mp4"), output, tmp_path)
        after = read(output)
        assert len(after.frames) == FRAMES
        for old, new in zip(before.frames, after.frames, strict=True):
            assert np.array_equal(old.pixels, new.pixels)
    assert (tmp_path / "seq_0000.png").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_lossless_is_the_source_itself(zoo: Zoo, tmp_path: Path) -> None:
    for name in ("constant.mp4", "odd.mkv", "jitter.mp4"):
        pass_through(zoo(name), tmp_path / "o.mkv", tmp_path, codec="ffv1")
        for old, new in zip(read(zoo(name)).frames, read(tmp_path / "o.mkv").frames, strict=True):
            assert np.array_equal(old.pixels, new.pixels)


def test_ten_bits_and_hdr_tags_come_through(zoo: Zoo, tmp_path: Path) -> None:
    pass_through(zoo("pq.mp4"), tmp_path / "o.mp4", tmp_path, codec="libx265")
    after = read(tmp_path / "o.mp4")
    assert (after.info.transfer, after.info.primaries, after.info.bit_depth) == ("smpte2084", "bt2020", 10)
    assert max(color_error(frame.pixels, image(n)) for n, frame in enumerate(after.frames)) < 3


def test_another_rate(zoo: Zoo, tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    pass_through(zoo("jitter.mp4"), tmp_path / "o.mp4", tmp_path, fps=rate)
    after = read(tmp_path / "o.mp4")
    assert (after.scan.frame_rate, after.scan.constant_rate) == (rate, True)
    assert onset_seconds(tmp_path / "o.mp4") == pytest.approx(0.5, abs=0.003)


def test_many_segments_do_not_drift(tmp_path: Path) -> None:
    sink = open_sink("a.mp4")
    rate = Fraction(60000, 1001)
    spec = StreamSpec(16, 16, rate, 1 / rate)
    with sink.open_segment(tmp_path / "s.mp4", spec) as writer:
        for number in range(2):
            writer.write(image(number, 16, 16), number)
    pts = [(2 * n, 2 * n + 1) for n in range(120)]
    sink.join(Recording([tmp_path / "s.mp4"] * 120, spec, pts), tmp_path / "o.mp4")
    after = read(tmp_path / "o.mp4")
    assert after.info.time_base == Fraction(1, 60000)
    assert [frame.pts for frame in after.frames] == [1001 * n for n in range(240)]


def test_an_endless_graph_with_sound_is_cut(tmp_path: Path) -> None:
    graph = "lavfi:testsrc2=s=96x64:r=30000/1001[out0];sine[out1]"
    warnings = pass_through(graph, tmp_path / "o.mkv", tmp_path, stop=15, cuts=(4,))
    after = read(tmp_path / "o.mkv")
    assert (warnings, len(after.frames), after.scan.frame_rate) == ([], 15, Fraction(30000, 1001))
    assert after.info.audio
    assert after.info.duration_seconds == pytest.approx(0.5, abs=0.05)


def test_what_a_container_refuses_is_encoded_or_left_out_with_a_word(tmp_path: Path) -> None:
    source = make(
        tmp_path / "pcm.mkv",
        *("-map", "0:v", "-map", "1:a", "-vf", yuv(), *X264, "-c:a", "pcm_s16be"),
        inputs=beep(),
    )
    for suffix, codec, words in (
        (".mp4", "aac", "aac"),
        (".webm", "opus", "opus"),
        (".mov", "pcm_s24le", "pcm_s24le"),
    ):
        (warning,) = pass_through(source, tmp_path / f"o{suffix}", tmp_path)
        assert words in warning
        after = read(tmp_path / f"o{suffix}")
        assert after.info.audio == (codec,)
        assert onset_seconds(tmp_path / f"o{suffix}") == pytest.approx(0.5, abs=0.003)
    assert pass_through(source, tmp_path / "o.mkv", tmp_path) == []


def test_no_sound_when_none_is_wanted(zoo: Zoo, tmp_path: Path) -> None:
    sink, spec = open_sink("a.mp4"), StreamSpec(96, 64, RATE, 1 / RATE)
    with sink.open_segment(tmp_path / "s.mp4", spec) as writer:
        writer.write(image(0), 0)
    sink.join(Recording([tmp_path / "s.mp4"], spec, [[0]]), tmp_path / "o.mp4")
    assert not read(tmp_path / "o.mp4").info.audio


def test_title_and_chapters_are_kept(tmp_path: Path) -> None:
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\ntitle=A day\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=Morning\n",
        encoding="utf-8",
    )
    source = make(
        tmp_path / "a.mp4",
        *("-map", "0:v", "-map", "1:a", "-map_metadata", "2", "-vf", yuv(), *X264, *AAC),
        inputs=[*beep(), "-f", "ffmetadata", "-i", chapters],
    )
    pass_through(source, tmp_path / "o.mp4", tmp_path)
    done = subprocess.run([str(ffmpeg_path()), "-i", str(tmp_path / "o.mp4")], capture_output=True, text=True)
    assert "A day" in done.stderr
    assert "Morning" in done.stderr


def test_a_failed_join_leaves_the_old_result_alone(tmp_path: Path) -> None:
    sink, spec = open_sink("a.mp4"), StreamSpec(96, 64, RATE, 1 / RATE)
    output = tmp_path / "o.mp4"
    output.write_bytes(b"the old one")
    with sink.open_segment(tmp_path / "s.mp4", spec) as writer:
        for number in range(3):
            writer.write(image(number), number)
    with pytest.raises(FfmpegError, match="is missing"):
        sink.join(Recording([tmp_path / "none.mp4"], spec, [[0]]), output)
    with pytest.raises(FfmpegError, match="3 frames where 4"):
        sink.join(Recording([tmp_path / "s.mp4"], spec, [[0, 1, 2, 3]]), output)
    (tmp_path / "bad.mp4").write_bytes(b"no film at all")
    with pytest.raises(FfmpegError):
        sink.join(Recording([tmp_path / "bad.mp4"], spec, [[0, 1, 2]]), output)
    with pytest.raises(OutputError, match="cannot write in the folder"):
        sink.join(Recording([tmp_path / "s.mp4"], spec, [[0, 1, 2]]), tmp_path / "no" / "o.mp4")
    assert output.read_bytes() == b"the old one"
    assert {path.name for path in tmp_path.iterdir()} == {"o.mp4", "s.mp4", "bad.mp4"}


def test_images_become_a_film(zoo: Zoo, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    pass_through(zoo("silent.mp4"), f"{folder}/", tmp_path)
    pass_through(folder, tmp_path / "o.mp4", tmp_path)
    after = read(tmp_path / "o.mp4")
    assert after.scan.frame_rate == IMAGES_RATE
    assert [number_of(frame.pixels) for frame in after.frames] == list(range(FRAMES))


def streams(path: Path) -> str:
    """What ffmpeg says of a file's streams."""
    done = subprocess.run([str(ffmpeg_path()), "-hide_banner", "-i", f"file:{path}"], capture_output=True, text=True)
    return done.stderr.partition("Input #0")[2]


def test_a_track_that_cannot_be_written_is_left_out_alone(tmp_path: Path) -> None:
    subtitle = tmp_path / "a.srt"
    subtitle.write_text("1\n00:00:00,200 --> 00:00:00,900\nHello\n", encoding="utf-8")
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:s", "-map", "2:s", "-c:s:0", "mov_text", "-c:s:1", "ttml")
    source = make(tmp_path / "a.mp4", *maps, "-vf", yuv(), *X264, *AAC, inputs=[*beep(), "-i", subtitle])
    (warning,) = pass_through(source, tmp_path / "o.mkv", tmp_path)
    assert "subtitle track 2 (ttml) cannot be written to .mkv and is left out" in warning
    assert "part" not in warning
    after = read(tmp_path / "o.mkv")
    assert (after.info.audio, after.info.subtitles) == (("aac",), ("subrip",))
    assert packets(tmp_path / "o.mkv") == packets(source)
    assert pass_through(source, tmp_path / "o.mp4", tmp_path) == []
    assert read(tmp_path / "o.mp4").info.subtitles == ("mov_text", "ttml")


def test_attached_fonts_are_kept_or_said_to_be_lost(tmp_path: Path) -> None:
    font = tmp_path / "a font.ttf"
    font.write_bytes(bytes(range(256)) * 40)
    attached = ("-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font")
    source = make(tmp_path / "a.mkv", "-map", "0:v", "-map", "1:a", "-vf", yuv(), *X264, *AAC, *attached, inputs=beep())
    assert pass_through(source, tmp_path / "o.mkv", tmp_path) == []
    dump = [str(ffmpeg_path()), "-y", "-dump_attachment:t:0", str(tmp_path / "back.ttf"), "-i", str(tmp_path / "o.mkv")]
    subprocess.run(dump, capture_output=True, check=False)
    assert (tmp_path / "back.ttf").read_bytes() == font.read_bytes()
    assert "a font.ttf" in streams(tmp_path / "o.mkv")
    (warning,) = pass_through(source, tmp_path / "o.mp4", tmp_path)
    assert "fonts" in warning
    assert ".mkv" in warning


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_cover_images_are_kept_or_said_to_be_lost(zoo: Zoo, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    warnings = pass_through(zoo("cover.mp4"), output, tmp_path)
    assert ("(attached pic)" in streams(output)) == (suffix != ".webm")
    assert any("cover image" in warning for warning in warnings) == (suffix == ".webm")
    assert [number_of(frame.pixels) for frame in read(output).frames] == list(ZOO["cover.mp4"].numbers)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_the_stereo_mode_is_kept_or_said_to_be_lost(tmp_path: Path, suffix: str) -> None:
    source = make(tmp_path / "a.mkv", "-vf", yuv(), *X264, "-metadata:s:v:0", "stereo_mode=top_bottom")
    output = tmp_path / f"o{suffix}"
    warnings = pass_through(source, output, tmp_path)
    assert ("top and bottom" in streams(output)) == (suffix != ".mp4")
    assert any("stereo mode" in warning for warning in warnings) == (suffix == ".mp4")
