"""Puts the plugins' folder on the path, as installing it would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamvid.runtime import plugins


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the plugins for a test, and only for it."""
    plugins._entry_points.cache_clear()
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield
    plugins._entry_points.cache_clear()
