"""What the page shows of a source: its length, thumbnails, shots, sound."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from renders import CUT, FRAMES, HEIGHT, RATE, WIDTH

from dreamvid.errors import DreamvidError
from dreamvid.ui.studio.film import THUMBNAIL_HEIGHT, film_facts, frame_at, signals, strip_path, thumbnail
from dreamvid.video.still import read_frame


def test_a_film_s_facts_and_its_strip(film: Path, tmp_path: Path) -> None:
    facts = film_facts(film, tmp_path)
    assert (facts.kind, facts.width, facts.height, facts.frames) == ("video", WIDTH, HEIGHT, FRAMES)
    assert facts.duration_seconds == pytest.approx(float(FRAMES / RATE), abs=0.5)
    assert facts.shots == pytest.approx([float(CUT / RATE)], abs=0.01)
    assert len(facts.waveform) > 100
    assert max(facts.waveform) == 1
    strip = cv2.imread(str(strip_path(film, tmp_path)))
    cells = np.split(strip, facts.thumbnails, axis=1)
    assert strip.shape[0] in (HEIGHT, THUMBNAIL_HEIGHT)
    assert np.abs(cells[0].astype(int) - cells[-1]).mean() > 20  # the two shots
    kept = {path.name for path in tmp_path.iterdir()}
    assert film_facts(film, tmp_path) == facts
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_frame_is_that_of_its_time(film: Path) -> None:
    for seconds in (0.0, 3.2, 8.4):
        expected = read_frame(f"{film}@{seconds}")
        assert np.abs(frame_at(film, seconds).astype(int) - expected).mean() < 2
    assert frame_at(film, 1e4).shape == (HEIGHT, WIDTH, 3)  # the last one


def test_thumbnails_are_made_once(film: Path, tmp_path: Path) -> None:
    path = thumbnail(film, tmp_path, 32, 1.0)
    stamp = path.stat().st_mtime_ns
    assert cv2.imread(str(path)).shape[0] == 32
    assert thumbnail(film, tmp_path, 32, 1.0).stat().st_mtime_ns == stamp


def test_sound_becomes_curves(film: Path, tmp_path: Path) -> None:
    curves = signals(film, tmp_path)
    assert {"rms", "beat", "bass"} <= set(curves)
    assert signals(tmp_path / "none.wav", tmp_path) == {}


def test_what_is_no_film_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with pytest.raises(DreamvidError):
        film_facts(tmp_path / "x.mp4", tmp_path)
