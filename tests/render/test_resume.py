"""Killed at any moment, the same call goes on and ends in the frames of an undisturbed render."""

import random
import time
from pathlib import Path

import pytest
from renders import FRAMES, finish_render, frames_of, names, segments_done, start_render, tiny

from dreamvid.errors import OutputError
from dreamvid.render.engine import render_video

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="kills by SIGKILL, looks into /proc")
FFV1 = {"codec": "ffv1"}


def check_whole(output: Path, undisturbed: Path) -> None:
    """What bears the final name is the whole film, or nothing does."""
    if output.exists():
        assert (frames_of(output) == frames_of(undisturbed)).all()


def end(film: Path, output: Path, undisturbed: Path) -> int:
    """Make the call once more, to its end."""
    resumed_from = FRAMES
    try:
        resumed_from = render_video(film, output, tiny(**FFV1)).resumed_from
    except OutputError:  # it had died when nothing but an empty folder was left to remove
        assert output.exists()
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(output.parent) == ["dream.mkv", "dream.mkv.toml"]
    return resumed_from


def test_the_same_render_twice_is_the_same(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    result = render_video(film, tmp_path / "dream.mkv", tiny(**FFV1))
    assert (result.frames, result.resumed_from, result.warnings) == (FRAMES, 0, ())
    assert (frames_of(result.output) == frames_of(undisturbed)).all()
    assert result.output.read_bytes()[-4096:] == undisturbed.read_bytes()[-4096:]


def test_killed_again_and_again_while_it_dreams(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    for die_at, after_segments in ((9, 0), (26, 0), (2, 1)):  # in the plan, in the first segments, behind one of them
        assert finish_render(film, output, tiny(**FFV1), die_at, after_segments=after_segments) == -9
        assert not output.exists()
    assert segments_done(output) > 0
    assert end(film, output, undisturbed) > 0


def test_killed_at_every_step_of_the_end(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Join, record, rename, recipe, clean-up: each call comes a little further than the one before."""
    output = tmp_path / "dream.mkv"
    process = start_render(film, output, tiny(**FFV1))
    while segments_done(output) < 3 and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    for die_at in (7, 12, 14, 19, 24, 29):
        assert finish_render(film, output, tiny(**FFV1), die_at) in (-9, 0, 1)
        check_whole(output, undisturbed)
    assert end(film, output, undisturbed) == FRAMES


def test_killed_at_random_moments(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    chance = random.Random(5)
    for _ in range(3):
        process = start_render(film, output, tiny(**FFV1))
        process.join(chance.uniform(1.0, 3.0))
        process.kill()
        process.join()
        check_whole(output, undisturbed)
    end(film, output, undisturbed)
