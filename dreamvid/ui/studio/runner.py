"""Run the jobs of the queue, a process each. The processes live on when the studio ends; the next one finds them.

A job's process writes its progress into a log file and holds a lock on a file for as long as it lives, so that a studio
that is started later knows whether it still runs. What its last line says decides how it ended.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dreamvid.errors import InputError
from dreamvid.runtime.files import acquire
from dreamvid.ui.studio.queue import QueuedRender, RenderQueue
from dreamvid.ui.studio.workspace import QUEUE, WorkspaceError

_TAIL = 1 << 16
_LOOK_SECONDS = 0.5
_PREVIEW_SECONDS = "10"


@dataclass(frozen=True)
class RenderProgress:
    """What a job's log says. frame, total: of the stage. seconds_left: None while unknown. messages: the last few."""

    stage: str = ""
    frame: int = 0
    total: int = 0
    fps: float = 0.0
    seconds_left: float | None = None
    bottleneck: str = ""
    messages: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The part that is done, from 0 to 1."""
        if self.stage in ("join", "done"):
            return 1.0
        return self.frame / self.total if self.total and self.stage == "dream" else 0.0


def read_progress(log: Path) -> RenderProgress:
    """Read the end of a job's log; a line that does not parse is left out."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return RenderProgress()
    stage, dream = "", {}
    messages: deque[str] = deque(maxlen=5)
    for line in lines:
        try:
            values = json.loads(line)
            name, text = str(values["stage"]), str(values["message"])
        except (ValueError, KeyError, TypeError):
            continue
        stage = name
        if name in ("scan", "dream", "join", "done"):
            dream = values
        if text and text not in messages:
            messages.append(text)
    return RenderProgress(
        stage,
        int(dream.get("frame") or 0),
        int(dream.get("total") or 0),
        float(dream.get("fps") or 0.0),
        dream.get("seconds_left"),
        str(dream.get("bottleneck") or ""),
        tuple(messages),
    )


