"""Plan a render in a thread of its own, so that the network can be loaded and the first frame dreamed meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from dreamvid.errors import DreamvidError
from dreamvid.render.plan import Plan
from dreamvid.render.progress import Progress
from dreamvid.runtime.queues import Closed, Worker
from dreamvid.video.decode import FrameReader

_REPORT_SECONDS = 0.1


class _Make(Protocol):
    """Plans a render, as `make_plan` does."""

    def __call__(
        self, *, on_frame: Callable[[int], None], on_reader: Callable[[FrameReader], None], first_alone: bool
    ) -> Plan: ...


class Planning:
    """Plans a render in a thread within the context; leaving the context stops it.

    make: plans the whole render, or its first frame alone. first_alone: whether to do that too, before the rest.
    """

    def __init__(self, make: _Make, *, first_alone: bool) -> None:
        self._make, self._first_alone = make, first_alone
        self._worker = Worker("plan", self._work)
        self._first_done, self._done, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._may_work = threading.Event()
        self._may_work.set()
        self._first: Plan | None = None
        self._plan: Plan | None = None
        self._failure: BaseException | None = None
        self._seen = 0
        self._reader: FrameReader | None = None

    def __enter__(self) -> Self:
        self._worker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._may_work.set()
        if self._reader is not None:
            self._reader.close()
        self._worker.__exit__(kind, error, trace)

    def first(self) -> Plan | None:
        """Wait for the plan of the first frame alone; None if there is none."""
        while not self._first_done.wait(_REPORT_SECONDS):
            pass
        return self._first

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Let the thread rest within the context: it and a dream would wait for each other (for Python's lock)."""
        self._may_work.clear()
        try:
            yield
        finally:
            self._may_work.set()

    def result(self, report: Callable[[Progress], None]) -> Plan:
        """Wait for the plan; report how many frames were looked at. Raises what planning raises."""
        while not self._done.wait(_REPORT_SECONDS):
            report(Progress("scan", self._seen, None))
        if self._failure is not None:
            raise self._failure
        assert self._plan is not None
        report(Progress("scan", self._seen, None))
        return self._plan

    def _work(self) -> None:
        try:
            try:
                if self._first_alone:
                    self._first = self._make(on_frame=self._note, on_reader=self._follow, first_alone=True)
            except DreamvidError:
                pass  # planning the whole will say why
            finally:
                self._first_done.set()
            self._plan = self._make(on_frame=self._note, on_reader=self._follow, first_alone=False)
        except BaseException as error:  # whatever it is, the thread that waits has to see it
            self._failure = error
        finally:
            self._done.set()

    def _note(self, count: int) -> None:
        self._seen = count
        self._may_work.wait()
        if self._closed.is_set():
            raise Closed

    def _follow(self, reader: FrameReader) -> None:
        self._reader = reader
        if self._closed.is_set():
            raise Closed
