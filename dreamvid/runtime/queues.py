"""Connect two threads by a bounded queue that also carries failures forward and a close backward."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

# On Windows a wait for a lock is not interrupted by Ctrl-C, so no wait is longer than this.
_WAIT_SECONDS = 0.2


class Closed(Exception):
    """The receiver has closed the queue."""


class BoundedQueue(Generic[T]):
    """Holds at most `size` items between a sending and a receiving thread.

    The sender ends with `finish`, with an exception if it failed: the receiver gets the items before it, then the
    exception is raised there. The receiver may `close` at any time: the sender's next `put` raises `Closed`.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = self._closed = False
        self._failure: BaseException | None = None

    def put(self, item: T) -> None:
        """Send an item, waiting for room. Raises Closed."""
        with self._changed:
            while len(self._items) >= self._size and not self._closed:
                self._changed.wait(_WAIT_SECONDS)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def fill(self, items: Iterable[T]) -> None:
        """Send all items and finish; stop early if the receiver has closed. Raises nothing."""
        try:
            for item in items:
                self.put(item)
            self.finish()
        except Closed:
            pass
        except BaseException as error:  # whatever it is, the receiver has to see it
            self.finish(error)

    def finish(self, failure: BaseException | None = None) -> None:
        """Announce that nothing more comes, and the failure if there was one."""
        with self._changed:
            self._finished, self._failure = True, failure
            self._changed.notify_all()

    def close(self) -> None:
        """Accept nothing more and drop the items that wait."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._finished and not self._closed:
                    self._changed.wait(_WAIT_SECONDS)
                if not self._items:
                    if self._failure is not None:
                        raise self._failure
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class Worker:
    """Runs `work` in a thread within the context; leaving the context waits for its end.

    What `work` raises is not raised on leaving: `work` has to pass its failures on.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(target=work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._thread.is_alive():
            self._thread.join(_WAIT_SECONDS)
