"""Fixtures that several folders share."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several test processes share the cores: one thread each, before torch and OpenMP start theirs.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import clips
import pytest

from dreamvid import tune_process

tune_process()  # as the command line does


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a clip's path by its name, making the clip if this is the first time."""
    folder = tmp_path_factory.mktemp("zoo")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else clips.ZOO[name].build(path)

    return make


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of two shots, 25 frames."""
    from renders import make_film

    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="session")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film's render by `tiny(codec="ffv1")`, bit-exact."""
    from renders import tiny

    from dreamvid.render.engine import render_video

    output = tmp_path_factory.mktemp("undisturbed") / "dream.mkv"
    render_video(film, output, tiny(codec="ffv1"))
    return output