class QueueRunner:
    """Starts the jobs of a queue one after another, one at a time on a device. A context manager.

    Leaving the context leaves running jobs running, unless `stop_jobs` was called. Raises InputError if another studio
    has the workspace open.
    """

    def __init__(self, queue: RenderQueue) -> None:
        self.queue = queue
        self._lock = acquire(queue.workspace.root / QUEUE)
        if self._lock is None:
            raise InputError(
                f"another studio has the workspace {queue.workspace.root} open. Close it, or give another folder: "
                "dreamvid studio FOLDER"
            )
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._began: dict[str, float] = {}
        self._wanted: dict[str, str] = {}  # what a stopped process becomes: paused or cancelled
        self._stopping = threading.Event()
        self._awake = threading.Event()
        self._one_at_a_time = threading.RLock()
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)

    def __enter__(self) -> "QueueRunner":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._awake.set()
        self._thread.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def wake(self) -> None:
        """Look at the queue now."""
        self._awake.set()

    def pause(self, id: str) -> None:
        """Stop a job that runs, or keep one that waits from being started; `RenderQueue.retry` continues it."""
        self._stop(id, "paused")

    def cancel(self, id: str) -> None:
        """Stop a job for good. What is done stays, so that it can be watched and tried again."""
        self._stop(id, "cancelled")

    def _stop(self, id: str, state: str) -> None:
        with self._one_at_a_time:
            job = self.queue.get(id)
            if job.status.state in ("waiting", "paused"):
                self.queue.set(id, state=state)
            elif job.status.state == "running":
                self._wanted[id] = state
                _interrupt(job.status.pid, self._processes.get(id), _is_locked(self.queue.path(job, ".lock")))
            else:
                raise WorkspaceError(f"the job is {job.status.state} already.")

    def stop_jobs(self) -> None:
        """Stop every job that runs, as Ctrl-C does; they wait, and the next studio continues them."""
        with self._one_at_a_time:
            for job in self.queue.jobs():
                if job.status.state == "running":
                    self._wanted[job.id] = "waiting"
                    _interrupt(job.status.pid, self._processes.get(job.id), _is_locked(self.queue.path(job, ".lock")))
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and self._settle():
                time.sleep(0.1)

    def _work(self) -> None:
        while not self._stopping.is_set():
            with self._one_at_a_time:
                running = self._settle()
                if not self._stopping.is_set():
                    self._start_next(running)
            self._awake.wait(_LOOK_SECONDS)
            self._awake.clear()

    def _settle(self) -> list[QueuedRender]:
        """Note what ended; return what still runs."""
        running = []
        for job in self.queue.jobs():
            if job.status.state != "running":
                continue
            process = self._processes.get(job.id)
            if process.poll() is None if process is not None else _is_locked(self.queue.path(job, ".lock")):
                running.append(job)
            else:
                self._processes.pop(job.id, None)
                self._note_end(job, None if process is None else process.returncode)
        return running

    def _note_end(self, job: QueuedRender, code: int | None) -> None:
        seconds = job.status.seconds + time.monotonic() - self._began.pop(job.id, time.monotonic())
        progress = read_progress(self.queue.path(job, ".log"))
        wanted = self._wanted.pop(job.id, None)
        message = progress.messages[-1] if progress.messages else ""
        if progress.stage == "done":
            state, message = "done", "; ".join(progress.messages)
        elif progress.stage in ("error", "failed"):
            state = "failed"
        elif wanted is not None:
            state = wanted
        elif code is None or code in (130, 143, -signal.SIGINT, -signal.SIGTERM):
            state = "waiting"  # the machine was restarted or the process was stopped from outside: go on
        else:
            state, message = "failed", _last_line(self.queue.path(job, ".log")) or f"the render ended with code {code}."
        self.queue.set(job.id, state=state, message=message, pid=0, seconds=round(seconds, 1))

    def _start_next(self, running: list[QueuedRender]) -> None:
        busy = {job.device for job in running}
        for job in self.queue.jobs():
            if job.status.state != "waiting" or (
                busy and ("auto" in busy or job.device == "auto" or job.device in busy)
            ):
                continue
            try:
                self._start(job)
            except OSError as error:
                self.queue.set(job.id, state="failed", message=f"it could not be started: {error}.")
            else:
                busy.add(job.device)

    def _start(self, job: QueuedRender) -> None:
        command = [sys.executable, "-m", "dreamvid", *job.arguments(), "--progress", "json"]
        command += ["--preview-every", _PREVIEW_SECONDS]
        with self.queue.path(job, ".log").open("wb") as log, self.queue.path(job, ".lock").open("wb") as lock:
            process = subprocess.Popen(
                command,
                cwd=self.queue.workspace.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=child_environment(),
                start_new_session=True,  # Ctrl-C in the studio's terminal and its end leave the render alone
                pass_fds=_locked(lock),
            )
        self._processes[job.id], self._began[job.id] = process, time.monotonic()
        self.queue.set(job.id, state="running", message="", pid=process.pid)


def child_environment() -> Mapping[str, str]:
    """Give the process this package, wherever it was imported from; its own folder is the workspace."""
    package = str(Path(__file__).resolve().parents[3])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}


def _locked(lock: IO[bytes]) -> tuple[int, ...]:
    """Lock an open file; its lock lasts for as long as any process has this very file open."""
    if sys.platform == "win32":
        return ()
    import fcntl

    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return (lock.fileno(),)


def _is_locked(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _interrupt(pid: int, process: subprocess.Popen[bytes] | None, alive: bool) -> None:
    """Ask a render to stop, as Ctrl-C does. A process of another studio is signalled only while it holds its lock.

    By SIGTERM: a studio that a script has started in the background ignores SIGINT, and so do its renders.
    """
    try:
        if process is not None:
            process.send_signal(signal.SIGTERM)
        elif alive and pid > 1:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass


def _last_line(log: Path) -> str:
    try:
        lines = log.read_bytes()[-2000:].decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
