"""What tests of live sessions share: quick settings, a session in a thread, waits, and senders."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dreamvid.render.live.capture.source import open_live_source
from dreamvid.render.live.controls import Controls
from dreamvid.render.live.session import LiveOptions, LiveSession
from dreamvid.render.live.sink import LiveSink
from dreamvid.render.live.slot import LatestFrame
from dreamvid.render.live.state import LiveState, SinkState
from dreamvid.settings import load_settings
from dreamvid.video.ffmpeg import Ffmpeg

QUICK = {
    "objective": "blocks.1.0",
    "dream_height": 48,
    "octaves": 2,
    "iterations": 2,
    "warm_iterations": 1,
    "disocclusion_iterations": 0,
    "device": "cpu",
}
WAIT_SECONDS = 30.0


class Watcher:
    """A sink that only keeps the frames that it saw."""

    def __init__(self) -> None:
        self.finished = False
        self.frames: list[np.ndarray] = []
        self._slot: LatestFrame | None = None
        self._closing = threading.Event()

    def start(self, frames: LatestFrame) -> None:
        reader = frames.subscribe()

        def work() -> None:
            while not self._closing.is_set():
                frame = reader.get(0.1)
                if frame is not None:
                    self.frames.append(frame.pixels)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def state(self) -> SinkState:
        return SinkState("watcher", len(self.frames))

    def close(self) -> None:
        self._closing.set()
        self._thread.join()


@dataclass
class Running:
    """A session that runs in a thread. said: its messages. error: what `run` raised."""

    session: LiveSession
    said: list[str] = field(default_factory=list)
    error: BaseException | None = None
    thread: threading.Thread | None = None

    @property
    def controls(self) -> Controls:
        return self.session.controls

    def state(self) -> LiveState:
        state = self.controls.state()
        return state if isinstance(state, LiveState) else LiveState()

    def wait(self, condition: Callable[[LiveState], object], seconds: float = WAIT_SECONDS) -> LiveState:
        return wait_for(lambda: (state := self.state()) and condition(state) and state, seconds, self)


def wait_for(condition: Callable[[], object], seconds: float = WAIT_SECONDS, running: "Running | None" = None):  # type: ignore[no-untyped-def]
    """Wait until a condition holds and return what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        if running is not None and running.error is not None:
            raise running.error
        time.sleep(0.01)
    raise AssertionError(
        f"waited {seconds} s in vain; last state: {running and running.state()}; {running and running.said}"
    )


@contextmanager
def live(
    source: str, sinks: Sequence[LiveSink] = (), settings: dict[str, object] | None = None, **options: object
) -> Iterator[Running]:
    """Run a session in a thread; stop it, and see it end, on leaving the context."""
    opened = open_live_source(source)
    kind = "zoom" if source == "noise" else "run"
    chosen = load_settings("infinite-zoom" if kind == "zoom" else None, **{**QUICK, **(settings or {})})
    said: list[str] = []
    session = LiveSession(
        opened,
        list(sinks) or [Watcher()],
        Controls(chosen, kind),
        chosen,
        LiveOptions(say=said.append, **options),  # type: ignore[arg-type]
    )
    running = Running(session, said)

    def run() -> None:
        try:
            session.run()
        except BaseException as error:
            running.error = error

    running.thread = threading.Thread(target=run, daemon=True)
    running.thread.start()
    try:
        yield running
    finally:
        session.stop.set()
        running.thread.join(WAIT_SECONDS)
        assert not running.thread.is_alive(), "the session does not end"


@contextmanager
def sender(address: str, graph: str = "testsrc2=s=96x64:r=15", more: Sequence[str] = ()) -> Iterator[Ffmpeg]:
    """Send a filter graph to an address in real time."""
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "8", "-pix_fmt", "yuv420p"]
    send = ["-re", "-f", "lavfi", "-i", graph, *codec, *more, "-f", "mpegts", "-flush_packets", "1", address]
    with Ffmpeg(send) as process:
        yield process


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def children(folder: Path = Path("/proc/self/task")) -> set[int]:
    """The processes that this one has started and that still run."""
    found: set[int] = set()
    for task in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the thread has just ended
            found |= {int(number) for number in (task / "children").read_text().split()}
    return found
