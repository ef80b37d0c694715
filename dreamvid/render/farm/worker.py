"""Render chunks for another process, which may be on another machine: what a worker does, whatever engine runs it.

A worker is told of a film once and then renders chunks of it. Where it sees the job's folder of the machine that asked,
it writes segments there; otherwise segments travel back as bytes with their checksums, and the source comes as bytes
too. Raw frames never travel.
"""

import errno
import hashlib
import os
import platform
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from dreamvid.errors import DreamvidError, OutOfMemoryError, SourceError
from dreamvid.networks.network import share_networks
from dreamvid.render.animation_producer import AnimationProducer
from dreamvid.render.farm.chunk import Chunk
from dreamvid.render.farm.segment_renderer import SegmentRenderer
from dreamvid.render.farm.segment_store import SegmentRecord, SegmentStore, disk_errors_as_output_errors
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.producer import FrameProducer
from dreamvid.render.progress import Progress
from dreamvid.render.start_image import StartImage
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime.device import out_of_memory, translate_out_of_memory
from dreamvid.runtime.files import hold
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.runtime.queues import BoundedQueue, Closed
from dreamvid.runtime.queues import Worker as Thread
from dreamvid.settings import Settings
from dreamvid.video.ffmpeg import DiskFullError
from dreamvid.video.sink import Sink
from dreamvid.video.source import Source

SHARED = "shared"
"""A file in the job's folder with a random text: a worker that reads the same text sees the same folder."""
_FOLDER = "dreamvid-worker-"
_LOCK = "lock"
_NEW_SECONDS = 60  # the lock of a folder that is younger may not be taken yet
_REPORT_SECONDS = 0.25
_EVENTS = 8  # that may wait for the machine that asked


Lack = Literal["", "memory", "disk"]
"""What a machine has too little of, so that its worker failed; "" if that was not the reason."""


@dataclass(frozen=True)
class Work:
    """What a worker has to know of a render.

    source, sink: as opened by the machine that asks; of an animation the start, which needs no file. folder: of the job
    there, absolute. token: what its file `SHARED` says. content: the source's fingerprint.
    """

    source: Source | StartImage
    content: str
    settings: Settings
    sink: Sink
    folder: Path
    token: str


@dataclass(frozen=True)
class Opened:
    """What a worker answers when it is told of a render.

    identity: what its frames would depend on. shared: it sees the job's folder. lacks_source: it needs the source's
    files first. error: why it cannot render, or "". lack: what its machine has too little of.
    """

    identity: Mapping[str, str]
    shared: bool
    lacks_source: bool = False
    error: str = ""
    lack: Lack = ""


@dataclass(frozen=True)
class FramesDone:
    """So many frames of the chunk are dreamed."""

    count: int
    fps: float


@dataclass(frozen=True)
class SegmentDone:
    """A segment is finished. content, state: the bytes of its files; None where they are in the job's folder."""

    index: int
    record: SegmentRecord
    content: bytes | None
    state: bytes | None


@dataclass(frozen=True)
class ChunkFailed:
    """The chunk cannot be rendered here; the worker itself goes on.

    message: for the user. lack: what the machine has too little of.
    """

    message: str
    lack: Lack = ""


@dataclass(frozen=True)
class Warned:
    """Something that the user should know of the frames, such as smaller tiles for want of memory."""

    message: str


Event = FramesDone | SegmentDone | ChunkFailed | Warned


