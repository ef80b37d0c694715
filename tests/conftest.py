"""Fixtures that several folders share."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several test processes share the cores: one thread each, before torch and OpenMP start theirs.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import clips
import pytest
import torch

from dreamvid import tune_process

tune_process()  # as the command line does

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _missing(item: pytest.Item) -> list[str]:
    """Name what a test needs and this machine does not have: packages of extras, a browser."""
    modules = [name for marker in item.iter_markers("extra") for name in marker.args]
    browser = item.get_closest_marker("browser") is not None
    missing = [name for name in [*modules, *(["playwright"] if browser else [])] if not importlib.util.find_spec(name)]
    if browser and not any(map(shutil.which, BROWSERS)):
        missing.append("Chromium")
    return missing


def pytest_runtest_setup(item: pytest.Item) -> None:
    if missing := _missing(item):
        message = f"needs {', '.join(missing)}"
        if os.environ.get("DREAMVID_ALL_EXTRAS"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture(autouse=True)
def _only_gpu_tests_see_a_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests that are not marked `gpu` dream on the CPU, also in processes that they start."""
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser that tests marked `browser` start."""
    return next(path for name in BROWSERS if (path := shutil.which(name)))


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
