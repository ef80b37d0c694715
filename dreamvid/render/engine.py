"""Render a video: plan it or resume it, render the missing segments, join them and publish the result."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Unpack

from dreamvid.errors import DreamvidError, Interrupted, OutputError, SettingsError
from dreamvid.render.animation_producer import AnimationProducer, with_format
from dreamvid.render.farm.finish import Finish
from dreamvid.render.farm.segment_renderer import SegmentRenderer
from dreamvid.render.job import Job, owns_output, published
from dreamvid.render.options import RenderKeywords, RenderOptions
from dreamvid.render.output import OutputTarget
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.preview import PartialVideo, Preview
from dreamvid.render.producer import FrameProducer
from dreamvid.render.progress import Progress, RenderResult
from dreamvid.render.start_image import StartImage
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.runtime.profiler import Profile, Roofline
from dreamvid.runtime.roofline import gradient_flop, measured_peak
from dreamvid.settings import DEFAULT_ZOOM_PRESET, Settings, as_settings
from dreamvid.settings.renamed import accept_old_arguments
from dreamvid.video.encode import StreamSpec
from dreamvid.video.source import open_for_render

if TYPE_CHECKING:
    from dreamvid.render.ray.pool import WorkerPool
    from dreamvid.render.ray.renderer import RayRender
    from dreamvid.video.source import Source

__all__ = ["Progress", "RenderResult", "render_video", "render_zoom"]

_log = logging.getLogger(__name__)


@accept_old_arguments(fresh="restart")
def render_video(
    source: str | Path,
    output: str | Path,
    settings: Settings | str | Path | None = None,
    **options: Unpack[RenderKeywords],
) -> RenderResult:
    """Dream a video.

    The work is kept in a folder `.<output name>.job` next to the output until it is done. Stopped at any moment, even
    by a power cut, the same call continues after the last finished segment, and its frames are those of an undisturbed
    render. Ctrl-C, SIGTERM or the host's `cancel` event let it finish the frame and write a playable
    `<stem>.partial<suffix>`; a second signal stops it at once. Once all frames are dreamed, `cancel` has no effect.

    Args:
        source: whatever `open_source` takes: a file, `lavfi:GRAPH`, images, `-`.
        output: its suffix decides the format. The recipe is written next to it as `<output name>.toml`.
        settings: from `load_settings`, or the name or file of a preset; None for the default one.
        options: the fields of `RenderOptions`: overwrite, restart, on_progress, cancel, preview_every_seconds, profile,
            trace, split_seconds, ray.

    Raises:
        SourceError, OutputError, NetworkError, ObjectiveError, DeviceError: before any work, or when one of them
            changes during the work.
        JobError: an unfinished render of this output has other settings, or is running.
        FfmpegError: decoding or encoding failed.
        Interrupted: it was stopped; the message says what is kept.
    """
    chosen = RenderOptions(**options)
    settings = as_settings(settings, kind="run")
    destination = OutputTarget.from_path(output, settings)
    opened = open_for_render(source, settings.video)
    _refuse_writing_to(opened.paths, destination)

    def open_producer() -> FrameProducer:
        return VideoProducer.from_source(opened, settings, split_seconds=chosen.split_seconds)

    return _render_anywhere(open_producer, opened, settings, destination, chosen)


@accept_old_arguments(fresh="restart")
def render_zoom(
    start: str | Path,
    output: str | Path,
    settings: Settings | str | Path | None = None,
    **options: Unpack[RenderKeywords],
) -> RenderResult:
    """Make a video from one image: the camera moves, and each frame is dreamed from the one before.

    start: an image, `noise`, or `VIDEO@TIME` (TIME in seconds, m:ss or h:mm:ss). settings: None for the default
    zoom preset. The rest, and what is raised, as in `render_video`; but it cannot be split, and on Ray one worker
    renders it.
    """
    chosen = RenderOptions(**options)
    if chosen.split_seconds is not None:
        raise SettingsError(
            "`split_seconds` is for videos: in an animation each frame is made from the one before, so that it cannot "
            "be split. Leave it out; several animations can be rendered at the same time."
        )
    settings = as_settings(settings, DEFAULT_ZOOM_PRESET)
    destination = OutputTarget.from_path(output, settings)
    start_image = StartImage.read(start, settings.video)
    _refuse_writing_to(start_image.paths, destination)
    settings = with_format(settings, start_image)

    def open_producer() -> FrameProducer:
        return AnimationProducer.from_start(start_image, settings)

    return _render_anywhere(open_producer, start_image, settings, destination, chosen)


def _render_anywhere(
    open_producer: Callable[[], FrameProducer],
    source: "Source | StartImage",
    settings: Settings,
    destination: OutputTarget,
    options: RenderOptions,
) -> RenderResult:
    """Render in this process, or on the workers of a Ray cluster if that was chosen."""
    if options.ray is None or options.ray is False:
        return _render(open_producer, settings, destination, options)
    from dreamvid.render.ray.pool import open_pool  # Ray takes seconds to load

    with open_pool(options.ray) as pool:
        return _render(open_producer, settings, destination, options, (pool, source))


def _render(
    open_producer: Callable[[], FrameProducer],
    settings: Settings,
    destination: OutputTarget,
    options: RenderOptions,
    on_pool: "tuple[WorkerPool, Source | StartImage] | None" = None,
) -> RenderResult:
    """Render in this process, or where a pool of workers is given, with its source, on these."""
    if destination.exists() and not options.overwrite and (options.restart or not owns_output(destination)):
        _remove_dead_job(destination)
        destination.refuse_overwriting()
    with StopRequest(options.cancel) as stop, translate_out_of_memory():
        try:
            with Job(destination) as job:
                if on_pool is None:
                    return _Render(settings, open_producer(), job, stop, options).run()
                from dreamvid.render.ray.renderer import RayRender

                pool, source = on_pool
                remote = RayRender(pool, source, settings, destination.sink, job, stop)
                try:
                    return _Render(settings, open_producer(), job, stop, options, remote).run()
                finally:
                    remote.release()
        except KeyboardInterrupt:
            raise Interrupted("Stopped. The same command continues with what is done.", stop.exit_code) from None


class _Render:
    """One render at work."""

    plan: Plan
    spec: StreamSpec
    segments: "SegmentRenderer | RayRender"

    def __init__(
        self,
        settings: Settings,
        producer: FrameProducer,
        job: Job,
        stop: StopRequest,
        options: RenderOptions,
        remote: "RayRender | None" = None,
    ) -> None:
        self.remote = remote
        self.settings, self.producer, self.job, self.stop, self.options = settings, producer, job, stop, options
        self.warnings: list[str] = []
        producer.stopwatch.spans = [] if options.trace is not None else None
        producer.stopwatch.device = producer.device if options.profile else None

    def run(self) -> RenderResult:
        """Plan or resume, render what is missing, join, publish."""
        self._prepare()
        self.warnings += self.producer.check(self.plan)
        self.spec = self.producer.spec(self.plan)
        joined = self.job.joined_warnings()
        unfinished = [] if joined is not None else self.job.unfinished(self.plan.segments)
        resumed_from = self.plan.count - sum(segment.shown for segment in unfinished)
        if unfinished:
            self.job.destination.sink.check(self.spec)
        for warning in self.job.warnings:
            self.warnings.append(warning)
            self._report(Progress("dream", resumed_from, self.plan.count, message=warning))
        self.segments = self._segment_renderer(resumed_from)
        if resumed_from:
            _log.info("resuming %s: %d of %d frames are done", self.job.folder, resumed_from, self.plan.count)
            message = f"Resuming: {resumed_from} of {self.plan.count} frames are done already."
            self._report(Progress("dream", resumed_from, self.plan.count, message=message))
        try:
            busy = self.producer.stopwatch.busy
            began = time.perf_counter() - busy.motion - busy.dream  # which a first frame that was dreamed ahead took
            if not self.stop.asked:
                self.segments.render(unfinished)
                self.warnings += self.segments.warnings
            if self.stop.asked and self.segments.done < self.plan.count:
                self._leave_partial()
            dreaming_seconds = time.perf_counter() - began
            self._report(Progress("join", self.segments.done, self.plan.count))
            with self.producer.stopwatch.work("join"):
                finish = self._finish()
                self.warnings += finish.join() if joined is None else joined
                finish.publish()
        except DreamvidError as error:
            if self.stop.may_have_caused(error):
                self._leave_partial()
            self._add_what_is_kept(error)
        except KeyboardInterrupt:
            raise Interrupted(f"Stopped at once. {self._kept()}", self.stop.exit_code) from None
        return RenderResult(
            self.job.destination.path,
            self.job.destination.recipe,
            self.plan.count,
            tuple(self.warnings),
            resumed_from,
            self._profile(unfinished, dreaming_seconds),
        )

    def _segment_renderer(self, done: int) -> "SegmentRenderer | RayRender":
        if self.remote is not None:
            self.remote.begin(self.plan, self._report, done)
            return self.remote
        every = self.options.preview_every_seconds
        unfinished = PartialVideo(self.job, self.plan, self.spec, self.producer.sound)
        return SegmentRenderer(
            self.producer,
            self.job,
            self.job.destination.sink,
            self.plan,
            self.spec,
            stop=self.stop,
            report=self._report,
            done=done,
            preview=None if every is None else Preview(unfinished, every),
        )

    # --- before the first frame

    def _prepare(self) -> None:
        """Resume the plan of an unfinished render, or make a new one."""
        destination, planning = self.job.destination, ExitStack()
        identity: Mapping[str, str]
        with planning:
            if self.remote is not None:
                identity = self.remote.identity(self._report)
            else:
                if self.options.restart or not self.job.begun:
                    self._check_cancelled()
                    planning.enter_context(self.producer.begin_planning())
                identity = self.producer.identity(destination.sink)
            complete = published(destination)
            # Where another render left nothing to lose, or nothing to do but to clean up, nobody has to be asked.
            if self.options.restart or (self.job.differs_from(identity) and (complete or not self.job.has_segments)):
                self.job.clear()
                if destination.exists() and not self.options.overwrite:
                    destination.refuse_overwriting()
            if self.job.begun:
                self.plan = self.job.resume(identity)
            else:
                self._check_cancelled()
                self.plan = self.producer.make_plan(self._report_planning)
                self.job.begin(identity, self.plan)

    def _report(self, progress: Progress) -> None:
        if self.options.on_progress is not None:
            self.options.on_progress(progress)

    def _report_planning(self, progress: Progress) -> None:
        self._report(progress)
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self.stop.asked:
            raise Interrupted("Stopped before the first frame.", self.stop.exit_code)

    # --- the end

    def _finish(self) -> Finish:
        producer = self.producer
        return Finish(
            self.job,
            self.plan,
            self.spec,
            producer.sound,
            self.settings,
            producer.kind,
            producer.provenance(),
            self.options.overwrite,
            partial(producer.source_frames, self.plan) if isinstance(producer, VideoProducer) else None,
        )

    def _profile(self, segments: Sequence[Segment], seconds: float) -> Profile:
        frames = sum(segment.count for segment in segments)
        dreamed = sum(map(self.plan.count_keyframes, segments))
        stopwatch, roofline = self.producer.stopwatch, None
        if self.options.trace is not None:
            try:
                stopwatch.write_trace(Path(self.options.trace).expanduser())
            except OSError as error:
                self.warnings.append(f"the trace could not be written to {self.options.trace}: {error.strerror}")
        if self.options.profile:
            gradient = self.producer.ascent.gradient
            flop = gradient_flop(gradient.network, gradient.evaluated)
            roofline = Roofline(flop, measured_peak(self.producer.device, gradient.dtype))
        return Profile(frames, dreamed, seconds, stopwatch.busy, dict(stopwatch.moved), roofline)

    # --- when it does not come to an end

    def _kept(self) -> str:
        kept = sum(segment.shown for segment in self.plan.segments if self.job.is_finished(segment))
        if not kept:
            return "No segment was finished yet; the same command begins again."
        return f"{kept} of {self.plan.count} frames are kept; the same command again continues from there."

    def _leave_partial(self) -> NoReturn:
        message = ""
        try:
            path = PartialVideo(self.job, self.plan, self.spec, self.producer.sound).write(self.segments.chunks)
            message = f" What is done so far can be watched: {path}." if path is not None else ""
        except DreamvidError as error:
            message = f" No video of what is done could be written: {error}."
        except KeyboardInterrupt:
            pass
        raise Interrupted(
            f"Stopped after {self.segments.done} of {self.plan.count} frames.{message} {self._kept()}",
            self.stop.exit_code,
        )

    def _add_what_is_kept(self, error: DreamvidError) -> NoReturn:
        if isinstance(error, Interrupted) or not any(map(self.job.is_finished, self.plan.segments)):
            raise error
        raise type(error)(f"{error} {self._kept()}") from error


def _remove_dead_job(destination: OutputTarget) -> None:
    """Remove what a render that was killed in its very last moment has left."""
    if destination.job_folder.is_dir():
        with suppress(DreamvidError), Job(destination):
            pass  # leaving it removes what holds no work


def _refuse_writing_to(paths: Sequence[Path], destination: OutputTarget) -> None:
    for path in paths:
        if destination.path.exists() and path.exists() and destination.path.samefile(path):
            raise OutputError(f"the output is the source itself: {path}. Give another `output`.")
