"""A real Ray cluster of two nodes with one core each, and a pool of workers on it."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from dreamvid.render.ray.options import RayOptions
from dreamvid.render.ray.pool import WorkerPool


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - 15 by default: on a busy machine they would not come to anything
    from ray.cluster_utils import Cluster

    handler = signal.getsignal(signal.SIGTERM)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    signal.signal(signal.SIGTERM, handler)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def _sigterm_is_given_back() -> Iterator[None]:
    """A node that is started in this process takes SIGTERM for itself, which later tests in it send to a render."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def pool(cluster: Any) -> Iterator[WorkerPool]:
    with WorkerPool(RayOptions(address=cluster.address)) as opened:
        yield opened
