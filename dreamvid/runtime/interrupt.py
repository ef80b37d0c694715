"""Ctrl-C: the first one asks, the second one stops."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequest:
    """Catches SIGINT while its context lasts, in the main thread only; afterwards all is as before.

    While `gently` is set the first one only sets `asked`. Every other one raises KeyboardInterrupt, once:
    what cleans up after it is not stopped again.
    """

    def __init__(self) -> None:
        self.asked = self.gently = False
        self._stopped = False
        self._before: Any = None

    def __enter__(self) -> Self:
        # A program that was started to ignore Ctrl-C (nohup) goes on ignoring it.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) not in (
            None,
            signal.SIG_IGN,
        ):
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.gently and not self.asked:
            self.asked = True
        elif not self._stopped:
            self._stopped = True
            raise KeyboardInterrupt
