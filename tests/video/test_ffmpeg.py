import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dreamvid.errors import FfmpegError
from dreamvid.video.ffmpeg import (
    DiskFullError,
    Ffmpeg,
    UnusableFfmpegError,
    capture_ffmpeg,
    features,
    ffmpeg_path,
    ffmpeg_version,
    missing_features,
    parse_features,
    require_feature,
    run_ffmpeg,
)
from dreamvid.video.source import open_source


def test_the_bundled_ffmpeg_is_run() -> None:
    assert ffmpeg_path().is_file()
    assert ffmpeg_version().startswith("ffmpeg version")
    assert "libx264" in capture_ffmpeg(["-encoders"])


def test_success_returns_its_log() -> None:
    log = run_ffmpeg(["-f", "lavfi", "-i", "color=s=16x16:d=0.2:r=10", "-f", "null", "-"], "looking", level="info")
    assert any("Input #0, lavfi" in line for line in log)


def test_failure_carries_its_own_words_without_addresses() -> None:
    with pytest.raises(FfmpegError, match="while trying it") as caught:
        run_ffmpeg(["-f", "lavfi", "-i", "nosuchfilter", "-f", "null", "-"], "trying it")
    assert "nosuchfilter" in str(caught.value)
    assert "@ 0x" not in str(caught.value)
    assert "[error]" not in str(caught.value)


def test_a_flood_of_words_does_not_stall_it() -> None:
    # Every frame logs a line: far more than a pipe holds.
    args = ["-f", "lavfi", "-i", "color=s=16x16:d=200:r=50", "-vf", "showinfo", "-f", "null", "-"]
    with Ffmpeg(args, level="info") as process:
        time.sleep(0.1)
        assert process.wait() == 0
        assert 0 < len(process.log) < 2000


def test_leaving_the_context_ends_it() -> None:
    with Ffmpeg(["-re", "-f", "lavfi", "-i", "color=s=16x16", "-f", "null", "-"]) as process:
        assert process.process.poll() is None
    assert process.process.poll() is not None
    process.close()


def test_no_network_protocol_is_opened_from_inside_a_file(tmp_path: Path) -> None:
    from dreamvid.errors import SourceError
    from dreamvid.video.probe import probe
    from dreamvid.video.source import open_source

    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError):
        probe(open_source(playlist))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_to_be_full() -> None:
    args = ["-f", "lavfi", "-i", "color=s=64x64:d=1", "-f", "rawvideo", "file:/dev/full"]
    with pytest.raises(DiskFullError, match=r"the disk is full.*while writing it.*[Ff]ree some space"):
        run_ffmpeg(args, "writing it")


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_limit_on_file_sizes_is_named(tmp_path: Path) -> None:
    program = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from dreamvid.video.ffmpeg import run_ffmpeg\n"
        "args = ['-f', 'lavfi', '-i', 'color=s=64x64:d=4', '-f', 'rawvideo']\n"
        f"run_ffmpeg([*args, 'file:{tmp_path}/x'], 'writing')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "limit on file sizes" in done.stderr


def test_the_bundled_ffmpeg_lacks_nothing() -> None:
    assert missing_features() == []
    assert {"mov", "matroska,webm", "webp_anim"} & features("demuxer")
    require_feature("filter", "perlin", "the source `demo`")
    with pytest.raises(UnusableFfmpegError, match=r"A dream needs the filter nosuch, which this ffmpeg lacks"):
        require_feature("filter", "nosuch", "A dream")


OLD = """File formats:
 D. = Demuxing supported
 .E = Muxing supported
 --
 D  3dostr          3DO STR
  E 3g2             3GP2 (3GPP2 file format)
 DE aac             raw ADTS AAC (Advanced Audio Coding)
 D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV
"""
NEW = """Formats:
 D.. = Demuxing supported
 .E. = Muxing supported
 ..d = Is a device
 ---
 D   3dostr          3DO STR
  E  3g2             3GP2 (3GPP2 file format)
 DE  aac             raw ADTS AAC (Advanced Audio Coding)
 D d lavfi           Libavfilter virtual input device
 D   mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV
"""


@pytest.mark.parametrize("listing", [OLD, NEW], ids=["4.2", "7.0"])
def test_the_lists_of_all_versions_are_read(listing: str) -> None:
    assert parse_features("demuxer", listing) == ["3dostr", "aac", "mov,mp4,m4a,3gp,3g2,mj2"]


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | Path], None]]:
    """Name another ffmpeg than the bundled one, for a test."""
    cached = (ffmpeg_path, features, ffmpeg_version)
    for function in cached:
        function.cache_clear()
    yield lambda path: monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
    for function in cached:
        function.cache_clear()


@pytest.mark.skipif(os.name != "posix", reason="POSIX programs")
def test_another_ffmpeg_that_cannot_do_the_work_is_named(named: Callable[[str | Path], None], tmp_path: Path) -> None:
    old = "case \"$*\" in *-version*) echo 'ffmpeg version 4.2.7 Copyright';; *) echo '-vsync';; esac"
    text = tmp_path / "text"
    text.write_text("no program")
    for path, words in (
        (tmp_path / "missing", "does not exist"),
        (tmp_path, "is a folder"),
        (text, "not a program that can be run"),
        (program(tmp_path / "other", "echo 'hello, I am another'"), "another program: it prints 'hello, I am another'"),
        (program(tmp_path / "quiet", "exit 3"), "which is not ffmpeg"),
        (program(tmp_path / "old", old), r"too old \(version 4\.2\.7\): it lacks -stats_enc_pre and -fps_mode"),
    ):
        named(path)
        with pytest.raises(UnusableFfmpegError, match=words) as caught:
            ffmpeg_path()
        assert "IMAGEIO_FFMPEG_EXE names" in str(caught.value)
        assert "unset IMAGEIO_FFMPEG_EXE" in str(caught.value)
        assert caught.value.exit_code == 2


@pytest.mark.skipif(os.name != "posix", reason="POSIX programs")
def test_another_ffmpeg_that_can_do_the_work_is_run(
    named: Callable[[str | Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = ffmpeg_path()
    ffmpeg_path.cache_clear()
    without = r"sed 's/perlin/nilrep/'"
    mine = program(
        tmp_path / "mine", f'case "$*" in *-filters*) {bundled} "$@" | {without};; *) exec {bundled} "$@";; esac'
    )
    named("~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ffmpeg_path() == mine
    assert missing_features() == ["filter perlin (for the source `demo`)"]
    with pytest.raises(UnusableFfmpegError, match=r"`demo` needs the filter perlin"):
        open_source("demo")
