"""Stop on request: Ctrl-C, SIGTERM, or an event that a host sets. The first signal asks, the second one stops."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from dreamvid.errors import FfmpegError, SourceError

# What Python does with each signal unless the host has installed a handler of its own.
_DEFAULTS = {signal.SIGINT: (signal.default_int_handler, signal.SIG_DFL), signal.SIGTERM: (signal.SIG_DFL,)}


class StopRequest:
    """A request to stop, made by a signal or by the host's event. A context manager.

    Within the context SIGINT (Ctrl-C) and SIGTERM (docker stop, Slurm, a spot machine) are caught, in the main thread
    only. A signal that is ignored (nohup) or that the host handles itself is left alone; such a host sets the event.

    While `gently` is set, the first signal only sets `asked`. Every other signal raises KeyboardInterrupt, but only
    once, so that the clean-up after it is not stopped as well.

    event: the host's. It is also set when a signal has come, at the latest on leaving the context.
    """

    def __init__(self, event: threading.Event | None = None) -> None:
        self.gently = False
        self.signal: int | None = None
        self._event = threading.Event() if event is None else event
        self._raised = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def asked(self) -> bool:
        """Tell if a stop was asked for."""
        if self.signal is not None:
            self._event.set()  # not in the handler: it may have interrupted a `set` of the same event, which has a lock
        return self._event.is_set()

    @property
    def exit_code(self) -> int:
        """What a program that was stopped returns, as shells count: 128 plus the signal; 130 without a signal."""
        return 128 + (signal.SIGINT if self.signal is None else self.signal)

    def may_have_caused(self, error: BaseException) -> bool:
        """Tell if an error may come from a stopped ffmpeg: Slurm and systemd stop all processes of a job."""
        return self.signal is not None and isinstance(error, FfmpegError | SourceError)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, defaults in _DEFAULTS.items():
                if signal.getsignal(number) in defaults:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.signal is not None:
            self._event.set()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None and not self._event.is_set()
        self.signal = number
        if self.gently and first:
            return
        if not self._raised:
            self._raised = True
            raise KeyboardInterrupt
