"""Send finished frames out evenly: interpolated frames are finished together with the frame after them."""

import threading
import time
from collections import deque

from dreamvid.render.live.slot import LatestFrame, LiveFrame

_LONGEST_SECONDS = 0.25


class Outlet:
    """Puts frames into a slot: a single one at once, those that are finished together one after another.

    A context manager. `send` belongs to one thread.
    """

    def __init__(self, slot: LatestFrame) -> None:
        self._slot = slot
        self._waiting: deque[tuple[float, LiveFrame]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._last_seconds = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Outlet":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def send(self, frame: LiveFrame, place: int, count: int) -> None:
        """Send a frame, the `place`-th of `count` that were finished together."""
        if count == 1:
            with self._changed:
                self._waiting.clear()
            self._slot.put(frame)
            return
        now = time.monotonic()
        if place == 0:
            self._step = min((now - self._last_seconds) / count, _LONGEST_SECONDS)
            self._last_seconds = now
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="outlet", daemon=True)
            self._thread.start()
        with self._changed:
            if place == 0:
                while self._waiting:  # late ones of the last time
                    self._slot.put(self._waiting.popleft()[1])
            self._waiting.append((now + place * self._step, frame))
            self._changed.notify_all()

    _step = 0.0

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                if not self._waiting:
                    self._changed.wait(0.2)
                    continue
                due, frame = self._waiting[0]
                left = due - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                self._waiting.popleft()
                self._slot.put(frame)
