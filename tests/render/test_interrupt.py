"""Ctrl-C finishes the frame, leaves a film that plays and a job that goes on; a second one stops at once."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from renders import FRAMES, SEGMENTS, children, frames_of, names, segments_done, tiny

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
    assert f"Going on: {result.resumed_from} of {FRAMES}" in told[0].message
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
