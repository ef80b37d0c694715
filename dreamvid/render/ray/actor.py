"""Make a `FilmWorker` a Ray actor: this module is what Ray imports on every node."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dreamvid.runtime.process import tune_process

if TYPE_CHECKING:
    from dreamvid.render.farm.chunk import Chunk
    from dreamvid.render.farm.worker import Event, Opened, Work
    from dreamvid.render.plan import Plan


class WorkerActor:
    """A worker in a process of its own, which keeps its network from chunk to chunk and from film to film."""

    def __init__(self) -> None:
        tune_process()  # before torch is imported
        from dreamvid.render.farm.worker import FilmWorker

        self._worker = FilmWorker()

    def ping(self) -> tuple[str, int]:
        """Say that the worker is up: its name, and its process."""
        import os

        import ray

        from dreamvid.render.farm.worker import worker_name

        return worker_name(ray.util.get_node_ip_address()), os.getpid()

    def open(self, work: "Work") -> "Opened":
        """Take in what is to be rendered."""
        return self._worker.open(work)

    def receive(self, number: int, offset: int, block: bytes) -> None:
        """Take in a part of a file of the source."""
        self._worker.receive(number, offset, block)

    def render(self, token: str, plan: "Plan", chunk: "Chunk", state: bytes | None) -> "Iterator[Event]":
        """Render a chunk; stream what happens."""
        yield from self._worker.render(token, plan, chunk, state)

    def stop(self) -> None:
        """End the chunk in work after its frame."""
        self._worker.stop()

    def close(self) -> None:
        """Remove what the worker keeps on its disk."""
        self._worker.close()