class FilmWorker:
    """Renders chunks of one film after the other. Not for several threads, except that `stop` may come from any."""

    def __init__(self) -> None:
        self._temporary = _Temporary()
        self._stopping = threading.Event()
        self._work: Work | None = None
        self._producer: FrameProducer | None = None
        self._sharing = share_networks()  # as long as the worker lives
        self._context = copy_context()
        self._context.run(self._sharing.__enter__)

    def open(self, work: Work) -> Opened:
        """Take in what is to be rendered. Raises nothing that a user could mend: that is in the answer."""
        self._producer, self._stopping = None, threading.Event()
        self._work = work
        shared = _sees(work)
        source = self._local(work)
        if source is None:
            return Opened({}, shared, lacks_source=True)
        try:
            producer, identity = self._context.run(_prepare, source, work)
        except DreamvidError as error:
            return Opened({}, shared, error=str(error), lack=_lack(error))
        self._producer = producer
        return Opened(identity, shared)

    def receive(self, number: int, offset: int, block: bytes) -> None:
        """Take in a part of the source's file of this number. Raises OutputError when there is no space."""
        assert self._work is not None
        path = self._temporary.file(self._work, number)
        with disk_errors_as_output_errors(path.parent), path.open("wb" if offset == 0 else "r+b") as file:
            file.seek(offset)
            file.write(block)

    def _local(self, work: Work) -> Source | StartImage | None:
        """Find the source here: under the same path, or as it was received; None if it has to be sent."""
        if isinstance(work.source, StartImage):
            return work.source
        if _is(work.source, work.content):
            return work.source
        received = self._temporary.received(work)
        here = replace(work.source, paths=tuple(received)) if received else None
        return here if here is not None and _is(here, work.content) else None

    def stop(self) -> None:
        """End the chunk in work after its frame; what it has finished is kept."""
        self._stopping.set()

    def render(self, token: str, plan: Plan, chunk: Chunk, state: bytes | None) -> Iterator[Event]:
        """Render a chunk; yield what happens. A stop ends it early.

        token: of the work that was opened last, so that no other film is rendered by mistake. state: the bytes of the
        state at the end of the segment before, where the folder is not shared and the chunk's first segment needs it.
        """
        work, producer = self._work, self._producer
        if work is None or producer is None or work.token != token:
            yield ChunkFailed("the worker was told of another render.")
            return
        events: BoundedQueue[Event] = BoundedQueue(_EVENTS)
        told = 0.0

        def report(progress: Progress) -> None:
            nonlocal told
            if time.monotonic() - told > _REPORT_SECONDS:
                told = time.monotonic()
                events.put(FramesDone(progress.done, progress.fps))

        def dream() -> None:
            try:
                with warnings.catch_warnings(record=True) as warned, translate_out_of_memory():
                    warnings.simplefilter("always", UserWarning)
                    done = self._dream(work, producer, plan, chunk, state, events, report)
                for message in _own(warned):
                    events.put(Warned(message))
                events.put(FramesDone(done, 0.0))
            except Closed:
                return
            except DreamvidError as error:
                events.put(ChunkFailed(self._explained(error), _lack(error)))
            except Exception as error:  # a mistake in dreamvid must not look like a lost machine
                events.put(ChunkFailed(f"{type(error).__name__}: {error}"))
            finally:  # whatever happens: who waits for the next event would wait for ever
                events.finish()

        with ExitStack() as stack:
            try:
                with translate_out_of_memory():
                    stack.enter_context(Thread("chunk", dream))
            except DreamvidError as error:
                yield ChunkFailed(str(error), _lack(error))
                return
            try:
                yield from events
            finally:
                self._stopping.set()
                events.close()
        self._stopping = threading.Event()

    def _dream(
        self,
        work: Work,
        producer: FrameProducer,
        plan: Plan,
        chunk: Chunk,
        state: bytes | None,
        events: BoundedQueue[Event],
        report: Callable[[Progress], None],
    ) -> int:
        """Render a chunk in this thread; return how many frames are done."""
        shared = _sees(work)
        with disk_errors_as_output_errors(Path(tempfile.gettempdir())):
            folder = work.folder if shared else self._temporary.folder
        store = _Reporting(folder, work.sink.segment_suffix, events, sends=not shared)
        before = store.state_before(chunk.segments[0])
        try:
            if state is not None:
                with disk_errors_as_output_errors(folder):
                    before.write_bytes(state)
            producer.check(plan)
            spec = producer.spec(plan)
            with StopRequest(self._stopping) as stop:
                renderer = SegmentRenderer(producer, store, work.sink, plan, spec, stop=stop, report=report, done=0)
                renderer.render(chunk.segments)
        finally:
            if not shared:  # what a failure leaves, nobody will fetch
                with suppress(OSError):
                    before.unlink(missing_ok=True)
                    for segment in chunk.segments:
                        store.remove(segment)
        return renderer.done

    def _explained(self, error: DreamvidError) -> str:
        """Say what a user needs to know of an error here: of a full disk, which one."""
        if _lack(error) != "disk" or self._work is None or _sees(self._work):
            return str(error)
        return f"{error} {self._temporary.room()}"

    def close(self) -> None:
        """Remove what was kept here, and let the networks go."""
        self._temporary.remove()
        self._context.run(self._sharing.__exit__, None, None, None)


