"""Start the dreaming process, hand requests to it, and keep its newest answers for the pages that ask."""

import asyncio
import contextlib
import itertools
import pickle
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamvid.ui.studio.dreaming.requests import Answer, PreviewRequest, Request
from dreamvid.ui.studio.runner import child_environment

_SESSIONS_KEPT = 16
_PICTURES_KEPT = 40


@dataclass
class Listener:
    """What a page was sent. pictures: the newest JPEGs by their key. events: those that its stream has not taken.

    stream: the number of its newest stream; an older one, of a connection that was lost, takes nothing any more.
    failed: the number of the last preview that could not be dreamed, and why.
    """

    pictures: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    events: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=200))
    latest: dict[str, int] = field(default_factory=dict)
    stream: int = 0
    failed: tuple[int, str] = (0, "")


class DreamingProcess:
    """The process that dreams previews for all pages of a studio; started by `start`, ended by `close`.

    If it dies, the pages are told, and the next request starts another one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._changed = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._listeners: OrderedDict[str, Listener] = OrderedDict()
        self._pending: dict[tuple[str, str], int] = {}
        self._closed = False

    def start(self) -> None:
        """Start the process, which then loads PyTorch; returns at once."""
        with self._changed:
            if self._closed or (self._process is not None and self._process.poll() is None):
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dreamvid.ui.studio.dreaming.worker", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C is for the studio, which then closes it
            )
            threading.Thread(target=self._read, args=(self._process,), name="answers", daemon=True).start()

    def close(self) -> None:
        """End the process."""
        self._closed = True
        if self._process is not None:
            self._process.kill()  # it keeps nothing
            self._process.wait()

    @property
    def pid(self) -> int | None:
        """The process's number, None if none was started."""
        return None if self._process is None else self._process.pid

    def ask(self, request: Request) -> int:
        """Hand over a request, which replaces an older one of its kind and session; return its number."""
        request = replace(request, number=self.number())
        self.start()
        listener = self.listener(request.session)
        kind = "preview" if isinstance(request, PreviewRequest) else type(request).__name__
        listener.latest[kind] = request.number
        with self._changed:
            self._pending[request.session, kind] = request.number
            with contextlib.suppress(OSError):  # it has just died, and its reader tells so
                if self._process is not None and self._process.stdin is not None:
                    pickle.dump(request, self._process.stdin)
                    self._process.stdin.flush()
        return request.number

    def number(self) -> int:
        """Return a number that is larger than those of all requests before."""
        return next(self._numbers)

    def tell(self, session: str, text: str, *, name: str = "note", stage: str = "done") -> None:
        """Let a page show a note, or with stage "error" that something failed.

        Gradio's own notes reach the page only from events that wait in its queue.
        """
        self.listener(session).events.append({"name": name, "stage": stage, "message": text})

    def failure(self, session: str, number: int) -> str:
        """Return why a preview could not be dreamed, such as a layer that the network does not have; else nothing."""
        failed, reason = self.listener(session).failed
        return reason if failed == number else ""

    def listener(self, session: str) -> Listener:
        """Return what is kept for a page; pages that were not heard of for longest are forgotten."""
        found = self._listeners.pop(session, None) or Listener()
        self._listeners[session] = found
        while len(self._listeners) > _SESSIONS_KEPT:
            self._listeners.popitem(last=False)
        return found

    async def events(self, session: str) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens for a page, as it happens."""
        listener = self.listener(session)
        listener.stream += 1
        mine = listener.stream
        listener.events.append({"name": "hello"})
        while not self._closed and listener.stream == mine:
            while listener.events:
                yield listener.events.popleft()
            await asyncio.sleep(0.02)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        try:
            while True:
                self._take(pickle.load(process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            pass
        if self._closed:
            return
        for (session, kind), number in list(self._pending.items()):
            name = kind.removesuffix("Request").lower()
            self._take(
                Answer(session, number, name, "error", "the dreaming process ended; perhaps the memory ran out.")
            )
        self._pending.clear()

    def _take(self, answer: Answer) -> None:
        listener = self._listeners.get(answer.session)
        if listener is None:
            return
        if answer.name == "preview" and answer.number < listener.latest.get("preview", 0) and answer.stage == "error":
            return
        if answer.name == "preview" and answer.stage == "error":
            listener.failed = answer.number, answer.message
        event = {"name": answer.name, "number": answer.number, "stage": answer.stage, **answer.values}
        if answer.message:
            event["message"] = answer.message
        if answer.data:
            key = f"{answer.name}-{answer.number}-{answer.stage}-{len(listener.pictures)}-{next(self._numbers)}"
            listener.pictures[key] = answer.data
            while len(listener.pictures) > _PICTURES_KEPT:
                listener.pictures.popitem(last=False)
            event["picture"] = key
        if answer.stage in ("fine", "done", "error"):
            self._pending.pop((answer.session, answer.name), None)
        listener.events.append(event)
