"""A live session from source to sinks: it dreams, takes changes, survives stalls and dead sinks, and ends cleanly."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from live_sessions import Watcher, children, free_port, live, sender, wait_for

from dreamvid.errors import SettingsError, SourceError
from dreamvid.render.live.sink import FrameSink, LiveSinkOptions, open_live_sink
from dreamvid.render.live.slot import LiveFrame

GRAPH = "lavfi:testsrc2=s=96x64:r=15"


def test_frames_are_dreamed_and_sent_out_and_nothing_is_left_behind() -> None:
    before = children()
    watcher = Watcher()
    with live(GRAPH, [watcher]) as running:
        running.wait(lambda state: state.dreamed > 20)
        wait_for(lambda: len(watcher.frames) > 10)
        state = running.state()
    assert state.source.status == "connected"
    assert (state.source.width, state.source.height) == (96, 64)
    assert state.fps_out > 0
    assert state.delay_ms > 0
    assert state.sinks[0].name == "watcher"
    assert '"version": 1' in state.to_json()
    assert all(frame.shape == (64, 96, 3) for frame in watcher.frames)
    assert not np.array_equal(watcher.frames[-1], watcher.frames[-5])
    assert children() == before
    assert running.error is None


def test_a_change_is_visible_within_two_frames() -> None:
    """Saturated red footage whose dream has no color, then has: the frames after the change differ at once."""
    watcher = Watcher()
    with live("lavfi:color=0x808080:s=96x64:r=15,noise=alls=20", [watcher], {"step_size": 0.004}) as running:
        running.wait(lambda state: state.dreamed > 15)
        running.controls.action("reset")
        running.controls.set("step_size", 0.2)
        at = len(watcher.frames)
        wait_for(lambda: len(watcher.frames) >= at + 4)
        contrast = [float(frame.astype(float).std()) for frame in watcher.frames[at - 5 : at + 4]]
    calm = max(contrast[:5])
    assert max(contrast[5:8]) > 1.5 * calm


def test_settings_that_are_refused_leave_the_session_running() -> None:
    with live(GRAPH) as running:
        running.wait(lambda state: state.dreamed > 2)
        with pytest.raises(SettingsError):
            running.controls.set("step_size", -1)
        with pytest.raises(Exception, match="blocks"):
            running.controls.set("objective", "blocks.77")
        running.controls.set("objective", "blocks.2.0")
        count = running.state().dreamed
        running.wait(lambda state: state.dreamed > count + 5)


def test_freeze_blackout_and_reset() -> None:
    watcher = Watcher()
    with live(GRAPH, [watcher]) as running:
        running.wait(lambda state: state.dreamed > 5)
        running.controls.action("freeze")
        running.wait(lambda state: state.frozen)
        time.sleep(0.1)
        count = len(watcher.frames)
        wait_for(lambda: len(watcher.frames) > count + 3)
        assert np.array_equal(watcher.frames[-1], watcher.frames[-2])
        running.controls.action("freeze")
        running.controls.action("blackout")
        running.wait(lambda state: state.blackout and not state.frozen)
        wait_for(lambda: watcher.frames[-1].max() == 0)
        running.controls.action("blackout")
        wait_for(lambda: watcher.frames[-1].max() > 0)
        running.controls.action("reset")
        count = running.state().dreamed
        running.wait(lambda state: state.dreamed > count + 5)


def test_snapshots_are_saved(tmp_path: Path) -> None:
    with live(GRAPH, folder=tmp_path) as running:
        running.wait(lambda state: state.dreamed > 2)
        running.controls.action("snapshot")
        wait_for(lambda: list(tmp_path.glob("snapshot-*.png")))
        running.wait(lambda state: "saved" in state.message)


class _Stuck(FrameSink):
    """A sink that blocks in its first frame until it is aborted."""

    def __init__(self) -> None:
        super().__init__("stuck", lambda text: None)
        self.released = threading.Event()

    def open(self, frame: LiveFrame) -> None:
        """Open nothing."""

    def write(self, frame: LiveFrame) -> None:
        self.released.wait()

    def shut(self) -> None:
        """Shut nothing."""

    def abort(self) -> None:
        self.released.set()


def test_a_sink_that_hangs_slows_nothing() -> None:
    stuck, watcher = _Stuck(), Watcher()
    with live(GRAPH, [stuck, watcher]) as running:
        running.wait(lambda state: state.dreamed > 30)
        assert len(watcher.frames) > 15
        assert stuck.state().sent == 0
        assert not stuck.released.is_set()
    assert stuck.released.is_set()


def test_a_stream_whose_receiver_is_missing_is_an_event_and_works_when_it_comes() -> None:
    port, said = free_port(), []
    sink = open_live_sink(f"tcp://127.0.0.1:{port}", LiveSinkOptions(fps=15, say=said.append))
    watcher = Watcher()
    with live(GRAPH, [sink, watcher]) as running:
        running.wait(lambda state: state.sinks and state.sinks[0].error)
        count = len(watcher.frames)
        wait_for(lambda: len(watcher.frames) > count + 5)
        with live(f"tcp://127.0.0.1:{port}?listen") as other:
            other.wait(lambda state: state.dreamed > 3, 60)
            wait_for(lambda: any("works again" in text for text in said))
        assert running.state().sinks[0].sent > 0
    assert any("failed" in text for text in said)


def test_a_stalled_source_is_dreamed_on_from_its_last_frame() -> None:
    port = free_port()
    watcher = Watcher()
    with live(f"udp://127.0.0.1:{port}", [watcher]) as running:
        with sender(f"udp://127.0.0.1:{port}"):
            running.wait(lambda state: state.dreamed > 5)
        running.wait(lambda state: state.source.status == "stalled")
        count = running.state().dreamed
        running.wait(lambda state: state.dreamed > count + 10)
        assert watcher.frames[-1].std() > 10
        with sender(f"udp://127.0.0.1:{port}"):
            running.wait(lambda state: state.source.status == "connected")


def test_a_source_that_cannot_be_opened_ends_the_session_with_its_reason() -> None:
    with live(f"tcp://127.0.0.1:{free_port()}") as running:
        assert running.thread is not None
        running.thread.join(30)
        assert isinstance(running.error, SourceError)


def test_an_animation_has_no_end_and_takes_changes() -> None:
    watcher = Watcher()
    with live("noise", [watcher], {"size": "96x64"}) as running:
        running.wait(lambda state: state.dreamed > 10)
        running.controls.set("zoom", 0.7)
        count = running.state().dreamed
        running.wait(lambda state: state.dreamed > count + 10)
    assert watcher.frames[-1].shape == (64, 96, 3)
    assert watcher.frames[-1].std() > 10
    with pytest.raises(SourceError, match="takes no camera"):
        running.session.take_camera(np.zeros((10, 10, 3), np.uint8))


def test_a_browsers_camera_becomes_the_source_and_leaves_again() -> None:
    watcher = Watcher()
    with live("lavfi:color=black:s=96x64:r=15", [watcher], {"step_size": 0.001}) as running:
        running.wait(lambda state: state.dreamed > 5)
        wait_for(lambda: watcher.frames[-1].mean() < 60)
        white = np.full((128, 96, 3), 255, np.uint8)

        def bright() -> bool:
            running.session.take_camera(white)
            time.sleep(0.03)
            return bool(watcher.frames[-1][:, 40:56].mean() > 150)

        wait_for(bright)
        assert watcher.frames[-1].shape == (64, 96, 3)

        def named() -> bool:
            running.session.take_camera(white)
            time.sleep(0.03)
            return running.state().source.text == "browser"

        wait_for(named)
        running.session.leave_camera()
        wait_for(lambda: watcher.frames[-1].mean() < 60)


def test_a_session_waits_for_a_browser_that_has_not_come() -> None:
    with live("browser") as running:
        running.wait(lambda state: state.source.status == "connecting")
        running.session.take_camera(np.zeros((64, 96, 3), np.uint8))
        running.wait(lambda state: state.dreamed > 0)
        running.wait(lambda state: state.source.status == "stalled")


def test_sound_drives_an_expression() -> None:
    beats = "lavfi:aevalsrc=0.5*sin(2*PI*1000*t)*lt(mod(t\\,0.5)\\,0.05):s=48000"
    with live(GRAPH, settings={"step_size": "0.002 + 0.05*beat"}, audio_in=beats) as running:
        running.wait(lambda state: state.signals.get("beat", 0) > 0.8)
        wait_for(lambda: running.controls.used()["step_size"] > 0.03)
        wait_for(lambda: running.controls.used()["step_size"] < 0.015)


def test_an_expression_without_sound_is_one_of_silence() -> None:
    with live(GRAPH, settings={"step_size": "0.002 + 0.05*beat"}) as running:
        running.wait(lambda state: state.dreamed > 3)
        assert running.controls.used()["step_size"] == pytest.approx(0.002)


def test_a_sound_device_that_does_not_exist_is_refused() -> None:
    with live(GRAPH, audio_in="no such device") as running:
        assert running.thread is not None
        running.thread.join(30)
        assert isinstance(running.error, SourceError)
        assert "audio_in" in str(running.error)
