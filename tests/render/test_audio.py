"""Sound that drives schedules while a video is dreamed on."""

from pathlib import Path

import numpy as np
import pytest
from renders import RATE, frames_of, tiny

from dreamvid.errors import SettingsError
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.settings import load_settings
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

BEAT_SECONDS, QUIET_SECONDS = 2.0, 4.0


@pytest.fixture(scope="module")
def beat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of sound: nothing but a stroke after two of them."""
    path = tmp_path_factory.mktemp("sound") / "beat.wav"
    graph = f"aevalsrc='sin(2*PI*440*t)*between(t\\,{BEAT_SECONDS}\\,{BEAT_SECONDS + 0.2})':d={QUIET_SECONDS}"
    run_ffmpeg(["-f", "lavfi", "-i", graph, f"file:{path}"], "making a sound")
    return path


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, beat: Path) -> Path:
    """A video of one image, four seconds long, with the sound of the stroke."""
    path = tmp_path_factory.mktemp("still") / "still.mkv"
    image = ["-f", "lavfi", "-i", f"testsrc2=size=96x64:rate={RATE}:d=0.3,loop=-1:1,trim=duration={QUIET_SECONDS}"]
    run_ffmpeg([*image, "-i", f"file:{beat}", "-c:v", "ffv1", "-c:a", "flac", f"file:{path}"], "making a video")
    return path


def strength(source: Path, output: Path, **chosen: object) -> np.ndarray:
    """How much each frame was changed: every frame alone, as hard as the sound is loud."""
    settings = tiny(step_size="0.0001 + 0.05*rms", half_life_seconds=0, cadence=1, codec="ffv1", **chosen)
    render_video(source, output, settings)
    change = frames_of(output).astype(float) - frames_of(source)[: len(frames_of(output))]
    return np.asarray(np.abs(change).mean((1, 2, 3)))


def test_a_file_drives_the_schedules_and_the_video_keeps_its_sound(film: Path, beat: Path, tmp_path: Path) -> None:
    changed = strength(film, tmp_path / "dream.mkv", audio=str(beat), frames="0:10")
    assert changed.argmax() == round(BEAT_SECONDS * RATE)
    assert changed.max() > 5 * np.median(changed)
    assert probe(open_source(tmp_path / "dream.mkv")).audio == probe(open_source(film)).audio


def test_the_own_sound_of_a_video_drives_the_schedules(still: Path, tmp_path: Path) -> None:
    changed = strength(still, tmp_path / "dream.mkv", audio="source")
    assert changed.argmax() == round(BEAT_SECONDS * RATE)
    assert changed.max() > 5 * np.median(changed)
    part = strength(still, tmp_path / "part.mkv", audio="source", frames="4:8")
    assert np.argmax(part) == round(BEAT_SECONDS * RATE) - 4


def test_without_sound_it_says_what_to_give(film: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="`audio` gives it"):
        render_video(film, tmp_path / "a.mkv", tiny(step_size="0.01 + 0.01*beat"))
    with pytest.raises(SettingsError, match=r"`audio=source` is the audio of .*, which has none"):
        render_video("lavfi:testsrc2=s=64x48:r=5:d=1", tmp_path / "a.mkv", tiny(audio="source"))
    with pytest.raises(SettingsError, match=r"`audio=source` is the audio of a video"):
        render_zoom("noise", tmp_path / "a.mkv", load_settings("pulse", audio="source", device="cpu"))


def test_sound_belongs_to_a_render(film: Path, beat: Path, tmp_path: Path) -> None:
    """Another sound is another render, also where it has the same name."""
    song = tmp_path / "song.wav"
    song.write_bytes(beat.read_bytes())
    settings = tiny(audio=str(song), step_size="0.01 + 0.01*rms", frames="0:2")
    render_video(film, tmp_path / "a.mkv", settings)
    before = frames_of(tmp_path / "a.mkv")
    run_ffmpeg(["-f", "lavfi", "-i", "sine=d=4", f"file:{song}"], "making a sound")
    render_video(film, tmp_path / "a.mkv", settings, overwrite=True)
    assert not np.array_equal(before, frames_of(tmp_path / "a.mkv"))
