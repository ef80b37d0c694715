"""The zoo's clips, each made once, when it is first asked for."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `clips` and `passthrough`

import clips


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a clip's path by its name, making the clip if this is the first time."""
    folder = tmp_path_factory.mktemp("zoo")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else clips.ZOO[name].build(path)

    return make
