"""Fixtures of the tests of renders."""

from collections.abc import Iterator

import pytest

from dreamvid.networks.network import share_networks


@pytest.fixture(scope="module", autouse=True)
def _networks_are_loaded_once() -> Iterator[None]:
    """As in a batch: loading the network takes longer than most of these renders."""
    with share_networks():
        yield
