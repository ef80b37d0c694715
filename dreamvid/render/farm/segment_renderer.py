"""Render segments: this thread dreams their frames, another one encodes them.

    the producer's own threads ──► dreaming thread ──► encoding thread ──► a file for each segment

Every arrow is a bounded queue. At the end of a segment its encoder still has to work off some sixty frames, which takes
longer than a GPU dreams as many: the next segment's encoder begins meanwhile. What goes wrong in a thread is raised in
the caller's.
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from dreamvid.errors import DreamvidError, SourceError
from dreamvid.image.tensors import Download, download
from dreamvid.render.farm.seam import overlap_sink
from dreamvid.render.farm.segment_store import SegmentStore, device_name, disk_errors_as_output_errors
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.preview import Preview, PreviewChunk
from dreamvid.render.producer import FrameProducer
from dreamvid.render.progress import Progress, ThroughputMeter
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.runtime.profiler import Stopwatch
from dreamvid.runtime.queues import BoundedQueue, Closed, Worker
from dreamvid.video.decode import Pixels
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import FrameWriter, Sink

_log = logging.getLogger(__name__)

_WAITING_FRAMES = 4  # frames that may wait for the encoder: enough to even out, few enough for 8K


@dataclass(frozen=True)
class _Image:
    """A dreamed frame for the encoder."""

    index: int
    pixels: Download


@dataclass(frozen=True)
class _SegmentEnd:
    """All frames of the segment have been sent. `state` is what the next segment needs, None if nothing."""

    state: dict[str, Tensor] | None


class _EarlyEnd:
    """The render stops within the segment; its frames so far are still wanted."""


# A segment opens it; then come its images; then one of the two ends.
_Message = Segment | _Image | _SegmentEnd | _EarlyEnd


class SegmentRenderer:
    """Dreams segments and leaves each as a file, recorded in a store: the job, or a folder of a worker.

    sink: what writes the files. preview: kept fresh while frames are encoded; None for none. `done`: how many frames of
    the plan are dreamed, those of earlier runs included. `chunks`: the frames of a segment in which the render stopped.
    """

    def __init__(
        self,
        producer: FrameProducer,
        store: SegmentStore,
        sink: Sink,
        plan: Plan,
        spec: StreamSpec,
        *,
        stop: StopRequest,
        report: Callable[[Progress], None],
        done: int,
        preview: Preview | None = None,
    ) -> None:
        self._producer, self._store, self._plan, self._spec = producer, store, plan, spec
        self._stop, self._report, self.done = stop, report, done
        self._encoder = _SegmentEncoder(
            store, sink, plan, spec, producer.stopwatch, device_name(producer.device), preview
        )

    @property
    def chunks(self) -> list[PreviewChunk]:
        """Encoded parts of the segment in which the render stopped."""
        return self._encoder.chunks

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the encoding."""
        return self._encoder.warnings

    def render(self, segments: Sequence[Segment]) -> None:
        """Render segments of the plan, in order. Ends early, after a frame, when a stop is asked for.

        Raises DreamvidError, and KeyboardInterrupt for a stop at once.
        """
        self._stop.gently = True
        try:
            for group in group_consecutive(segments):
                self._render_group(group)
                if self._stop.asked:
                    return
        finally:
            self._stop.gently = False

    def _render_group(self, group: Sequence[Segment]) -> None:
        """Render segments that follow one another."""
        state = None if group[0].stands_alone else self._store.load_state(group[0])
        dreamed: BoundedQueue[_Message] = BoundedQueue(_WAITING_FRAMES)
        with ExitStack() as stack:
            # Left in the reverse order: the producer's threads end first, then the queue, then the encoding thread.
            stack.enter_context(Worker("encode", lambda: self._encoder.encode(dreamed)))
            stack.callback(dreamed.finish)  # also after a failure: what was sent may complete a segment
            images = stack.enter_context(self._producer.dreams(group, self._plan, state))
            try:
                with translate_out_of_memory():
                    self._dream(group, images, dreamed)
            except Closed:
                pass  # the encoding thread says why
            except KeyboardInterrupt:
                dreamed.close()
                raise
        if self._encoder.failure is not None:
            raise self._encoder.failure

    def _dream(self, group: Sequence[Segment], images: Iterator[Tensor], dreamed: BoundedQueue[_Message]) -> None:
        dtype = np.uint8 if self._spec.bit_depth <= 8 else np.uint16
        stopwatch = self._producer.stopwatch
        meter = ThroughputMeter(stopwatch.busy)
        for segment in group:
            dreamed.put(segment)
            for index in range(segment.start, segment.stop):
                image = next(images, None)
                if image is None:
                    raise SourceError(
                        f"there are no more frames after {index - self._plan.start} of {self._plan.count}: the source "
                        "is shorter than it was when the render was planned. Is it still the same file?"
                    )
                with stopwatch.work("dream"):
                    pixels = download(image, dtype)
                stopwatch.add_bytes("dream", pixels.size)
                dreamed.put(_Image(index, pixels))
                self.done += segment.shown > 0
                self._report(meter.measure(self.done, self._plan.count, self._stopping()))
                if self._stop.asked and index + 1 < segment.stop:
                    dreamed.put(_EarlyEnd())
                    return
            dreamed.put(_SegmentEnd(self._state_after(segment)))
            if self._stop.asked:
                return

    def _stopping(self) -> str:
        """Say that the render is about to stop."""
        if not self._stop.asked:
            return ""
        return "Stopping." + (" Press Ctrl-C again to stop at once." if self._stop.signal == signal.SIGINT else "")

    def _state_after(self, segment: Segment) -> dict[str, Tensor] | None:
        following = segment.index + 1
        if following == len(self._plan.segments) or self._plan.segments[following].stands_alone:
            return None
        # A copy, as the dream goes on while it is written.
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self._producer.state().items()}


