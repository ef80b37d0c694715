"""Define live sinks, where dreamed frames go, and the registry of their kinds.

Every sink reads the newest frame for itself, in a thread of its own, so a slow or dead one never slows the others.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

from dreamvid.errors import DreamvidError, OutputError, nearest
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.render.live.state import SinkState
from dreamvid.runtime.plugins import Registry

ServePage = Callable[[LatestFrame], AbstractContextManager[object]]
"""Serves the page while the context is open: the HTTP server, which `render` does not know. Raises OutputError."""

_WAIT_SECONDS = 0.2
_PATIENCE_SECONDS = 2.0  # for a sink to finish what it has begun
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_PROVEN_SECONDS = 2.0  # without a failure: it works


@dataclass(frozen=True)
class LiveSinkOptions:
    """What sinks are told. fps: the rate of those that have a constant one. serve_page: None where there is no page.

    on_key: is called with the code of every key that is pressed in a window, and returns what is left to the window:
    "full screen", "quit" or nothing. say: takes messages for the user.
    """

    fps: float = 30.0
    serve_page: ServePage | None = None
    on_key: Callable[[int], str] = lambda key: ""
    say: Callable[[str], None] = lambda text: None


class LiveSink(Protocol):
    """Where frames go. finished: whether it has ended for good, such as a window that was closed."""

    finished: bool

    def start(self, frames: LatestFrame) -> None:
        """Begin; the frames come later. Raises OutputError for what cannot work."""

    def state(self) -> SinkState:
        """Describe it; from any thread."""

    def close(self) -> None:
        """Finish what it has begun, within seconds, and end. Safe to call again."""


class LiveSinkKind(Protocol):
    """One kind of sink: the `PLUGIN` of its module. form: how a user writes it, such as `window:MONITOR`."""

    form: str

    def claims(self, text: str) -> bool:
        """Tell whether a text names a sink of this kind."""
        ...

    def open(self, text: str, options: LiveSinkOptions) -> LiveSink:
        """Make it; nothing is opened. Raises OutputError for what cannot work."""
        ...


LIVE_SINKS: Registry[LiveSinkKind] = Registry("live sink", "dreamvid.render.live.sinks", "dreamvid.live_sinks")


def open_live_sink(text: str, options: LiveSinkOptions) -> LiveSink:
    """Understand what the user named as a sink. Raises OutputError."""
    kinds = [LIVE_SINKS.load(name) for name in LIVE_SINKS.names()]
    for kind in kinds:
        if kind.claims(text):
            return kind.open(text, options)
    forms = [kind.form for kind in kinds]
    raise OutputError(
        f"There is no sink {text!r}.{nearest(text, forms)} Allowed for `to`: {', '.join(forms)}, or a video file to "
        "record to, such as live.mp4."
    )


class FrameSink(ABC):
    """A sink that is written to frame by frame in a thread, and opened again after a failure.

    reopens: whether it is tried again after a failure; otherwise it has finished.
    """

    reopens = True

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name, self._say = name, say
        self.finished = False
        self._sent = self._lost = 0
        self._error = ""
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @abstractmethod
    def open(self, frame: LiveFrame) -> None:
        """Open it for frames like this one. Raises DreamvidError or OSError."""

    @abstractmethod
    def write(self, frame: LiveFrame) -> None:
        """Write a frame. Raises DreamvidError or OSError."""

    @abstractmethod
    def shut(self) -> None:
        """Close it properly. Raises DreamvidError or OSError."""

    @abstractmethod
    def abort(self) -> None:
        """Wake a thread that waits in `write` or `shut`; from another thread."""

    def start(self, frames: LatestFrame) -> None:
        """Begin."""
        self._reader = frames.subscribe()
        self._thread = threading.Thread(target=self._work, name=f"sink {self.name}", daemon=True)
        self._thread.start()

    def state(self) -> SinkState:
        """Describe it."""
        dropped = self._reader.dropped if self._thread is not None else 0
        return SinkState(self.name, self._sent, dropped + self._lost, self._error)

    def close(self) -> None:
        """Finish and end; what takes too long is aborted."""
        self._closing.set()
        if self._thread is None:
            return
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._thread.is_alive():
            self._thread.join(timeout=0.05)
            if time.monotonic() > deadline:
                self.abort()
                if time.monotonic() > deadline + _PATIENCE_SECONDS:
                    return

    def next_frame(self) -> LiveFrame | None:
        """Wait for the frame to write next, for a fraction of a second; None without one."""
        return self._reader.get(_WAIT_SECONDS)

    def _work(self) -> None:
        pause, is_open, opened_seconds = _FIRST_PAUSE, False, 0.0
        while not self._closing.is_set() and not self.finished:
            frame = self.next_frame()
            if frame is None:
                if self._reader.closed:
                    break
                continue
            try:
                if not is_open:
                    self.open(frame)
                    is_open, opened_seconds = True, time.monotonic()
                self.write(frame)
                self._sent += 1
                # The first frames go into a pipe, whether somebody is at its end or not.
                if time.monotonic() - opened_seconds > _PROVEN_SECONDS:
                    pause = _FIRST_PAUSE
                    if self._error:
                        self._error = ""
                        self._say(f"{self.name} works again")
            except Exception as error:  # whatever a sink does wrong is its own affair: the others go on
                self._lost += 1
                is_open = False
                self._fail(str(error) or type(error).__name__)
                if not self.reopens:
                    self.finished = True
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        if is_open:
            try:
                self.shut()
            except (DreamvidError, OSError) as error:
                self._error = str(error)

    def _fail(self, reason: str) -> None:
        with suppress(Exception):  # it is known to have failed
            self.abort()
            self.shut()
        if not self._error:
            self._say(f"{self.name} failed: {reason.rstrip('.')}" + ("; it is tried again" if self.reopens else ""))
        self._error = reason


class PacedSink(FrameSink):
    """A sink of a constant rate: it shows the newest frame at each beat of its clock, an old one again if need be.

    fps: its rate. After a pause the clock is set anew.
    """

    def __init__(self, name: str, options: LiveSinkOptions) -> None:
        super().__init__(name, options.say)
        self.fps = options.fps
        self._due = 0.0
        self._shown: LiveFrame | None = None

    def next_frame(self) -> LiveFrame | None:
        """Wait for the beat; return the newest frame."""
        if self._shown is None:
            self._shown = super().next_frame()
            self._due = time.monotonic()
            return self._shown
        self._due += 1 / self.fps
        now = time.monotonic()
        if self._due > now:
            self._closing.wait(self._due - now)
        elif now - self._due > _WAIT_SECONDS:
            self._due = now
        if self._reader.closed:
            return None
        self._shown = self._reader.get(0.0) or self._shown
        return self._shown
