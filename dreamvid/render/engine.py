"""Rendering a film: what makes its frames, and the encoder, work at the same time.

    the film's own threads ──► this thread: dream ──► encoding thread ──► segments ──► join

Every arrow is a bounded queue. What goes wrong in a thread is raised in the caller's.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from torch import Tensor

from dreamvid.errors import DreamvidError, Interrupted, OutputError, SettingsError
from dreamvid.image.tensors import download
from dreamvid.render.animation_producer import AnimationProducer, with_format
from dreamvid.render.fingerprint import versions
from dreamvid.render.job import Job, disk_errors_as_output_errors, owns_output, published
from dreamvid.render.output import OutputTarget
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.preview import PartialVideo, Preview, PreviewChunk
from dreamvid.render.producer import FrameProducer
from dreamvid.render.progress import Progress, RenderResult, ThroughputMeter
from dreamvid.render.segment import _ENCODE_QUEUE, _contiguous, _EarlyEnd, _Image, _Message, _SegmentEnd
from dreamvid.render.start_image import StartImage
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.runtime.files import replace_atomically
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.runtime.profiler import Profile, Roofline
from dreamvid.runtime.queues import BoundedQueue, Closed, Worker
from dreamvid.runtime.roofline import gradient_flop, measured_peak
from dreamvid.settings import DEFAULT_ZOOM_PRESET, Recipe, Settings, load_settings
from dreamvid.video.decode import Pixels
from dreamvid.video.encode import SegmentWriter, StreamSpec
from dreamvid.video.mux import join_segments
from dreamvid.video.source import open_source

__all__ = ["Progress", "RenderResult", "render_video", "render_zoom"]


def render_video(
    source: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    preview_every_seconds: float | None = None,
    profile: bool = False,
    trace: str | Path | None = None,
) -> RenderResult:
    """Dream a film.

    The work is kept in a folder `.<output name>.job` beside the output until it is done. Stopped at any
    moment, even by a power cut, the same call goes on after the last finished segment, and its frames are
    those of an undisturbed render. Ctrl-C finishes the frame and leaves a playable `<stem>.partial<suffix>`;
    a second one stops at once.

    Args:
        source: whatever `open_source` takes: a file, `lavfi:GRAPH`, images, `-`. output: its suffix decides
        the format. The recipe is written beside it as `<output name>.toml`. settings: None for the default
        preset. overwrite: replace an output that exists. restart: begin again, whatever was done already.
        on_progress: called in this thread, once a frame. preview_every_seconds: keep `<stem>.partial<suffix>`
        and a still `<stem>.partial.png` fresh while rendering. profile: measure the device's peak too, for
        the result's `profile.roofline`, and wait for a GPU at the end of every stage. trace: file for when each
        stage worked, in Chrome's trace format.

    Raises:
        SourceError, OutputError, NetworkError, ObjectiveError, DeviceError: before any work, or when one of
        them
            changes under way. JobError: what was begun here is another render, or one is running.
        FfmpegError: decoding or encoding failed. Interrupted: Ctrl-C.
    """
    settings = load_settings() if settings is None else settings
    destination = OutputTarget.from_path(output, settings)
    opened = open_source(source)
    _refuse_writing_to(opened.paths, destination)
    return _render(
        lambda: VideoProducer.from_source(opened, settings),
        settings,
        destination,
        overwrite=overwrite,
        restart=restart,
        on_progress=on_progress,
        preview_every_seconds=preview_every_seconds,
        profile=profile,
        trace=None if trace is None else Path(trace),
    )


def render_zoom(
    start: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    restart: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    preview_every_seconds: float | None = None,
    profile: bool = False,
    trace: str | Path | None = None,
) -> RenderResult:
    """Make a film from one image: the camera moves, the dream goes on.

    start: an image, `noise`, or `VIDEO@TIME` (TIME in seconds, m:ss or h:mm:ss). settings: None for the default zoom
    preset. All else, and what is raised, as in `render_video`.
    """
    settings = load_settings(DEFAULT_ZOOM_PRESET) if settings is None else settings
    destination = OutputTarget.from_path(output, settings)
    beginning = StartImage.read(start)
    _refuse_writing_to(beginning.paths, destination)
    settings = with_format(settings, beginning)
    return _render(
        lambda: AnimationProducer.from_start(beginning, settings),
        settings,
        destination,
        overwrite=overwrite,
        restart=restart,
        on_progress=on_progress,
        preview_every_seconds=preview_every_seconds,
        profile=profile,
        trace=None if trace is None else Path(trace),
    )


def _render(
    open_film: Callable[[], FrameProducer],
    settings: Settings,
    destination: OutputTarget,
    *,
    overwrite: bool,
    restart: bool,
    on_progress: Callable[[Progress], None] | None,
    preview_every_seconds: float | None,
    profile: bool,
    trace: Path | None,
) -> RenderResult:
    if preview_every_seconds is not None and not preview_every_seconds > 0:
        raise SettingsError(
            f"a preview every {preview_every_seconds} seconds cannot be: allowed is a number above 0, such as 10."
        )
    if trace is not None and not trace.parent.is_dir():
        raise OutputError(
            f"the folder for the trace does not exist: {trace.parent}. Make it first: mkdir -p {trace.parent}"
        )
    if destination.exists() and not overwrite and (restart or not owns_output(destination)):
        _remove_dead_job(destination)
        destination.refuse_overwriting()
    with StopRequest() as stop, translate_out_of_memory():
        try:
            with Job(destination) as job:
                render = _Render(
                    settings=settings,
                    film=open_film(),
                    job=job,
                    stop=stop,
                    report=on_progress or (lambda progress: None),
                    overwrite=overwrite,
                    preview_every_seconds=preview_every_seconds,
                    profile=profile,
                    trace=trace,
                )
                return render.run(restart)
        except KeyboardInterrupt:
            raise Interrupted("Stopped. The same command again goes on with what is done.") from None


@dataclass
class _Render:
    """One render at work."""

    settings: Settings
    film: FrameProducer
    job: Job
    stop: StopRequest
    report: Callable[[Progress], None]
    overwrite: bool
    preview_every_seconds: float | None
    warnings: list[str] = field(default_factory=list)
    done: int = 0
    pieces: list[PreviewChunk] = field(default_factory=list)
    profile: bool = False
    trace: Path | None = None
    dreaming_seconds: float = 0.0
    _encoding_failure: BaseException | None = None

    plan: Plan = field(init=False)
    spec: StreamSpec = field(init=False)

    def run(self, restart: bool) -> RenderResult:
        """Plan or resume, dream what is missing, join."""
        destination = self.job.destination
        self.film.stopwatch.spans = [] if self.trace is not None else None
        self.film.stopwatch.device = self.film.device if self.profile else None
        identity = self.film.identity(destination.fmt)
        complete = published(destination)
        # Where another render left nothing to lose, or nothing to do but to clean up, nobody has to be asked.
        if restart or (self.job.differs_from(identity) and (complete or not self.job.has_segments)):
            self.job.clear()
            if destination.exists() and not self.overwrite:
                destination.refuse_overwriting()
        if self.job.begun:
            self.plan = self.job.resume(identity)
        else:
            self.plan = self.film.make_plan(self.report)
            self.job.begin(identity, self.plan)
        self.warnings += self.film.check(self.plan)
        self.spec = self.film.spec(self.plan)
        joined = self.job.joined_warnings()
        todo = [] if joined is not None else self.job.unfinished(self.plan)
        resumed_from = self.done = self.plan.count - sum(segment.count for segment in todo)
        if resumed_from:
            self._tell("dream", f"Going on: {resumed_from} of {self.plan.count} frames are done already.")
        try:
            began = time.perf_counter()
            if todo:
                self._dream(todo)
            self.dreaming_seconds = time.perf_counter() - began
            self._tell("join")
            with self.film.stopwatch.work("join"):
                self.warnings += self._join() if joined is None else joined
                self._publish()
        except DreamvidError as error:
            self._add_what_is_kept(error)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped at once. {self._kept()}") from None
        profile = self._profile(self.plan.count - resumed_from)
        return RenderResult(
            destination.path,
            destination.recipe,
            self.plan.count,
            tuple(self.warnings),
            resumed_from,
            profile,
        )

    def _profile(self, frames: int) -> Profile:
        stopwatch, gradient, roofline = self.film.stopwatch, self.film.ascent.gradient, None
        if self.trace is not None:
            try:
                stopwatch.write_trace(self.trace)
            except OSError as error:
                self.warnings.append(f"the trace could not be written to {self.trace}: {error.strerror}")
        if self.profile:
            flop = gradient_flop(gradient.network, gradient.evaluated)
            roofline = Roofline(flop, measured_peak(self.film.device, gradient.dtype))
        return Profile(frames, self.dreaming_seconds, stopwatch.busy, dict(stopwatch.moved), roofline)

    def _tell(self, stage: str, message: str = "") -> None:
        assert stage in ("dream", "join")
        self.report(Progress(stage, self.done, self.plan.count, message=message))  # type: ignore[arg-type]

    # --- dreaming

    def _dream(self, todo: Sequence[Segment]) -> None:
        self.stop.gently = True
        for run in _contiguous(todo):
            self._dream_run(run)
            if self.stop.asked:
                break
        self.stop.gently = False
        if self.stop.asked and self.done < self.plan.count:
            self._leave_partial()

    def _dream_run(self, run: Sequence[Segment]) -> None:
        """Dream segments that follow one another."""
        state = None if run[0].new_shot else self.job.load_state(run[0])
        dreamed: BoundedQueue[_Message] = BoundedQueue(_ENCODE_QUEUE)
        with ExitStack() as stack:
            # Left in the reverse order: the film's own threads end first, then the queue, then the encoding thread.
            stack.enter_context(Worker("encode", lambda: self._encode(dreamed)))
            stack.callback(dreamed.finish)  # also after a failure: what was sent may complete a segment
            images = stack.enter_context(self.film.dreams(run, self.plan, state))
            try:
                with translate_out_of_memory():
                    self._dream_frames(run, images, dreamed)
            except Closed:
                pass  # the encoding thread says why
            except KeyboardInterrupt:
                dreamed.close()
                raise
        if self._encoding_failure is not None:
            raise self._encoding_failure

    def _dream_frames(self, run: Sequence[Segment], images: Iterator[Tensor], dreamed: BoundedQueue[_Message]) -> None:
        dtype = np.uint8 if self.spec.bit_depth <= 8 else np.uint16
        stopwatch = self.film.stopwatch
        pace = ThroughputMeter(stopwatch.busy)
        for segment in run:
            dreamed.put(segment)
            for index in range(segment.start, segment.stop):
                image = next(images)
                with stopwatch.work("dream"):
                    pixels = download(image, dtype)
                stopwatch.add_bytes("dream", pixels.size)
                dreamed.put(_Image(index, pixels))
                self.done += 1
                message = "Finishing. Ctrl-C again stops at once." if self.stop.asked else ""
                self.report(pace.measure(self.done, self.plan.count, message))
                if self.stop.asked and index + 1 < segment.stop:
                    dreamed.put(_EarlyEnd())
                    return
            dreamed.put(_SegmentEnd(self._state_after(segment)))
            if self.stop.asked:
                return

    def _state_after(self, segment: Segment) -> dict[str, Tensor] | None:
        following = segment.index + 1
        if following == len(self.plan.segments) or self.plan.segments[following].new_shot:
            return None
        # A copy, as the dream goes on while it is written.
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.film.state().items()}

    # --- the encoding thread

    def _encode(self, dreamed: BoundedQueue[_Message]) -> None:
        writer: SegmentWriter | None = None
        segment: Segment | None = None
        film = PartialVideo(self.job, self.plan, self.spec, self.film.sound)
        every = self.preview_every_seconds
        preview = None if every is None else Preview(film, every)
        try:
            for message in dreamed:
                pixels = message.pixels.wait() if isinstance(message, _Image) else None
                with self.film.stopwatch.work("encode"), disk_errors_as_output_errors(self.job.folder):
                    if isinstance(message, Segment):
                        segment = message
                        path = self.job.segment_path(segment)
                        writer = SegmentWriter(path, self.spec, self.job.destination.fmt)
                    elif writer is None or segment is None:
                        raise AssertionError("a segment has to be opened first")
                    elif isinstance(message, _Image):
                        assert pixels is not None
                        writer.write(pixels, self.plan.pts[message.index - self.plan.start])
                        self.film.stopwatch.add_bytes("encode", pixels.nbytes)
                        if preview is not None:
                            preview = self._refresh(preview, message.index, pixels)
                    else:
                        count = writer.count
                        writer.close()
                        writer = None
                        if isinstance(message, _SegmentEnd):
                            self.job.finish_segment(segment, message.state)
                        else:
                            path = self.job.segment_path(segment)
                            self.pieces.append(PreviewChunk(path, segment.start, segment.start + count))
                        if preview is not None:
                            preview.forget_pieces()
        except BaseException as error:  # whatever it is, the dreaming thread has to see it
            self._encoding_failure = error
        finally:
            if writer is not None:
                writer.abort()
            if preview is not None:
                preview.forget_pieces()
            dreamed.close()

    def _refresh(self, preview: Preview, index: int, pixels: Pixels) -> Preview | None:
        """Show the latest; a preview that cannot be written is no reason to stop."""
        try:
            preview.add(index, pixels)
        except (DreamvidError, OSError) as error:
            preview.forget_pieces()
            self.warnings.append(f"the preview could not be written, so there was none from then on: {error}")
            return None
        return preview

    # --- the end

    def _join(self) -> list[str]:
        fmt, sound = self.job.destination.fmt, self.film.sound
        with disk_errors_as_output_errors(self.job.folder):
            warnings = join_segments(
                [self.job.segment_path(segment) for segment in self.plan.segments],
                self.job.joined,
                fmt,
                spec=self.spec,
                pts=[self.plan.segment_pts(segment) for segment in self.plan.segments],
                end_pts=self.plan.end_pts,
                source=None if sound is None else sound.source,
                info=None if sound is None else sound.info,
                trimmed=self.plan.trimmed,
            )
        self.job.record_joined(warnings)
        return warnings

    def _publish(self) -> None:
        """Give the result its name, write the recipe, and clear away the job."""
        destination = self.job.destination
        if not published(destination):
            if destination.exists() and not self.overwrite and not owns_output(destination):
                destination.refuse_overwriting()
            destination.replace_atomically(self.job.joined, self.plan.count)
            self.job.record_published()
        recipe = Recipe(self.settings, kind=self.film.kind, provenance=self._provenance())
        with disk_errors_as_output_errors(self.job.folder):
            part = self.job.folder / "recipe.toml"
            part.write_text(recipe.to_toml(), encoding="utf-8")
            replace_atomically(part, destination.recipe)
        self.job.remove()

    def _provenance(self) -> dict[str, str | int]:
        return {
            "output": self.job.destination.path.name,
            **self.film.provenance(),
            "frames": self.plan.count,
            "rate": str(self.plan.rate),
            "device": str(self.film.device),
            **{name.replace("-", "_"): text for name, text in versions().items()},
        }

    # --- when it does not come to an end

    def _kept(self) -> str:
        kept = sum(segment.count for segment in self.plan.segments if self.job.is_finished(segment))
        if not kept:
            return "No segment was finished yet; the same command begins anew."
        return f"{kept} of {self.plan.count} frames are kept; the same command again goes on from there."

    def _leave_partial(self) -> NoReturn:
        said = ""
        try:
            film = PartialVideo(self.job, self.plan, self.spec, self.film.sound).write(self.pieces)
            said = f" What is done so far can be watched: {film}." if film is not None else ""
        except DreamvidError as error:
            said = f" No film of what is done could be written: {error}."
        except KeyboardInterrupt:
            pass
        raise Interrupted(f"Stopped after {self.done} of {self.plan.count} frames.{said} {self._kept()}")

    def _add_what_is_kept(self, error: DreamvidError) -> NoReturn:
        if isinstance(error, Interrupted) or not any(map(self.job.is_finished, self.plan.segments)):
            raise error
        raise type(error)(f"{error} {self._kept()}") from error


def _remove_dead_job(destination: OutputTarget) -> None:
    """Clear away what a render that was killed in its very last moment has left."""
    if destination.job_folder.is_dir():
        with suppress(DreamvidError), Job(destination):
            pass  # leaving it removes what holds no work


def _refuse_writing_to(paths: Sequence[Path], destination: OutputTarget) -> None:
    for path in paths:
        if destination.path.exists() and path.exists() and destination.path.samefile(path):
            raise OutputError(f"the output is the source itself: {path}. Give another output with -o.")
