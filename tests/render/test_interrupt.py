"""A signal or the host's event finishes the frame and leaves a video that plays; a second signal stops at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from renders import (
    FRAMES,
    SEGMENTS,
    children,
    frames_of,
    names,
    segments_done,
    start_command,
    stop_render_and_ffmpeg,
    tiny,
)

from dreamvid.errors import Interrupted
from dreamvid.image.io import read_image
from dreamvid.render import preview as partial_film
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.runtime.interrupt import StopRequest

FFV1 = {"codec": "ffv1"}


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Whatever started the tests may have told them to ignore it, as `nohup` and `&` in a script do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def nothing_runs() -> bool:
    running = {thread.name for thread in threading.enumerate()}
    return running.isdisjoint({"motion", "encode", "decode", "ffmpeg-log"}) and "ffmpeg" not in " ".join(children())


def test_ctrl_c_leaves_a_film_and_the_same_call_goes_on(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    before = signal.getsignal(signal.SIGINT)
    told: list[Progress] = []

    def look(progress: Progress) -> None:
        told.append(progress)
        if progress.stage == "dream" and progress.done == 11:
            press_ctrl_c()

    with pytest.raises(Interrupted) as caught:
        render_video(film, output, tiny(**FFV1), on_progress=look)
    assert signal.getsignal(signal.SIGINT) is before
    assert nothing_runs()
    done = told[-1].done
    assert done in (11, 12)
    assert caught.value.exit_code == 130
    message = str(caught.value)
    assert f"after {done} of {FRAMES} frames" in message
    assert str(tmp_path / "dream.partial.mkv") in message
    assert "same command" in message
    assert names(tmp_path) == [".dream.mkv.job", "dream.partial.mkv"]
    wanted = frames_of(undisturbed)
    assert (frames_of(tmp_path / "dream.partial.mkv") == wanted[:done]).all()

    told.clear()
    result = render_video(film, output, tiny(**FFV1), on_progress=told.append)
    assert result.resumed_from == SEGMENTS[0][1]
    assert f"Resuming: {result.resumed_from} of {FRAMES}" in told[0].message
    assert (frames_of(output) == wanted).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_a_second_ctrl_c_stops_at_once(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mp4"

    def look(progress: Progress) -> None:
        if segments_done(output) >= 1:
            press_ctrl_c()
            press_ctrl_c()

    with pytest.raises(Interrupted, match="at once") as caught:
        render_video(film, output, tiny(), on_progress=look)
    assert f"of {FRAMES} frames are kept" in str(caught.value)
    assert nothing_runs()
    assert names(tmp_path) == [".dream.mp4.job"]


def test_a_stop_that_ends_ffmpeg_too_is_a_stop(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done == 11:
            stop_render_and_ffmpeg()

    with pytest.raises(Interrupted, match="7 of 25 frames are kept") as caught:
        render_video(film, output, tiny(**FFV1), on_progress=look)
    assert caught.value.exit_code == 143
    assert nothing_runs()
    assert render_video(film, output, tiny(**FFV1)).resumed_from == SEGMENTS[0][1]
    assert (frames_of(output) == frames_of(undisturbed)).all()


def test_ctrl_c_before_the_first_frame_leaves_nothing(film: Path, tmp_path: Path) -> None:
    def look(progress: Progress) -> None:
        if progress.stage == "plan":
            press_ctrl_c()

    with pytest.raises(Interrupted):
        render_video(film, tmp_path / "dream.mp4", tiny(), on_progress=look)
    assert nothing_runs()
    assert names(tmp_path) == []


def test_a_preview_is_kept_fresh_and_goes_in_the_end(
    film: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_film, "_PREVIEW_SHARE", 1.0)  # the render is too short for its usual share
    output, partial = tmp_path / "dream.mkv", tmp_path / "dream.partial.mkv"
    lengths: list[int] = []
    wanted = frames_of(undisturbed)

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and partial.exists() and (tmp_path / "dream.partial.png").exists():
            images = frames_of(partial)
            assert (images == wanted[: len(images)]).all()
            still = read_image(tmp_path / "dream.partial.png")
            assert any((still == image).all() for image in wanted)
            lengths.append(len(images))

    render_video(film, output, tiny(**FFV1), on_progress=look, preview_every_seconds=0.01)
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 1, "it has to grow"
    assert (frames_of(output) == wanted).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_who_was_started_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest() as stop:
        press_ctrl_c()
        assert not stop.asked
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_of_the_host_stays() -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert (got, stop.asked) == ([signal.SIGTERM], False)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_event_is_set_by_a_signal(number: signal.Signals) -> None:
    before, event = signal.getsignal(number), threading.Event()
    with StopRequest(event) as stop:
        stop.gently = True
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        assert event.is_set()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # what cleans up is not stopped again
        assert stop.exit_code == 128 + number
    assert signal.getsignal(number) is before


def wait_for_segments(output: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while segments_done(output) < count:
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.005)


@pytest.mark.skipif(os.name == "nt", reason="there are no signals to send to another process")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_told_to_stop_leaves_a_video(
    film: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    output, partial = tmp_path / "dream.mkv", tmp_path / "dream.partial.mkv"
    process = start_command(film, output, tiny(**FFV1), slow_from=10)
    wait_for_segments(output, 1)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    assert names(tmp_path) == [".dream.mkv.job", "dream.partial.mkv"]
    images, wanted = frames_of(partial), frames_of(undisturbed)
    assert SEGMENTS[0][1] <= len(images) < FRAMES
    assert (images == wanted[: len(images)]).all()
    assert render_video(film, output, tiny(**FFV1)).resumed_from == SEGMENTS[0][1]
    assert (frames_of(output) == wanted).all()


@pytest.mark.skipif(os.name == "nt", reason="there are no signals to send to another process")
def test_a_process_that_is_told_twice_stops_at_once(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    process = start_command(film, output, tiny(**FFV1), slow_from=8)
    wait_for_segments(output, 1)
    assert process.pid is not None
    for _ in range(2):
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.05)
    process.join(60)
    assert process.exitcode == 143
    assert names(tmp_path) == [".dream.mkv.job"], "no time was left for a video"


class Host:
    """Renders in a thread that is no main thread, as a server does."""

    def __init__(self, film: Path, output: Path, stage: str, done: int) -> None:
        self.cancel = threading.Event()
        self.stage, self.done = stage, done
        self.told: list[Progress] = []
        self.outcome: object = None
        self.thread = threading.Thread(target=self.work, args=(film, output))
        self.thread.start()
        self.thread.join(60)
        assert not self.thread.is_alive()

    def work(self, film: Path, output: Path) -> None:
        try:
            self.outcome = render_video(film, output, tiny(**FFV1), on_progress=self.look, cancel=self.cancel)
        except BaseException as error:
            self.outcome = error

    def look(self, progress: Progress) -> None:
        self.told.append(progress)
        if progress.stage == self.stage and progress.done >= self.done:
            self.cancel.set()


def test_a_host_cancels_in_a_thread(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    host = Host(film, output, "dream", 11)
    assert isinstance(host.outcome, Interrupted)
    assert f"Stopped after 11 of {FRAMES} frames" in str(host.outcome)
    assert f"{SEGMENTS[0][1]} of {FRAMES} frames are kept" in str(host.outcome)
    assert nothing_runs()
    assert len(frames_of(tmp_path / "dream.partial.mkv")) == 11
    with pytest.raises(Interrupted, match="frames are kept"):
        render_video(film, output, tiny(**FFV1), cancel=host.cancel)  # it is still set
    assert render_video(film, output, tiny(**FFV1)).resumed_from == SEGMENTS[0][1]
    assert (frames_of(output) == frames_of(undisturbed)).all()


def test_a_host_cancels_the_planning(film: Path, tmp_path: Path) -> None:
    host = Host(film, tmp_path / "dream.mkv", "scan", 3)
    assert isinstance(host.outcome, Interrupted)
    assert "before the first frame" in str(host.outcome)
    assert host.told[-1].stage == "scan"
    assert nothing_runs()
    assert names(tmp_path) == []


def test_when_all_frames_are_dreamed_the_video_is_finished(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    host = Host(film, output, "dream", FRAMES)
    assert not isinstance(host.outcome, BaseException)
    assert (frames_of(output) == frames_of(undisturbed)).all()
