import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamvid.errors import FfmpegError
from dreamvid.video.ffmpeg import DiskFullError, Ffmpeg, capture_ffmpeg, ffmpeg_path, ffmpeg_version, run_ffmpeg


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
