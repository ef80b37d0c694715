"""Recordings of live sessions: exact video of constant rate, sound in step, and a recipe that repeats the session."""

import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from live_sessions import QUICK, live, wait_for
from renders import frames_of, names

from dreamvid.audio.decode import decode_audio
from dreamvid.errors import OutputError
from dreamvid.render.engine import render_video
from dreamvid.render.live.film.recorder import Recorder
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.settings import load_settings
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source


def test_frames_stand_where_they_arrived_and_gaps_are_filled(tmp_path: Path) -> None:
    slot, output = LatestFrame(), tmp_path / "live.mkv"
    recorder = Recorder(
        output, slot, load_settings(codec="ffv1"), fps=Fraction(10), begin_seconds=100.0, with_sound=True
    )
    for number, seconds in enumerate((0.0, 0.1, 0.2, 0.5, 0.61)):
        slot.put(LiveFrame(np.full((48, 64, 3), 40 * number, np.uint8), number, 100 + seconds))
        _wait_for(recorder, round(seconds * 10) + 1)
    tone = np.ones((4800, 2), np.float32) * 0.5
    recorder.hear(np.zeros((4800, 2), np.float32), 100.1)
    recorder.hear(tone, 100.5)  # 0.3 s are missing: silence
    assert recorder.close()
    levels = frames_of(output)[:, 20, 20, 0].tolist()
    assert levels == [0, 40, 80, 80, 80, 120, 160]
    info = probe(open_source(output))
    assert info.frame_rate == 10
    assert info.audio
    samples, rate = decode_audio(output, 48_000)
    level = np.abs(samples if samples.ndim == 1 else samples[:, 0])
    assert len(level) / rate == pytest.approx(0.7, abs=0.02)
    assert level[: round(0.38 * rate)].max() < 0.01
    assert level[round(0.42 * rate) : round(0.48 * rate)].min() > 0.4
    assert level[round(0.52 * rate) :].max() < 0.01
    assert names(tmp_path) == ["live.mkv"]


def _wait_for(recorder: Recorder, count: int) -> None:
    wait_for(lambda: recorder.state().seconds >= count / 10 - 1e-6)


def test_an_output_that_exists_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "live.mp4").touch()
    for output in (tmp_path / "live.mp4", tmp_path / "no" / "live.mp4", tmp_path / "live.xyz"):
        with pytest.raises(OutputError):
            Recorder(output, LatestFrame(), load_settings(), fps=Fraction(10), begin_seconds=0.0)


def test_a_session_is_recorded_and_run_repeats_it_on_the_recorded_source(tmp_path: Path) -> None:
    output = tmp_path / "live.mp4"
    graph = "lavfi:testsrc2=s=96x64:r=15[out0];sine=f=330:r=48000[out1]"
    with live(graph, record_to=str(output), record_source=True, fps=10) as running:
        running.wait(lambda state: state.recording is not None and state.recording.seconds > 1)
        running.controls.set("step_size", 0.03)
        running.wait(lambda state: state.recording is not None and state.recording.seconds > 2)
    assert names(tmp_path) == ["live.mp4", "live.mp4.toml", "live.source.mp4"]
    info = probe(open_source(output))
    assert (info.frame_rate, info.audio) == (10, ("aac",))
    assert len(frames_of(output)) >= 20
    recipe = tomllib.loads((tmp_path / "live.mp4.toml").read_text())
    assert recipe["dream"]["objective"] == QUICK["objective"]
    assert "0.03" in recipe["schedules"]["step_size"]
    again = tmp_path / "again.mp4"
    render_video(tmp_path / "live.source.mp4", again, load_settings(tmp_path / "live.mp4.toml", frames="0:6"))
    assert len(frames_of(again)) == 6


def test_recording_starts_and_stops_by_an_action(tmp_path: Path) -> None:
    with live("lavfi:testsrc2=s=96x64:r=15", folder=tmp_path) as running:
        running.wait(lambda state: state.dreamed > 2)
        running.controls.action("record")
        running.wait(lambda state: state.recording is not None and state.recording.seconds > 0.5)
        running.controls.action("record")
        running.wait(lambda state: state.recording is None)
    recorded = list(tmp_path.glob("live-*.mp4"))
    assert len(recorded) == 1
    assert len(frames_of(recorded[0])) > 5
    assert recorded[0].with_name(f"{recorded[0].name}.toml").exists()