class _Reporting(SegmentStore):
    """A store that tells of every finished segment, and sends what it has instead of keeping it."""

    def __init__(self, folder: Path, suffix: str, events: BoundedQueue[Event], *, sends: bool) -> None:
        super().__init__(folder, suffix)
        self._events, self._sends = events, sends

    def finish_segment(self, segment: Segment, state: Mapping[str, Tensor] | None, *, device: str) -> None:
        super().finish_segment(segment, state, device=device)
        record = self.record(segment)
        assert record is not None
        content = packed = None
        if self._sends:
            with disk_errors_as_output_errors(self.folder):
                content = self.segment_path(segment).read_bytes()
                packed = None if state is None else self.state_path(segment).read_bytes()
                self.remove(segment)
        self._events.put(SegmentDone(segment.index, record, content, packed))

    def remove(self, segment: Segment) -> None:
        """Remove what is here of a segment; nobody else sees the folder. Raises OSError."""
        for path in (self.segment_path(segment), self.record_path(segment), self.state_path(segment)):
            path.unlink(missing_ok=True)


class _Temporary:
    """A worker's folder for what does not come from a shared one; made when it is needed, removed by `remove`.

    What killed workers have left is removed by the next one on the machine.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder itself."""
        if self._folder is None:
            _remove_abandoned()
            self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
            (self._folder / _LOCK).touch()
            hold(self._folder / _LOCK)
        return self._folder

    def room(self) -> str:
        """Say how full the disk is, and what to do about it."""
        folder = tempfile.gettempdir()
        with suppress(OSError):
            usage = shutil.disk_usage(folder)
            return (
                f"Of {usage.total / 2**20:,.0f} MiB in {folder}, {usage.free / 2**20:,.1f} are free. Start Ray there "
                "with TMPDIR=FOLDER for a folder with more room, or let it see the folder of the output."
            )
        return ""

    def file(self, work: Work, number: int) -> Path:
        """Name a file of a render's source; it keeps its own name, as the order of images depends on it."""
        name = f"{hashlib.sha256(work.content.encode()).hexdigest()[:16]}"
        folder = self.folder / name / f"{number:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / work.source.paths[number].name

    def received(self, work: Work) -> list[Path]:
        """List the files of a render's source that have come; empty unless all have. It makes no folder."""
        if self._folder is None or not work.source.paths:
            return []
        files = [self.file(work, number) for number in range(len(work.source.paths))]
        return files if all(file.is_file() for file in files) else []

    def remove(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        try:
            status = folder.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _NEW_SECONDS and hold(folder / _LOCK):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, AttributeError):  # another's, or Windows, which has no users
            continue


def _lack(error: BaseException) -> Lack:
    """Tell if an error says that the machine has too little of something."""
    if isinstance(error, OutOfMemoryError) or out_of_memory(error):
        return "memory"
    cause = error.__cause__
    no_room = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk" if no_room or isinstance(error, DiskFullError) else ""


def _own(warned: Sequence[warnings.WarningMessage]) -> list[str]:
    """List what dreamvid itself has warned of, each once."""
    package = Path(__file__).parents[2]
    ours = [str(warning.message) for warning in warned if Path(warning.filename).is_relative_to(package)]
    return list(dict.fromkeys(ours))


def _prepare(source: Source | StartImage, work: Work) -> tuple[FrameProducer, dict[str, str]]:
    """Load the network; find out what the frames depend on here. Raises DreamvidError."""
    with translate_out_of_memory():
        producer: FrameProducer
        if isinstance(source, StartImage):
            producer = AnimationProducer.from_start(source, work.settings)
        else:
            producer = VideoProducer.from_source(source, work.settings)
        identity = producer.identity(work.sink)
        work.sink.check()
    return producer, identity


def _is(source: Source, content: str) -> bool:
    try:
        return source.fingerprint() == content
    except SourceError:
        return False


def _sees(work: Work) -> bool:
    """Tell if this process can write into the job's folder of the machine that asked."""
    try:
        return (
            os.access(work.folder, os.W_OK | os.X_OK)
            and (work.folder / SHARED).read_text(encoding="ascii") == work.token
        )
    except (OSError, ValueError):
        return False


def worker_name(address: str) -> str:
    """Name a worker for the user: its machine's address or name, and its process."""
    return f"{address or platform.node()}:{os.getpid()}"
