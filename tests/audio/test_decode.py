from pathlib import Path

import numpy as np
import pytest

from dreamvid.audio.decode import decode_audio
from dreamvid.errors import SourceError
from dreamvid.video.ffmpeg import run_ffmpeg

RATE = 22050


def make(path: Path, *args: str) -> Path:
    run_ffmpeg([*args, f"file:{path}"], "making a test sound")
    return path


def lavfi(graph: str) -> list[str]:
    return ["-f", "lavfi", "-i", graph]


def pitch(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() / samples.size * RATE)


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.flac", "song.m4a", "-odd %d name.ogg"])
def test_a_tone_comes_back_with_its_pitch_and_its_length(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, *lavfi("sine=frequency=441:sample_rate=44100:duration=2"), "-ac", "2")
    samples, rate = decode_audio(path)
    assert rate == RATE
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert samples.size == pytest.approx(2 * RATE, abs=0.06 * RATE)
    assert pitch(samples) == pytest.approx(441, abs=1)


def test_sound_of_a_film_that_begins_late_keeps_its_time(tmp_path: Path) -> None:
    click = "aevalsrc='if(between(t,0.3,0.35),sin(2*PI*1000*t),0)':s=48000:d=1"
    image = lavfi("color=c=gray:s=32x32:r=25:d=2")
    path = make(tmp_path / "late.mkv", *image, "-itsoffset", "0.5", *lavfi(click), "-c:a", "pcm_s16le", "-shortest")
    samples, rate = decode_audio(path)
    first = np.flatnonzero(np.abs(samples) > 0.1)[0] / rate
    assert first == pytest.approx(0.8, abs=0.005)


def test_the_rate_can_be_chosen(tmp_path: Path) -> None:
    path = make(tmp_path / "song.wav", *lavfi("sine=frequency=100:duration=1"))
    samples, rate = decode_audio(path, 8000)
    assert (rate, samples.size) == (8000, 8000)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "mute.mkv", *lavfi("color=c=gray:s=32x32:r=25:d=0.2"))
    with pytest.raises(SourceError, match=r"mute\.mkv has no sound"):
        decode_audio(path)


def test_silence_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "silence.wav", *lavfi("anullsrc=d=1"))
    with pytest.raises(SourceError, match="silent"):
        decode_audio(path)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("la la la")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name in ("text.wav", "empty.wav"):
        with pytest.raises(SourceError, match=f"{name} is not sound"):
            decode_audio(tmp_path / name)
    with pytest.raises(SourceError, match="is not there"):
        decode_audio(tmp_path / "missing.wav")
    with pytest.raises(SourceError, match="is a folder"):
        decode_audio(tmp_path)
