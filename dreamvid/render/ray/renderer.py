"""Render the segments of a job on the workers of a pool: chunks, longest first, again where a worker is lost.

It has what `SegmentRenderer` has, so that a render is the same from its plan to its join, wherever its frames are
dreamed. Only this process records segments that arrive as bytes; those in a shared folder are recorded by the workers.
"""

import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamvid.errors import DeviceError, DreamvidError, Interrupted, SourceError
from dreamvid.render.farm.chunk import Chunk, chunks_of
from dreamvid.render.farm.segment_store import SegmentStore, disk_errors_as_output_errors, write_atomically
from dreamvid.render.farm.worker import SHARED, ChunkFailed, FramesDone, Lack, Opened, SegmentDone, Warned, Work
from dreamvid.render.fingerprint import diff_fingerprints
from dreamvid.render.job import Job
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.preview import PreviewChunk
from dreamvid.render.progress import Progress, WorkerProgress
from dreamvid.render.ray.pool import PooledWorker, WorkerPool, reason
from dreamvid.render.start_image import StartImage
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.settings import Settings
from dreamvid.video.sink import Sink
from dreamvid.video.source import Source

_log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a chunk is tried that finishes no segment, before the render goes on without it."""
_WAIT_SECONDS = 0.1
_STOP_SECONDS = 60.0  # for the frames in work after a stop was asked for
_BLOCK_BYTES = 16 * 2**20
_RATE_SECONDS = 20.0
_PATIENCE_SECONDS = 30.0
_FEWER_WORKERS = "Fewer workers on a machine help too: give a larger `cpus_per_worker` or `gpus_per_worker`."
_ROOM_BYTES = 2**20


@dataclass
class _Assignment:
    """A chunk at work: what is left of it, who renders it, and how far it is."""

    worker: PooledWorker
    chunk: Chunk
    stream: Any
    total: int
    done: int = 0
    fps: float = 0.0
    failed: str = ""
    lack: Lack = ""


@dataclass
class _Trouble:
    """What is known of a chunk that failed. workers: those it failed on. since: when it did so last."""

    attempts: int = 0
    workers: set[PooledWorker] = field(default_factory=set)
    since: float = 0.0


class RayRender:
    """One render on a pool: it finds out what the frames depend on there, and renders segments."""

    def __init__(
        self,
        pool: WorkerPool,
        source: Source | StartImage,
        settings: Settings,
        sink: Sink,
        job: Job,
        stop: StopRequest,
    ) -> None:
        self._pool, self._job, self._stop = pool, job, stop
        self._token = secrets.token_hex(16)
        folder = job.folder.absolute()
        content = source.fingerprint if isinstance(source, StartImage) else source.fingerprint()
        self._work = Work(source, content, settings, sink, folder, self._token)
        self._identity: Mapping[str, str] | None = None
        self._crew: list[PooledWorker] = []
        self._opening: list[tuple[PooledWorker, Any]] = []
        self.warnings: list[str] = []
        self.chunks: list[PreviewChunk] = []

    def identity(self, report: Callable[[Progress], None]) -> Mapping[str, str]:
        """Ask the first worker that is up what the frames depend on. Raises DreamvidError if there will be none."""
        self._share()
        self._pool.warm_up()
        told = time.monotonic() + _PATIENCE_SECONDS
        while not self._crew:
            self._hire(1)
            if time.monotonic() > told and not self._crew:
                told = math.inf
                report(Progress("scan", 0, None, message="Waiting for a worker: the cluster is busy or slow to start."))
            if not self._crew:
                if self._stop.asked:
                    raise Interrupted("Stopped before the first frame.", self._stop.exit_code)
                time.sleep(_WAIT_SECONDS)
        assert self._identity is not None
        return self._identity

    def begin(self, plan: Plan, report: Callable[[Progress], None], done: int) -> None:
        """Take in the plan; `done`: how many of its frames are there already."""
        self._plan, self._report, self.done = plan, report, done
        self._kept = done
        self._share()

    def _share(self) -> None:
        """Put the file into the job's folder by which workers know it; `Job.begin` empties the folder."""
        with suppress(OSError):
            write_atomically(self._job.folder / SHARED, self._token.encode("ascii"))

    # --- workers

    def _hire(self, wanted: int) -> None:
        """Take workers from the pool, at most so many, and tell them of this render. It does not wait for them.

        Those that have answered join the crew. Raises DeviceError if there will be none.
        """
        for worker in self._pool.take(wanted - len(self._opening)):
            self._opening.append((worker, worker.actor.open.remote(self._work)))
        for message in self._pool.news():
            self._tell(message)
        ray = self._pool.ray
        for item in list(self._opening):
            worker, answer = item
            if not ray.wait([answer], timeout=0)[0]:
                continue
            self._opening.remove(item)
            try:
                opened: Opened = ray.get(answer)
                if opened.lacks_source:
                    self._send_source(worker)
                    opened = ray.get(worker.actor.open.remote(self._work))
            except SourceError:
                raise
            except DreamvidError as error:  # it cannot take the source in: its disk is full
                self._turn_away(worker, str(getattr(error, "cause", error)))  # Ray puts a traceback around it
                continue
            except Exception as error:  # it was lost meanwhile: Ray has many errors for that
                self._pool.failed_start(worker, error)
                continue
            self._welcome(worker, opened)
        if not self._crew and not self._opening and (why := self._pool.hopeless()):
            raise DeviceError(f"no worker of the Ray cluster can render this: {why}")

    def _welcome(self, worker: PooledWorker, opened: Opened) -> None:
        if opened.lack == "memory" and self._relieve(worker, opened.error):
            return
        if refusal := self._refusal(opened):
            self._turn_away(worker, refusal)
            return
        self._identity = self._identity or opened.identity
        worker.shared = opened.shared
        self._crew.append(worker)

    def _turn_away(self, worker: PooledWorker, why: str) -> None:
        self._tell(f"the worker {worker.name} is left out: {why}")
        self._pool.drop(worker, refuse=why)
        if worker in self._crew:
            self._crew.remove(worker)

    def _relieve(self, worker: PooledWorker, why: str) -> bool:
        """End a worker that had too little memory; return if its machine has others, of which there is now one less."""
        relieved = self._pool.relieve(worker)
        if relieved:
            self._tell(f"the machine of the worker {worker.name} goes on with one worker less: {why} {_FEWER_WORKERS}")
        self._lost(worker, why)
        return relieved

    def _send_source(self, worker: PooledWorker) -> None:
        """Send the source's files in blocks; the worker checks their content. Raises SourceError if one is gone."""
        ray = self._pool.ray
        for number, path in enumerate(self._work.source.paths):
            offset = 0
            while block := _block(path, offset):
                ray.get(worker.actor.receive.remote(number, offset, block))
                offset += len(block)

    def _refusal(self, opened: Opened) -> str:
        if opened.lacks_source:
            return "the source could not be sent to it whole"
        if opened.error:
            return opened.error
        changed = [] if self._identity is None else diff_fingerprints(self._identity, opened.identity)
        return "; ".join(changed)

    def _lost(self, worker: PooledWorker, error: object) -> None:
        _log.info("worker %s is lost: %s", worker.name, error)
        self._pool.drop(worker)
        if worker in self._crew:
            self._crew.remove(worker)

    def release(self) -> None:
        """Give all workers back to the pool."""
        for worker in self._crew:
            self._pool.give(worker)
        for worker, _ in self._opening:
            self._pool.drop(worker)  # it is still taking this render in, and must not mistake it for the next one
        self._crew.clear()
        self._opening.clear()
        with suppress(OSError):
            (self._job.folder / SHARED).unlink(missing_ok=True)

    # --- chunks

    def render(self, segments: Sequence[Segment]) -> None:
        """Render segments of the plan, in any order. Ends early, after a frame, when a stop is asked for.

        Raises DreamvidError, at the end, for chunks that fail on every worker; the others are finished then.
        """
        waiting = deque(sorted(chunks_of(segments, self._plan), key=lambda chunk: -chunk.count))
        running: list[_Assignment] = []
        troubles: dict[int, _Trouble] = {}
        hopeless: list[tuple[Chunk, _Assignment]] = []
        plan = self._pool.ray.put(self._plan)
        self._began, self._moments = time.monotonic(), deque([(time.monotonic(), self.done)])
        self._stop.gently = True
        try:
            while waiting or running:
                if self._stop.asked:
                    self._wind_up(running)
                    return
                self._assign(waiting, running, plan, troubles)
                for assignment in self._listen(running):
                    chunk = self._rest(assignment)
                    if not chunk.segments:
                        troubles.pop(chunk.number, None)
                        continue
                    trouble = troubles.setdefault(chunk.number, _Trouble())
                    if len(chunk.segments) < len(assignment.chunk.segments):
                        trouble.attempts = 0
                    trouble.workers.add(assignment.worker)
                    trouble.since = time.monotonic()
                    if self._was_the_machine(assignment):
                        waiting.appendleft(chunk)
                        continue
                    trouble.attempts += 1
                    if trouble.attempts < ATTEMPTS:
                        self._tell(
                            f"frames {chunk.span} failed on {assignment.worker.name} and are tried again: "
                            f"{assignment.failed}"
                        )
                        waiting.appendleft(chunk)
                    else:
                        hopeless.append((chunk, assignment))
                self._show(running)
        except BaseException:
            for assignment in running:
                self._lost(assignment.worker, "stopped at once")
            raise
        finally:
            self._stop.gently = False
        if hopeless:
            spans, last = ", ".join(chunk.span for chunk, _ in hopeless), hopeless[-1][1]
            remedy = f" {_FEWER_WORKERS}" if last.lack == "memory" else ""
            raise DreamvidError(
                f"these frames could not be rendered: {spans}. {ATTEMPTS} attempts failed, the last one, on "
                f"{last.worker.name}, so: {last.failed}{remedy} The other frames are finished; the same command tries "
                "these again."
            )

    def _was_the_machine(self, assignment: _Assignment) -> bool:
        """After a lack of memory or of disk: do without the worker. Return if its machine alone was to blame.

        Then the chunk is tried again without being counted; that has an end, as there are fewer workers each time.
        Raises OutputError where the disk is that of the job's folder, so that nobody can write.
        """
        worker, why = assignment.worker, assignment.failed
        if assignment.lack == "memory":
            return self._relieve(worker, why)
        if assignment.lack != "disk":
            return False
        if worker.shared:
            self._check_room()
        self._turn_away(worker, why)
        return True

    def _check_room(self) -> None:
        """Raise OutputError if the disk of the job's folder is full."""
        path = self._job.folder / "room"
        with disk_errors_as_output_errors(self._job.folder):
            try:
                write_atomically(path, bytes(_ROOM_BYTES))
            finally:
                path.unlink(missing_ok=True)

    def _choose(self, worker: PooledWorker, waiting: "deque[Chunk]", troubles: Mapping[int, _Trouble]) -> Chunk | None:
        """Choose a chunk for an idle worker: one that has not failed on it, or else has failed on all others too."""
        for chunk in waiting:
            if chunk.number not in troubles or worker not in troubles[chunk.number].workers:
                return chunk
        coming = bool(self._opening) or self._pool.starting()
        for chunk in waiting:
            trouble = troubles[chunk.number]
            patient = coming and time.monotonic() - trouble.since < _PATIENCE_SECONDS
            if not patient and all(other in trouble.workers for other in self._crew):
                return chunk
        return None

    def _assign(
        self,
        waiting: "deque[Chunk]",
        running: list[_Assignment],
        plan: object,
        troubles: Mapping[int, _Trouble],
    ) -> None:
        busy = {id(assignment.worker) for assignment in running}
        idle = [worker for worker in self._crew if id(worker) not in busy]
        able = sum(self._choose(worker, waiting, troubles) is not None for worker in idle)
        if able < len(waiting):
            before = len(self._crew)
            self._hire(len(waiting) - able)
            idle += self._crew[before:]
        for worker in idle:
            if not waiting:
                if len(self._crew) > 1:  # others may need it: a batch renders several films with one pool
                    self._crew.remove(worker)
                    self._pool.give(worker)
                continue
            chunk = self._choose(worker, waiting, troubles)
            if chunk is None:
                continue  # another one is to try it
            waiting.remove(chunk)
            state = None
            first = chunk.segments[0]
            if not worker.shared and not first.stands_alone:
                state = self._job.state_before(first).read_bytes()
            stream = worker.actor.render.options(num_returns="streaming").remote(self._token, plan, chunk, state)
            running.append(_Assignment(worker, chunk, stream, chunk.count))

    def _listen(self, running: list[_Assignment]) -> list[_Assignment]:
        """Take in what the workers say; return the assignments that have ended, in whichever way."""
        if not running:
            time.sleep(_WAIT_SECONDS)
            return []
        ray = self._pool.ray
        ready, _ = ray.wait([assignment.stream for assignment in running], timeout=_WAIT_SECONDS, fetch_local=False)
        ended = []
        for assignment in [assignment for assignment in running if assignment.stream in ready]:
            try:
                event = ray.get(next(assignment.stream))
            except StopIteration:
                ended.append(assignment)
                assignment.failed = assignment.failed or "it ended early."
            except DreamvidError:
                raise
            except Exception as error:  # the process or the node is gone: Ray has many errors for that
                assignment.failed = f"it was lost ({reason(error)})."
                if self._pool.lacked_memory(error):
                    assignment.lack = "memory"
                self._lost(assignment.worker, error)
                ended.append(assignment)
            else:
                self._take_in(assignment, event)
        for assignment in ended:
            running.remove(assignment)
        return ended

    def _take_in(self, assignment: _Assignment, event: object) -> None:
        if isinstance(event, FramesDone):
            assignment.done, assignment.fps = event.count, event.fps or assignment.fps
        elif isinstance(event, ChunkFailed):
            assignment.failed, assignment.lack = event.message, event.lack
        elif isinstance(event, Warned):
            self._tell(f"{assignment.worker.name}, frames {assignment.chunk.span}: {event.message}")
        elif isinstance(event, SegmentDone):
            segment = self._plan.segments[event.index]
            if event.content is not None and not self._job.take_in(segment, event.record, event.content, event.state):
                assignment.failed = "what it sent does not have its checksum."
                return

    def _rest(self, assignment: _Assignment) -> Chunk:
        """Say what is left of a chunk: the job's folder is the truth, whatever the worker had time to tell."""
        store: SegmentStore = self._job
        left = store.unfinished(assignment.chunk.segments)
        self._kept += assignment.total - sum(segment.shown for segment in left)
        return replace(assignment.chunk, segments=tuple(left))

    def _wind_up(self, running: list[_Assignment]) -> None:
        """Let the workers finish the frames in work; record what they still send."""
        for assignment in running:
            with suppress(Exception):
                assignment.worker.actor.stop.remote()
        deadline = time.monotonic() + _STOP_SECONDS
        while running and time.monotonic() < deadline:
            for assignment in self._listen(running):
                self._rest(assignment)
            self._show(running, "Stopping.")
        for assignment in running:
            self._lost(assignment.worker, "it did not stop")

    # --- what the user sees

    def _show(self, running: Sequence[_Assignment], message: str = "") -> None:
        self.done = self._kept + sum(assignment.done for assignment in running)
        now = time.monotonic()
        if now - self._moments[-1][0] < 0.2 and not message:
            return
        self._moments.append((now, self.done))
        while now - self._moments[0][0] > _RATE_SECONDS and len(self._moments) > 2:
            self._moments.popleft()
        (began, before), total = self._moments[0], self._plan.count
        fps = max(0.0, (self.done - before) / max(now - began, 1e-9))
        left = (total - self.done) / fps if fps > 0 else None
        workers = tuple(
            WorkerProgress(item.worker.name, item.chunk.span, item.done, item.total, round(item.fps, 3))
            for item in running
        )
        self._report(Progress("dream", self.done, total, fps, left, None, message, workers))

    def _tell(self, message: str) -> None:
        self.warnings.append(message)
        _log.info("%s", message)


def _block(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_BLOCK_BYTES)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
