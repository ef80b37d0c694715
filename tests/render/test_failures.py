"""What the world does to a render: each ends in a clear message, without a stuck thread or process, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from renders import FRAMES, SEGMENTS, children, frames_of, names, segments_done, tiny

from dreamvid.errors import DreamvidError, FfmpegError, OutputError, SourceError
from dreamvid.render import video_producer as footage
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.video.encode import SegmentWriter

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
FFV1 = {"codec": "ffv1"}


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    running = {thread.name for thread in threading.enumerate()}
    assert running.isdisjoint({"motion", "encode", "close_0", "decode", "ffmpeg-log"})
    assert "ffmpeg" not in " ".join(children())


def kill_ffmpeg(pipe: str) -> bool:
    """SIGKILL the child whose first pipe this is: the encoder also tells its progress through pipe:1."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread or a process that ends meanwhile
            for child in (task / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if pipe in words and (pipe == "pipe:0" or "pipe:0" not in words):
                    os.kill(int(child), signal.SIGKILL)
                    return True
    return False


def test_an_encoder_that_dies(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    killed = []

    def look(progress: Progress) -> None:
        if segments_done(output) >= 1 and not killed and kill_ffmpeg("pipe:0"):
            killed.append(progress.done)

    with pytest.raises(FfmpegError, match=r"encoding .*signal 9") as caught:
        render_video(film, output, tiny(**FFV1), on_progress=look)
    assert f"of {FRAMES} frames are kept; the same command again continues" in str(caught.value)
    assert render_video(film, output, tiny(**FFV1)).resumed_from > 0
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_the_next_segment_begins_while_one_is_closed(
    film: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, close, waited = threading.Event(), SegmentWriter.close, []

    def slow_close(writer: SegmentWriter) -> None:
        if not waited:
            waited.append(go_on.wait(20))
        close(writer)

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done >= SEGMENTS[1][1] - 1:
            go_on.set()

    monkeypatch.setattr(SegmentWriter, "close", slow_close)
    render_video(film, tmp_path / "dream.mkv", tiny(**FFV1), on_progress=look)
    assert waited == [True], "more frames are dreamed than wait for an encoder"
    assert (frames_of(tmp_path / "dream.mkv") == frames_of(undisturbed)).all()


def test_an_encoder_that_dies_while_it_is_closed(
    film: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = SegmentWriter.close, []

    def close_second(writer: SegmentWriter) -> None:
        if writer.path not in closed:
            closed.append(writer.path)
            if len(closed) == 2:
                writer._process.process.kill()
                writer._process.process.wait()
        close(writer)

    monkeypatch.setattr(SegmentWriter, "close", close_second)
    with pytest.raises(FfmpegError, match=rf"encoding 000001.*signal 9[\s\S]* {SEGMENTS[0][1]} of {FRAMES} frames"):
        render_video(film, tmp_path / "dream.mkv", tiny(**FFV1))
    monkeypatch.undo()
    assert render_video(film, tmp_path / "dream.mkv", tiny(**FFV1)).resumed_from == SEGMENTS[0][1]
    assert (frames_of(tmp_path / "dream.mkv") == frames_of(undisturbed)).all()


@pytest.fixture(params=[1, 64], ids=["motion ahead", "motion in turn"])
def with_or_without_motion_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "_CORES_FOR_MOTION", request.param)


@pytest.mark.usefixtures("with_or_without_motion_thread")
def test_a_decoder_that_dies(film: Path, tmp_path: Path) -> None:
    large = tiny(frames="0:20", size="640x480", iterations=0)  # more than the pipes hold
    killed = []

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and not killed:
            killed.append(kill_ffmpeg("pipe:1"))

    with pytest.raises(FfmpegError, match=r"decoding .*signal 9"):
        render_video(film, tmp_path / "dream.mp4", large, on_progress=look)
    assert killed == [True]
    assert render_video(film, tmp_path / "dream.mp4", large).frames == 20
    assert names(tmp_path) == ["dream.mp4", "dream.mp4.toml"]


@pytest.mark.usefixtures("with_or_without_motion_thread")
def test_a_source_that_gets_shorter(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    shutil.copy(film, source)

    def look(progress: Progress) -> None:
        if progress.stage == "plan" and progress.done == FRAMES:
            shutil.copy(shorter, source)

    shorter = render_video(film, tmp_path / "shorter.mp4", tiny(iterations=0, frames="0:12")).output
    with pytest.raises(SourceError, match=r"ended before frame 12.*up to 24"):
        render_video(source, tmp_path / "dream.mp4", tiny(), on_progress=look)


def test_an_output_folder_that_goes(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done == 5:
            shutil.rmtree(folder)

    with pytest.raises(DreamvidError, match="films") as caught:
        render_video(film, folder / "dream.mp4", tiny(), on_progress=look)
    assert "gone" in str(caught.value) or "No such file" in str(caught.value)
    assert not folder.exists()
    folder.mkdir()
    assert render_video(film, folder / "dream.mp4", tiny(frames="0:3")).frames == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(film: Path, undisturbed: Path, small_disk: Path) -> None:
    output = small_disk / "dream.mkv"
    with pytest.raises(DreamvidError, match=r"disk is full.*run the same command again"):
        render_video(film, output, tiny(**FFV1))
    assert not output.exists()
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)  # the remedy
    render_video(film, output, tiny(**FFV1))
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(small_disk) == ["dream.mkv", "dream.mkv.toml"]


def test_a_folder_that_cannot_be_written_to(film: Path, small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    few = tiny(iterations=0, frames="0:2")
    with pytest.raises(OutputError, match=r"cannot be written to.*another `output`"):
        render_video(film, small_disk / "dream.mp4", few)
    assert render_video(film, tmp_path / "dream.mp4", few).frames == 2


def test_a_limit_on_file_sizes(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    import resource

    output = tmp_path / "dream.mkv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(DreamvidError, match=r"limit on file sizes.*ulimit -f"):
            render_video(film, output, tiny(**FFV1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    render_video(film, output, tiny(**FFV1))
    assert (frames_of(output) == frames_of(undisturbed)).all()
