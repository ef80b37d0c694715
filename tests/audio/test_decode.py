import warnings
from pathlib import Path

import numpy as np
import pytest

from dreamvid.audio.analysis import analyse_sound
from dreamvid.audio.decode import decode_audio
from dreamvid.errors import SourceError
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe_sound
from dreamvid.video.sources.file import FileSource

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


def test_stereo_in_antiphase_is_not_silence(tmp_path: Path) -> None:
    """A mix to mono cancels it; its curves are those of the same sound in one channel."""
    beats = f"0.5*sin(2*PI*{700}*t)*lt(mod(t\\,0.5)\\,0.1)"
    path = make(tmp_path / "anti.wav", *lavfi(f"aevalsrc='{beats}|-({beats})':s=44100:d=3"))
    samples, rate = decode_audio(path)
    assert samples.shape == (3 * RATE, 2)
    mono, _ = decode_audio(make(tmp_path / "mono.wav", *lavfi(f"aevalsrc='{beats}':s=44100:d=3")))
    curves, expected = analyse_sound(samples, rate, 30), analyse_sound(mono, rate, 30)
    assert curves.beats_seconds == pytest.approx(expected.beats_seconds, abs=0.001)
    assert len(curves.beats_seconds) >= 5
    for name, curve in curves.values.items():
        np.testing.assert_allclose(curve, expected.values[name], atol=1e-3)


def test_treble_in_antiphase_below_bass_in_phase_is_heard(tmp_path: Path) -> None:
    bass, treble = "0.5*sin(2*PI*100*t)", "0.3*sin(2*PI*6000*t)*gt(t\\,1)"
    path = make(tmp_path / "a.wav", *lavfi(f"aevalsrc='{bass}+{treble}|{bass}-{treble}':s=44100:d=2"))
    curves = analyse_sound(*decode_audio(path), 10)
    assert curves.values["treble"][:9].max() < 0.05
    assert curves.values["treble"][12:19].min() > 0.9


def test_the_track_that_players_take_is_decoded(tmp_path: Path) -> None:
    tones = [*lavfi("sine=frequency=300:duration=1"), *lavfi("sine=frequency=900:duration=1")]
    tracks = ["-map", "0:a", "-map", "1:a", "-disposition:a:0", "0", "-disposition:a:1"]
    second = make(tmp_path / "second.mka", *tones, *tracks, "default")
    neither = make(tmp_path / "neither.mka", *tones, *tracks, "0")
    assert pitch(decode_audio(second)[0]) == pytest.approx(900, abs=2)
    assert pitch(decode_audio(neither)[0]) == pytest.approx(300, abs=2)
    source = FileSource(text="second", paths=(second,))
    assert probe_sound(source).audio == ("", "vorbis")


def test_sound_that_is_damaged_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "a.flac", *lavfi("anoisesrc=d=4:a=0.3"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    with pytest.warns(UserWarning, match=r"a\.flac can be decoded only in part.*first error"):
        decode_audio(path)


def test_sound_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = make(tmp_path / "a.m4a", *lavfi("sine=frequency=300:duration=8"), "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"a\.m4a can be decoded only in part: \d\.\d s of 8\.\d s"):
        samples, rate = decode_audio(path)
    assert 1 < len(samples) / rate < 7


def test_whole_sound_gives_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.mp3", "a.ogg", "a.m4a", "a.wav", "a.mka"):
            decode_audio(make(tmp_path / name, *lavfi("sine=frequency=300:duration=3")))


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.wav", *lavfi("sine=frequency=300:duration=1"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert decode_audio("~/a.wav")[0].size == RATE


def test_late_sound_of_a_transport_stream_keeps_its_time(tmp_path: Path) -> None:
    click = "aevalsrc='if(between(t,0.3,0.35),sin(2*PI*1000*t),0)':s=48000:d=1"
    image = lavfi("color=c=gray:s=32x32:r=25:d=2")
    path = make(tmp_path / "late.ts", *image, "-itsoffset", "0.5", *lavfi(click), "-c:a", "mp2")
    samples, rate = decode_audio(path)
    assert np.flatnonzero(np.abs(samples) > 0.1)[0] / rate == pytest.approx(0.8, abs=0.06)
