"""Sinks of another distribution work like built-in ones: they render, resume, and show in help, errors and jobs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from renders import FRAMES, RATE, frames_of, names, tiny

from dreamvid.errors import InputError, JobError, OutputError
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.runtime.plugins import SINKS
from dreamvid.video.sink import open_sink, sink_fingerprint


def test_they_are_named_behind_the_built_in_ones() -> None:
    assert SINKS.names() == ("gif", "mkv", "mov", "mp4", "png", "webm", "webp", "csv", "npy")


def test_a_render_to_one_file(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    result = render_video(film, tmp_path / "dream.csv", tiny())
    table = np.loadtxt(tmp_path / "dream.csv", delimiter=",")
    assert np.allclose(table[:, 0], np.arange(FRAMES) / float(RATE), atol=1e-3)
    assert np.allclose(table[:, 1:], frames_of(undisturbed).mean(axis=(1, 2)) / 255, atol=1e-4)
    assert result.output == tmp_path / "dream.csv"
    assert names(tmp_path) == ["dream.csv", "dream.csv.toml"]
    with pytest.raises(OutputError, match="the output exists"):
        render_video(film, tmp_path / "dream.csv", tiny())


def test_a_render_to_numbered_files(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "f_0099.npy").touch()
    (tmp_path / "f_99.npy").touch()
    with pytest.raises(OutputError, match="the output exists"):
        render_video(film, tmp_path / "f_%04d.npy", tiny())
    render_video(film, tmp_path / "f_%04d.npy", tiny(), overwrite=True)
    frames = [np.load(tmp_path / f"f_{number:04d}.npy") for number in range(FRAMES)]
    assert np.array_equal(np.stack(frames), frames_of(undisturbed))
    assert "f_99.npy" in names(tmp_path)  # not a name of this pattern
    assert "f_0099.npy" not in names(tmp_path)  # of a longer sequence


def test_an_interrupted_render_resumes(film: Path, tmp_path: Path) -> None:
    render_video(film, tmp_path / "whole.csv", tiny())

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done > 17:
            raise StopError

    with pytest.raises(StopError):
        render_video(film, tmp_path / "dream.csv", tiny(), on_progress=stop)
    with pytest.raises(JobError, match="seed"):
        render_video(film, tmp_path / "dream.csv", tiny(seed=5))
    result = render_video(film, tmp_path / "dream.csv", tiny())
    assert result.resumed_from > 0
    assert (tmp_path / "dream.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_distribution_is_part_of_the_fingerprint() -> None:
    assert sink_fingerprint(open_sink("a.csv"), 8, False) == "dreamvid-plugins 1.0 mean of all pixels"
    assert sink_fingerprint(open_sink("a_%d.npy"), 8, False) == "dreamvid-plugins 1.0"


def test_they_show_in_the_help_and_in_errors() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-m", "dreamvid", "run", "--help"]
    shown = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}, capture_output=True, text=True, check=True
    )
    assert ".csv .npy" in shown.stdout
    with pytest.raises(OutputError, match=r"Did you mean '\.csv'.*\.csv \.npy"):
        open_sink("dream.cvs")
    with pytest.raises(InputError, match="has no codec"):
        open_sink("dream.csv", "libx264")
