"""A film, and its undisturbed render."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `renders`
sys.path.insert(0, str(Path(__file__).parents[1] / "video"))  # for `clips`

from renders import make_film, tiny

from dreamvid.pipeline.render import render_video


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots, 25 frames."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="session")
def undisturbed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film's render by `tiny(codec="ffv1")`, bit-exact."""
    output = tmp_path_factory.mktemp("undisturbed") / "dream.mkv"
    render_video(film, output, tiny(codec="ffv1"))
    return output