class _SegmentEncoder:
    """Encodes what the dreaming thread sends, in the encoding thread; keeps a preview fresh if that is asked for.

    A finished segment is closed in one more thread, unless the preview or the early end of a render waits for it.
    `failure`: what `encode` ended with, for the dreaming thread to raise.
    """

    def __init__(
        self,
        store: SegmentStore,
        sink: Sink,
        plan: Plan,
        spec: StreamSpec,
        stopwatch: Stopwatch,
        device: str,
        preview: Preview | None,
    ) -> None:
        self._store, self._sink, self._plan, self._spec = store, sink, plan, spec
        self._stopwatch, self._device, self._preview = stopwatch, device, preview
        self._segment: Segment | None = None
        self._writer: FrameWriter | None = None
        self._closing: Future[None] | None = None
        self.chunks: list[PreviewChunk] = []
        self.warnings: list[str] = []
        self.failure: BaseException | None = None

    def encode(self, dreamed: BoundedQueue[_Message]) -> None:
        """Take messages until the queue ends. Raises nothing."""
        closer = ThreadPoolExecutor(1, thread_name_prefix="close")
        try:
            for message in dreamed:
                pixels = message.pixels.wait() if isinstance(message, _Image) else None
                with self._stopwatch.work("encode"), disk_errors_as_output_errors(self._store.folder):
                    if isinstance(message, Segment):
                        self._open(message)
                    elif isinstance(message, _Image):
                        assert pixels is not None
                        self._write(message.index, pixels)
                    else:
                        self._close(message, closer)
            self._wait_for_closing()
        except BaseException as error:  # whatever it is, the dreaming thread has to see it
            self.failure = error
        finally:
            if self._writer is not None:
                self._writer.abort()
                self._writer = None
            closer.shutdown()
            self._forget_preview()
            dreamed.close()

    def _open(self, segment: Segment) -> None:
        _log.debug("segment %d: frames %d to %d", segment.index, segment.start, segment.stop)
        self._segment = segment
        sink = overlap_sink() if segment.overlap else self._sink
        self._writer = sink.open_segment(self._store.segment_path(segment), self._spec)

    def _write(self, index: int, pixels: Pixels) -> None:
        assert self._writer is not None
        if self._closing is not None and self._closing.done():
            self._wait_for_closing()
        self._writer.write(pixels, self._plan.pts[index - self._plan.start])
        self._stopwatch.add_bytes("encode", pixels.nbytes)
        if self._preview is None or (self._segment is not None and self._segment.overlap):
            return
        try:
            self._preview.add(index, pixels)
        except (DreamvidError, OSError) as error:  # no reason to stop the render
            self._forget_preview()
            self._preview = None
            self.warnings.append(f"the preview could not be written and is no longer refreshed: {error}")

    def _close(self, end: _SegmentEnd | _EarlyEnd, closer: ThreadPoolExecutor) -> None:
        assert self._segment is not None
        assert self._writer is not None
        self._wait_for_closing()
        segment, writer, self._writer = self._segment, self._writer, None
        if isinstance(end, _SegmentEnd):
            self._closing = closer.submit(self._finish, segment, writer, end.state)
        else:
            writer.close()
            if not segment.overlap:
                self.chunks.append(PreviewChunk(writer.path, segment.start, segment.start + writer.count))
        if self._preview is not None:
            self._wait_for_closing()  # from now on its frames are shown from its file
        self._forget_preview()

    def _finish(self, segment: Segment, writer: FrameWriter, state: dict[str, Tensor] | None) -> None:
        with disk_errors_as_output_errors(self._store.folder):
            writer.close()
            self._store.finish_segment(segment, state, device=self._device)

    def _wait_for_closing(self) -> None:
        """Wait until the segment before is on disk. Raises what went wrong with it."""
        if self._closing is not None:
            closing, self._closing = self._closing, None
            closing.result()

    def _forget_preview(self) -> None:
        if self._preview is not None:
            self._preview.forget_chunks()


def group_consecutive(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Group segments that follow one another without a gap; one with a pre-roll begins a group."""
    groups: list[list[Segment]] = []
    for segment in segments:
        if groups and groups[-1][-1].index + 1 == segment.index and not segment.pre_roll:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups
