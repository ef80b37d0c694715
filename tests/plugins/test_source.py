"""A source of another distribution works like a built-in one: it is rendered, resumed, named in errors and in help."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from renders import frames_of, tiny

from dreamvid.errors import JobError, SettingsError, SourceError
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.mask import Mask
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import SOURCES, open_for_render, open_source


def test_it_is_read_like_any_other() -> None:
    source = open_source("stripes:6")
    info = probe(source)
    seen = scan(source, info)
    assert (info.width, info.height, seen.count, seen.frame_rate) == (64, 48, 6, 10)
    with FrameReader(source, info, scan=seen, start=2, stop=5) as reader:
        frames = list(reader)
    assert [(frame.index, frame.time_seconds) for frame in frames] == [(2, 0.2), (3, 0.3), (4, 0.4)]
    assert all(np.array_equal(frame.pixels, source.frame(frame.index)) for frame in frames)  # type: ignore[attr-defined]
    assert open_source("stripes:6").fingerprint() == source.fingerprint() != open_source("stripes:7").fingerprint()
    slow = open_for_render("stripes:6", load_settings(input_fps=5).video)
    assert probe(slow).frame_rate == Fraction(5)


def test_it_is_rendered_and_resumed(tmp_path: Path) -> None:
    settings = tiny(codec="ffv1", cadence=1)
    render_video("stripes:60", tmp_path / "whole.mkv", settings)

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done > 45:
            raise StopError

    with pytest.raises(StopError):
        render_video("stripes:60", tmp_path / "dream.mkv", settings, on_progress=stop)
    with pytest.raises(JobError, match="the source's content"):
        render_video("stripes:61", tmp_path / "dream.mkv", settings)
    result = render_video("stripes:60", tmp_path / "dream.mkv", settings)
    assert result.resumed_from > 0
    assert np.array_equal(frames_of(tmp_path / "dream.mkv"), frames_of(tmp_path / "whole.mkv"))


def test_errors_name_it() -> None:
    with pytest.raises(SourceError, match=r"needs a number of frames"):
        open_source("stripes:many")
    with pytest.raises(SourceError, match=r"Did you mean .*'stripes:COUNT'.*Allowed: .*stripes:COUNT"):
        open_source("stripe:6")


@pytest.mark.filterwarnings("error")
def test_one_that_is_broken_keeps_no_other_from_work() -> None:
    assert "missing" in SOURCES.names()
    with pytest.warns(UserWarning, match=r"'missing' of dreamvid-plugins 1\.0 cannot be loaded"):
        assert open_source("demo").kind == "lavfi"


def test_a_mask_reads_files_only() -> None:
    with pytest.raises(SettingsError, match="no such file"):
        Mask("stripes:6", Size(48, 64), "cpu")


def test_it_shows_in_the_help_and_in_doctor() -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    for words in (["run", "--help"], ["doctor"]):
        shown = subprocess.run(
            [sys.executable, "-m", "dreamvid", *words],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "400"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "stripes" in shown.stdout, words
