"""Keep workers on the nodes of a Ray cluster: as many as fit, new ones for those that are lost, warm between films.

Each worker is bound to a node, so that it is known which node is lost, and a node that renders other frames is left
out. Several threads may render with one pool; a worker belongs to one of them at a time.
"""

import logging
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from dreamvid.errors import DeviceError, SettingsError
from dreamvid.render.ray.actor import WorkerActor
from dreamvid.render.ray.options import LOCAL, RayOptions

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0  # how often the nodes of the cluster are looked at
_LOCAL_STORE_BYTES = 200 * 2**20
_CLOSE_SECONDS = 5
_WARM = 16
_FAILED_STARTS = 5  # of a node, after which it is left out; there is a pause after each, of 1, 2, 4, 8, 16 seconds


def import_ray(address: str = "") -> Any:
    """Import Ray. Raises SettingsError if it is not installed.

    address: of the cluster. A local one listens on 127.0.0.1 only, and gets a token, without which any program of this
    machine could run code in it. Ray reads both when it is imported. Where the host has imported Ray before, it listens
    as Ray does by default, and its token is in ~/.ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL and "ray" not in sys.modules:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # its name; on every system it means loopback
        if "RAY_AUTH_MODE" not in os.environ:
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        import ray
    except ImportError as error:
        raise SettingsError("`ray` needs Ray, which is not installed: pip install 'dreamvid[ray]'") from error
    return ray


@dataclass(eq=False)
class PooledWorker:
    """A worker of the pool. node: the id of its node. name: for the user; "" until it is up.

    shared: it sees the job's folder of the render that it belongs to.
    """

    actor: Any
    node: str
    starting: Any
    name: str = ""
    shared: bool = False


class WorkerPool:
    """The workers of a cluster; a context manager. Raises SettingsError without Ray, DeviceError without a cluster."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options
        self._lock = threading.Lock()
        self._free: list[PooledWorker] = []
        self._all: list[PooledWorker] = []
        self._refused: dict[str, str] = {}
        self._slots: dict[str, int] = {}
        self._failed_starts: Counter[str] = Counter()
        self._pauses: dict[str, float] = {}  # when the next worker of a node may start
        self._fewer: Counter[str] = Counter()  # than there is room for, as they had too little memory
        self._news: list[str] = []
        self._looked = 0.0
        self._own = False
        self._printing: Any = None

    def __enter__(self) -> Self:
        self.ray = ray = import_ray(self.options.address)
        if not ray.is_initialized():
            self._connect(ray)
            self._own = True
            self._listen(ray)
        self._class = ray.remote(WorkerActor)
        return self

    def _connect(self, ray: Any) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if self.options.address == LOCAL:
                ray.init(
                    address="local",
                    _node_ip_address="127.0.0.1",
                    object_store_memory=_LOCAL_STORE_BYTES,
                    **quiet,
                )
            else:
                ray.init(address=self.options.address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            first_line = str(error).strip().partition("\n")[0]
            where = "cannot be started" if self.options.address == LOCAL else f"at {self.options.address} is not there"
            raise DeviceError(
                f"the Ray cluster {where} ({first_line[:300]}). Start one on its first machine: ray start --head"
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's own would end the program at once

    def _listen(self, ray: Any) -> None:
        """Log what nodes report of lost workers. Ray prints it to stdout, where the results are listed."""
        module = ray._private.worker  # there is no public way
        self._printing = getattr(module, "print_to_stdstream", None)
        if self._printing is not None:
            module.print_to_stdstream = lambda data, **_: _log.info("Ray: %s", " ".join(map(str, data["lines"])))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):  # the cluster may be gone
            closing = [worker.actor.close.remote() for worker in self._free]
            self.ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS) if closing else None
        for worker in list(self._all):
            self.drop(worker)
        if self._own:
            self.ray.shutdown()
            if self._printing is not None:
                self.ray._private.worker.print_to_stdstream = self._printing

    def warm_up(self) -> None:
        """Start workers before it is known how many are wanted: they take seconds to load their network."""
        with self._lock:
            self._start(_WARM)

    def room(self) -> int:
        """Count how many workers the cluster has room for, at least 1."""
        with self._lock:
            return max(1, sum(self._look().values()))

    def take(self, wanted: int) -> list[PooledWorker]:
        """Take workers that are up and free, at most so many; others are started meanwhile. It does not wait."""
        with self._lock:
            self._start(wanted)
            self._check_starting()
            ready = [worker for worker in self._free if worker.name][: max(0, wanted)]
            for worker in ready:
                self._free.remove(worker)
        return ready

    def give(self, worker: PooledWorker) -> None:
        """Give a worker back that has rendered."""
        with self._lock:
            self._failed_starts.pop(worker.node, None)
            self._free.append(worker)

    def drop(self, worker: PooledWorker, refuse: str = "") -> None:
        """Let a worker go that is lost or not to be used. refuse: why no worker of its node is to be used, or ""."""
        if refuse:
            with suppress(Exception):  # nobody else will remove what it keeps on its disk
                self.ray.wait([worker.actor.close.remote()], timeout=_CLOSE_SECONDS)
        with self._lock:
            for workers in (self._all, self._free):
                if worker in workers:
                    workers.remove(worker)
            if refuse:
                self._refused[worker.node] = refuse
        with suppress(Exception):
            self.ray.kill(worker.actor, no_restart=True)

    def starting(self) -> bool:
        """Tell if workers are about to be there."""
        with self._lock:
            return any(not worker.name for worker in self._free)

    def news(self) -> list[str]:
        """Take what the user should know of workers that did not start."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def relieve(self, worker: PooledWorker) -> bool:
        """Have one worker less on the node of one that had too little memory; False if it is the only one."""
        with self._lock:
            return self._relieve(worker.node)

    def _relieve(self, node: str) -> bool:
        if self._room_on(node) < 2:
            return False
        self._fewer[node] += 1
        return True

    def _room_on(self, node: str) -> int:
        return max(1, self._slots.get(node, 0) - self._fewer[node])

    def failed_start(self, worker: PooledWorker, error: Exception) -> None:
        """Let a worker go that ended before it could render; after several its node is left out."""
        self.drop(worker)
        with self._lock:
            self._count_failed_start(worker.node, error)

    def _count_failed_start(self, node: str, error: Exception) -> None:
        _log.info("a worker did not start: %s", error)
        if self.lacked_memory(error) and self._relieve(node):
            self._news.append(f"a machine goes on with one worker less, which did not start: {reason(error)}.")
            return
        self._failed_starts[node] += 1
        self._pauses[node] = time.monotonic() + 2 ** (self._failed_starts[node] - 1)
        if self._failed_starts[node] > _FAILED_STARTS:
            self._refused[node] = f"workers do not start on a node: {reason(error)}"

    def lacked_memory(self, error: BaseException) -> bool:
        """Tell if a worker was ended, or failed, for lack of memory on its node."""
        return isinstance(error, self.ray.exceptions.OutOfMemoryError | MemoryError)

    def hopeless(self) -> str:
        """Say why there will be no worker; "" while there is one, or a node that may still get one."""
        with self._lock:
            if self._all or any(node not in self._refused for node in self._slots):
                return ""
            if self._refused:
                return "; ".join(dict.fromkeys(self._refused.values()))
            needs = f"{self.options.cpus_per_worker:g} CPU cores" + (
                f" and {self.options.gpus_per_worker:g} GPUs" if self._uses_gpus() else ""
            )
            return f"no node of the cluster has {needs} for a worker"

    def _start(self, wanted: int) -> None:
        """Start workers until so many are free, as far as there is room; evenly over the nodes."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._slots = self._look()
            for worker in [w for w in self._free if w.node not in self._slots]:
                self._free.remove(worker)  # its node is lost
                self._all.remove(worker)
        while len(self._free) < wanted:
            used, now = Counter(worker.node for worker in self._all), time.monotonic()
            room = [
                node
                for node in self._slots
                if used[node] < self._room_on(node) and node not in self._refused and now >= self._pauses.get(node, 0)
            ]
            if not room:
                return
            node = min(room, key=lambda name: used[name])
            worker = self._launch(node)
            self._all.append(worker)
            self._free.append(worker)

    def _launch(self, node: str) -> PooledWorker:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        _log.info("a worker is started on node %s", node)
        actor = self._class.options(
            num_cpus=self.options.cpus_per_worker,
            num_gpus=self.options.gpus_per_worker if self._uses_gpus() else 0,
            max_restarts=0,
            max_concurrency=3,  # `stop` and `ping` while a chunk is rendered
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
        ).remote()
        return PooledWorker(actor, node, actor.ping.remote())

    def _check_starting(self) -> None:
        for worker in [worker for worker in self._free if not worker.name]:
            ready, _ = self.ray.wait([worker.starting], timeout=0)
            if not ready:
                continue
            try:
                worker.name, _process = self.ray.get(worker.starting)
            except Exception as error:  # it died while it started: Ray has many errors for that
                self._free.remove(worker)
                self._all.remove(worker)
                self._count_failed_start(worker.node, error)

    def _uses_gpus(self) -> bool:
        return any(node["Alive"] and node["Resources"].get("GPU", 0) > 0 for node in self.ray.nodes())

    def _look(self) -> dict[str, int]:
        """Count how many workers each node has room for."""
        gpus, slots = self._uses_gpus(), {}
        for node in self.ray.nodes():
            resources = node["Resources"]
            count = int(resources.get("CPU", 0) / self.options.cpus_per_worker + 1e-9)
            if gpus:
                count = min(count, int(resources.get("GPU", 0) / self.options.gpus_per_worker + 1e-9))
            if node["Alive"] and count:
                slots[node["NodeID"]] = count
        return slots


def reason(error: BaseException) -> str:
    """Say in a few words what Ray says of a lost worker."""
    text = str(error).strip()
    if found := re.search(r"running low on memory.*? was (\S+ used / \S+) limit", text, re.DOTALL):
        return f"Ray ended it, as its machine was low on memory: {found[1]}; close other programs there"
    if "worker process has died" in text:
        return (
            "its process ended; if dmesg on its machine says that it was for lack of memory, give a larger "
            "`cpus_per_worker` or `gpus_per_worker`"
        )
    first_line = text.partition("\n")[0].strip()
    return f"{type(error).__name__}: {first_line[:200]}" if first_line else type(error).__name__


def open_pool(given: "str | bool | RayOptions | WorkerPool") -> "AbstractContextManager[WorkerPool]":
    """Open a pool for one render; one that the host has opened is used as it is."""
    return nullcontext(given) if isinstance(given, WorkerPool) else WorkerPool(RayOptions.from_choice(given))
