from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from dreamvid.audio.analysis import SoundCurves, analyse_sound
from dreamvid.errors import InputError
from dreamvid.settings.schedule import SIGNALS, parse_schedule

RATE = 22050
Samples = npt.NDArray[np.float32]


def stroke(kind: str) -> npt.NDArray[np.float64]:
    t = np.arange(int(0.25 * RATE)) / RATE
    fall = np.exp(-t / 0.05)
    if kind == "click":
        return np.where(t < 0.001, 1.0, 0.0)
    if kind == "kick":
        return np.sin(2 * np.pi * 60 * t) * fall
    if kind == "snare":
        return np.random.default_rng(1).standard_normal(t.size) * 0.4 * fall
    return np.sin(2 * np.pi * 440 * t) * np.minimum(1, t / 0.005) * fall


def track(kind: str, times: npt.NDArray[np.float64], seconds: float, hiss: float = 0.001) -> Samples:
    samples = hiss * np.random.default_rng(0).standard_normal(int(seconds * RATE))
    samples[0 : RATE // 4] *= np.linspace(0, 1, RATE // 4)
    for time in times:
        place = round(time * RATE)
        sound = stroke(kind)[: samples.size - place]
        samples[place : place + sound.size] += 0.7 * sound
    return samples.astype(np.float32)


def tone(frequency: float, seconds: float = 2.0) -> Samples:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def pulses(curves: SoundCurves) -> list[int]:
    """Frames at which the beat rises."""
    return [i for i in range(len(curves)) if curves.at(i)["beat"] == 1.0]


@pytest.mark.parametrize("kind", ["click", "kick", "snare", "tone"])
@pytest.mark.parametrize("fps", [24, Fraction(30000, 1001), 60])
def test_beats_are_found_within_one_frame(kind: str, fps: Fraction | int) -> None:
    times = np.arange(0.5, 7.6, 60 / 127)
    curves = analyse_sound(track(kind, times, 8.0), RATE, fps)
    frames = pulses(curves)
    assert len(frames) == len(times)
    assert np.abs(np.array(frames) - times * float(fps)).max() <= 1
    assert np.abs(np.array(curves.beats_seconds) - times).max() < 0.006


def test_a_beat_falls_by_half_in_its_half_life() -> None:
    curves = analyse_sound(track("click", np.array([0.5]), 2.0), RATE, 100)
    assert [curves.at(50 + n)["beat"] for n in (0, 12, 24)] == pytest.approx([1, 0.5, 0.25], rel=1e-3)
    assert curves.at(45)["beat"] == 0


@pytest.mark.parametrize(("frequency", "band"), [(80, "bass"), (1000, "mid"), (7000, "treble")])
def test_a_tone_raises_its_own_band_only(frequency: float, band: str) -> None:
    curves = analyse_sound(tone(frequency), RATE, 24)
    middle = curves.at(24)
    assert middle["rms"] > 0.95
    assert middle[band] > 0.95
    assert all(middle[other] < 0.1 for other in {"bass", "mid", "treble"} - {band})
    assert max(middle["onset"], middle["beat"]) < 0.01  # what is left of its start


def test_levels_follow_the_loudness() -> None:
    samples = tone(440, 4.0)
    samples[: 2 * RATE] *= 0.25
    curves = analyse_sound(samples, RATE, 25)
    assert curves.at(25)["rms"] == pytest.approx(0.25, abs=0.02)
    assert curves.at(75)["rms"] == pytest.approx(1.0, abs=0.02)


def test_levels_fall_softly() -> None:
    samples = tone(440, 2.0)
    samples[RATE:] = 0
    rms = analyse_sound(samples, RATE, 50).values["rms"]
    falls = rms[52:] / np.maximum(rms[51:-1], 1e-12)
    assert float(falls.min()) > 0.85
    assert float(rms[-1]) < 0.01


def test_every_signal_of_schedules_is_there_from_0_to_1() -> None:
    curves = analyse_sound(track("snare", np.arange(0.3, 3, 0.4), 3.0, hiss=0.05), RATE, 24)
    assert set(curves.values) == set(SIGNALS)
    for curve in curves.values.values():
        assert curve.shape == (72,)
        assert 0 <= float(curve.min()) <= float(curve.max()) <= 1
    assert float(curves.values["onset"].max()) > 0.9
    assert parse_schedule("1 + bass + beat").at(0.5, 12, curves.at(12)) > 1


def test_frames_outside_of_the_sound_are_silent() -> None:
    curves = analyse_sound(tone(440, 1.0), RATE, 24, frames=48)
    assert len(curves) == 48
    assert curves.at(40)["mid"] < 0.1
    assert curves.at(-1) == curves.at(48) == dict.fromkeys(SIGNALS, 0.0)


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.ones(3, np.float32), np.ones(1, np.float32)])
def test_silence_and_crumbs_give_finite_curves(samples: Samples) -> None:
    curves = analyse_sound(samples, RATE, 24)
    assert all(np.isfinite(curve).all() and float(curve.max()) <= 1 for curve in curves.values.values())


def test_silence_has_no_beats() -> None:
    curves = analyse_sound(np.zeros(RATE, np.float32), RATE, 24)
    assert curves.beats_seconds == ()
    assert not any(curve.any() for curve in curves.values.values())


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="mono samples"):
        analyse_sound(np.zeros(0, np.float32), RATE, 24)
