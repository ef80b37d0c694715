"""Sound that is analyzed while it plays: strokes and levels, and how long after the sound they are told."""

import numpy as np
import pytest

from dreamvid.audio.live import LiveSound

RATE, CHUNK = 48_000, 240


def play(samples: np.ndarray, sound: LiveSound) -> dict[str, np.ndarray]:
    """Play samples (n,) in chunks of 5 ms that arrive when they are over; the values after each chunk."""
    found: dict[str, list[float]] = {}
    for start in range(0, len(samples), CHUNK):
        now = (start + CHUNK) / RATE
        sound.hear(np.ascontiguousarray(samples[start : start + CHUNK, None], np.float32), now)
        for name, value in sound.at(now).items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def drums(times_seconds: list[float], length_seconds: float) -> np.ndarray:
    """Strokes of noise that fade, above a faint hiss."""
    random = np.random.default_rng(1)
    samples = 0.002 * random.standard_normal(round(length_seconds * RATE))
    for time in times_seconds:
        start = round(time * RATE)
        stroke = random.standard_normal(RATE // 5) * np.exp(-np.arange(RATE // 5) / (0.03 * RATE))
        samples[start : start + len(stroke)] += 0.3 * stroke
    return samples


def test_every_stroke_is_told_once_within_50_ms() -> None:
    times = [1.0 + 0.5 * n for n in range(12)]
    beat = play(drums(times, 8.0), LiveSound(RATE))["beat"]
    rises = np.flatnonzero((beat[1:] > 0.9) & (beat[:-1] < 0.8)) + 1
    told = (rises + 1) * CHUNK / RATE
    assert len(told) == len(times)
    delays = told - times
    assert delays.min() > 0
    assert delays.max() < 0.050


def test_levels_follow_their_bands() -> None:
    time = np.arange(2 * RATE) / RATE
    deep, high = 0.5 * np.sin(2 * np.pi * 80 * time), 0.5 * np.sin(2 * np.pi * 8000 * time)
    values = play(np.concatenate([deep, high, np.zeros(RATE)]), LiveSound(RATE))
    second = RATE // CHUNK
    middle_of_deep, middle_of_high = second, 3 * second
    assert values["bass"][middle_of_deep] == pytest.approx(1, abs=0.05)
    assert values["treble"][middle_of_deep] < 0.2
    assert values["treble"][middle_of_high] == pytest.approx(1, abs=0.05)
    assert values["bass"][middle_of_high] < 0.1
    assert values["rms"][-1] < 0.02


def test_silence_and_hiss_are_no_music() -> None:
    random = np.random.default_rng(0)
    values = play(1e-6 * random.standard_normal(2 * RATE), LiveSound(RATE))
    assert values["rms"].max() < 0.05
    steady = play(0.1 * random.standard_normal(4 * RATE), LiveSound(RATE))
    after_the_start = steady["beat"][RATE // CHUNK :]
    assert (np.diff(after_the_start) > 0.5).sum() <= 2


def test_the_values_fall_when_no_sound_comes() -> None:
    sound = LiveSound(RATE)
    play(0.3 * np.random.default_rng(0).standard_normal(RATE), sound)
    assert sound.at(1.0)["rms"] > 0.8
    assert sound.at(2.5)["rms"] < 0.01


def test_chunks_of_any_size_give_the_same_values() -> None:
    samples = drums([0.5, 0.9], 1.5)[:, None].astype(np.float32)
    whole, parts = LiveSound(RATE), LiveSound(RATE)
    random, position = np.random.default_rng(3), 0
    while position < len(samples):
        size = int(random.integers(1, 1000))
        parts.hear(samples[position : position + size], min(position + size, len(samples)) / RATE)
        position += size
    for start in range(0, len(samples), CHUNK):
        whole.hear(samples[start : start + CHUNK], (start + CHUNK) / RATE)
    now = len(samples) / RATE
    assert parts.at(now) == pytest.approx(whole.at(now), abs=1e-6)
