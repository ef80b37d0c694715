"""Dream in a process of its own: the page stays responsive, and a dream that runs out of memory does not end it.

One thread reads requests, another one dreams. A request replaces an older one of its kind and session. Previews come
first: what else is being dreamed makes room before its next step, and is begun again later.
"""

import contextlib
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from dreamvid.errors import DreamvidError
from dreamvid.runtime.process import tune_process
from dreamvid.ui.studio.dreaming.machine import PreviewMachine, Verdict
from dreamvid.ui.studio.dreaming.requests import (
    Answer,
    AtlasRequest,
    LayersRequest,
    MotionRequest,
    PresetsRequest,
    PreviewRequest,
    Request,
)

# What is asked for first; of one kind, the newest.
_RANK: dict[type[Request], int] = {
    PreviewRequest: 0,
    LayersRequest: 1,
    MotionRequest: 2,
    AtlasRequest: 2,
    PresetsRequest: 3,
}
_NAMES: dict[type[Request], str] = {
    PreviewRequest: "preview",
    LayersRequest: "layers",
    MotionRequest: "motion",
    PresetsRequest: "presets",
    AtlasRequest: "atlas",
}


class Stop(Exception):
    """End a dream because something more important waits."""


class Desk:
    """Requests that wait: at most one of a kind for each session. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[tuple[type[Request], str], Request] = {}
        self._closed = False

    def put(self, request: Request) -> None:
        """Replace what waits of this kind and session; a preview of other values, the motion of the old ones too."""
        with self._changed:
            if isinstance(request, PreviewRequest):
                self._waiting.pop((MotionRequest, request.session), None)
            self._waiting.pop((type(request), request.session), None)
            self._waiting[type(request), request.session] = request
            self._changed.notify_all()

    def put_back(self, request: Request) -> None:
        """Let a request that was stopped wait again, unless a newer one replaced it."""
        with self._changed:
            if isinstance(request, MotionRequest) and (PreviewRequest, request.session) in self._waiting:
                return
            self._waiting.setdefault((type(request), request.session), request)

    def take(self) -> Request | None:
        """Wait for the most important request; None when the desk is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait(1.0)
            if self._closed:
                return None
            newest_first = list(reversed(self._waiting.items()))
            key, request = min(newest_first, key=lambda item: _RANK[item[0][0]])
            del self._waiting[key]
            return request

    def is_replaced(self, request: Request) -> bool:
        """Tell whether a newer request of this kind and session waits."""
        return (type(request), request.session) in self._waiting

    def has_before(self, request: Request) -> bool:
        """Tell whether something more important waits."""
        return any(_RANK[kind] < _RANK[type(request)] for kind, _ in list(self._waiting))

    def close(self) -> None:
        """Let `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def main(folder: str) -> None:
    """Serve requests, pickled on stdin by the studio, until it is closed; answers go to stdout in the same way.

    folder: the workspace, to which names are relative.
    """
    os.chdir(folder)
    tune_process()
    warnings.simplefilter("ignore")
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    desk, answering = Desk(), threading.Lock()

    def read() -> None:
        try:
            while True:
                desk.put(pickle.load(requests))
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)  # nobody is left to dream for

    def answer(given: Answer) -> None:
        with answering:
            pickle.dump(given, answers)
            answers.flush()

    threading.Thread(target=read, name="requests", daemon=True).start()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        serve(desk, answer, Path(folder))


def serve(desk: Desk, answer: Callable[[Answer], None], folder: Path) -> None:
    """Answer requests until the desk is closed."""
    from dreamvid.networks.network import share_networks
    from dreamvid.runtime.device import translate_out_of_memory
    from dreamvid.ui.studio.dreaming.work import Work

    machines: dict[str, PreviewMachine] = {}
    with share_networks():
        work = Work(folder)
        while (request := desk.take()) is not None:
            machine = machines.setdefault(request.session, PreviewMachine())
            try:
                with translate_out_of_memory():
                    work.do(request, answer, Watch(desk, request, machine))
            except Stop:
                if not isinstance(request, PreviewRequest) and not desk.is_replaced(request):
                    desk.put_back(request)
            except DreamvidError as error:
                answer(Answer(request.session, request.number, _NAMES[type(request)], "error", str(error)))
            except Exception as error:  # a mistake in dreamvid must not end the previews
                text = f"this is a bug in dreamvid ({type(error).__name__}: {error})."
                answer(Answer(request.session, request.number, _NAMES[type(request)], "error", text))


class Watch:
    """Is called between steps; raises `Stop` where the dream has to end."""

    def __init__(self, desk: Desk, request: Request, machine: PreviewMachine) -> None:
        self._desk, self._request, self.machine = desk, request, machine

    def verdict(self, lines: int, octave: int, octaves: int, done: int, steps: int) -> Verdict:
        """Ask the state machine of a preview. Raises Stop."""
        moved = self._desk.is_replaced(self._request)
        verdict = self.machine.after_step(lines, octave, octaves, done, steps, moved=moved)
        if verdict is Verdict.STOP:
            raise Stop
        return verdict

    def make_room(self) -> None:
        """Raise Stop if something more important waits, or this was replaced."""
        if self._desk.has_before(self._request) or self._desk.is_replaced(self._request):
            raise Stop


if __name__ == "__main__":
    # Under its own name, so that what was pickled there is of the same classes as here.
    from dreamvid.ui.studio.dreaming import worker

    worker.main(sys.argv[1])
