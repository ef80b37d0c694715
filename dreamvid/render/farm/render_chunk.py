"""Plan a render for a farm, render one chunk of it in this process, and join what is there."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dreamvid.errors import DreamvidError, Interrupted, JobError, OutputError
from dreamvid.render.farm.chunk import Chunk, chunks, chunks_of
from dreamvid.render.farm.finish import Finish
from dreamvid.render.farm.plan_file import PlanFile, source_for
from dreamvid.render.farm.segment_renderer import SegmentRenderer
from dreamvid.render.farm.segment_store import SegmentRecord, SegmentStore, disk_errors_as_output_errors
from dreamvid.render.fingerprint import diff_fingerprints
from dreamvid.render.job import Job, published
from dreamvid.render.output import OutputTarget
from dreamvid.render.progress import Progress
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime.device import translate_out_of_memory
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.settings import Settings
from dreamvid.video.source import open_for_render

_CONTENT = "the source's content"


@dataclass(frozen=True)
class ChunkReport:
    """What rendering a chunk has left: files with their records. done_before: nothing had to be rendered."""

    chunk: Chunk
    files: tuple[tuple[Path, SegmentRecord], ...]
    seconds: float
    done_before: bool


def plan_render(
    source: str | Path,
    path: str | Path,
    output: str,
    settings: Settings,
    *,
    split_seconds: float | None = None,
    overwrite: bool = False,
    restart: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> PlanFile:
    """Write the plan of a render to a file, and begin its job beside it.

    path: of the plan, a .json file. output: the result's name, in the plan's folder. split_seconds: longer shots are
    planned in pieces. overwrite: replace a plan that exists. restart: drop what is rendered already.

    Raises OutputError, SourceError, JobError for a job that was begun differently, and what `VideoProducer` raises.
    """
    file = Path(path).expanduser()
    _check_names(file, output, overwrite)
    destination = OutputTarget.from_path(file.parent / output, settings)
    opened = open_for_render(source, settings.video)
    text = source_for(opened, file.parent)
    if destination.exists() and not published(destination):
        raise OutputError(f"the result exists: {destination.path}. Give another `result`, or remove it.")
    with StopRequest() as stop, translate_out_of_memory(), Job(destination) as job:
        producer = VideoProducer.from_source(opened, settings, split_seconds=split_seconds)
        identity = producer.identity(destination.sink)
        if restart or (job.differs_from(identity) and not job.has_segments):
            job.clear()

        def tell(progress: Progress) -> None:
            report(progress)
            if stop.asked:
                raise Interrupted("Stopped before there was a plan.", stop.exit_code)

        plan = job.resume(identity) if job.begun else producer.make_plan(tell)
        producer.check(plan)
        destination.sink.check(producer.spec(plan))
        if not job.begun:
            job.begin(identity, plan)
        job.keep()
        planned = PlanFile(file, text, output, settings, identity, plan)
        with disk_errors_as_output_errors(file.parent):
            planned.write()
    return planned


def _check_names(file: Path, output: str, overwrite: bool) -> None:
    if file.suffix.lower() != ".json":
        raise OutputError(f"a plan is a .json file, got {file}. Give for example `output=plan.json`.")
    if not file.parent.is_dir():
        raise OutputError(
            f"the folder for the plan does not exist: {file.parent}. Make it first: mkdir -p {file.parent}"
        )
    if file.exists() and not overwrite:
        raise OutputError(f"the plan exists: {file}. Add `overwrite=True` to replace it, or give another `output`.")
    if Path(output).name != output or output.startswith(".") or "%" in output:
        raise OutputError(
            f"`result` got {output!r}: it is the name of one file in the folder of the plan, such as dream.mp4."
        )


def _store(planned: PlanFile) -> tuple[OutputTarget, SegmentStore]:
    destination = OutputTarget.from_path(planned.result, planned.settings)
    return destination, SegmentStore(destination.job_folder, destination.sink.segment_suffix)


def unfinished_chunks(planned: PlanFile) -> list[int]:
    """List the numbers of the chunks that are still to be rendered; none once the result is joined."""
    destination, store = _store(planned)
    if _joined(planned, destination):
        return []
    return [chunk.number for chunk in chunks_of(store.unfinished(planned.plan.segments), planned.plan)]


def _joined(planned: PlanFile, destination: OutputTarget) -> bool:
    """Tell if the result is there and is the plan's."""
    return destination.is_result_of(planned.settings, planned.kind, planned.identity.get(_CONTENT, ""))


def render_chunk(
    planned: PlanFile, number: int, *, report: Callable[[Progress], None] = lambda progress: None
) -> ChunkReport:
    """Render a chunk of a plan into the job's folder; what is finished there already stays.

    Raises JobError for a number that the plan does not have, and where this machine would render other frames: another
    version, kind of device or source. The rest as `render_video`.
    """
    all_chunks = chunks(planned.plan)
    if not 0 <= number < len(all_chunks):
        raise JobError(f"the plan has no segment {number}. Allowed is 0 to {len(all_chunks) - 1}.")
    chunk, began = all_chunks[number], time.monotonic()
    destination, store = _store(planned)
    if _joined(planned, destination):
        return ChunkReport(chunk, (), 0.0, True)
    with disk_errors_as_output_errors(store.folder):
        store.folder.mkdir(exist_ok=True)
    missing = store.unfinished(chunk.segments)
    if missing:
        with StopRequest() as stop, translate_out_of_memory():
            _render(planned, destination, store, replace(chunk, segments=tuple(missing)), stop, report)
    records = [(store.segment_path(segment), store.record(segment)) for segment in chunk.segments]
    files = tuple((path, record) for path, record in records if record is not None)
    return ChunkReport(chunk, files, time.monotonic() - began, not missing)


def _render(
    planned: PlanFile,
    destination: OutputTarget,
    store: SegmentStore,
    chunk: Chunk,
    stop: StopRequest,
    report: Callable[[Progress], None],
) -> None:
    producer = VideoProducer.from_source(planned.open_source(), planned.settings)
    refuse_differences(planned.identity, producer.identity(destination.sink))
    producer.check(planned.plan)

    def tell(progress: Progress) -> None:
        report(replace(progress, total=chunk.count, seconds_left=_left(progress, chunk.count)))

    renderer = SegmentRenderer(
        producer,
        store,
        destination.sink,
        planned.plan,
        producer.spec(planned.plan),
        stop=stop,
        report=tell,
        done=0,
    )
    ended = False
    try:
        renderer.render(chunk.segments)
    except KeyboardInterrupt:
        raise Interrupted("Stopped at once. The same command continues.", stop.exit_code) from None
    except DreamvidError as error:
        if not stop.may_have_caused(error):
            raise
        ended = True
    if ended or (stop.asked and renderer.done < chunk.count):
        raise Interrupted(
            f"Stopped after {renderer.done} of {chunk.count} frames. The same command continues after the last "
            "finished part.",
            stop.exit_code,
        )


def _left(progress: Progress, total: int) -> float | None:
    return (total - progress.done) / progress.fps if progress.fps else None


def refuse_differences(planned: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raise JobError where this machine would render other frames than those that were planned."""
    changed = diff_fingerprints(planned, here)
    if changed:
        raise JobError(
            f"this machine would render other frames than the plan's: {'; '.join(changed)}. Install the same versions, "
            "use the same kind of device, or make a new plan."
        )


def join_chunks(
    planned: PlanFile, *, overwrite: bool = False, report: Callable[[Progress], None] = lambda progress: None
) -> list[str]:
    """Check all segments of a plan and join them to the result; return warnings.

    It dreams nothing and needs no GPU. Raises JobError that names the segments which are missing or damaged, and
    another source; OutputError, FfmpegError.
    """
    destination, _ = _store(planned)
    if _joined(planned, destination):
        return [f"{destination.path} was joined before; nothing is left to do."]
    opened = planned.open_source()
    content = opened.fingerprint()
    if content != planned.identity.get(_CONTENT):
        raise JobError(f"{opened.text} is not the source of the plan: its content has changed.")
    with Job(destination) as job:
        job.adopt(planned.identity, planned.plan)
        done = job.joined_warnings()
        if done is None:
            _refuse_incomplete(planned, job, report)
        producer = VideoProducer.from_source(opened, planned.settings)
        finish = Finish(
            job,
            planned.plan,
            producer.spec(planned.plan),
            producer.sound,
            planned.settings,
            planned.kind,
            {"source": planned.source, "source_sha256": content},
            overwrite,
            partial(producer.source_frames, planned.plan),
        )
        report(Progress("join", planned.plan.count, planned.plan.count))
        devices = job.devices(planned.plan)
        warnings = finish.join() if done is None else done
        finish.publish()
    return [*warnings, *mixed_devices(devices)]


def mixed_devices(devices: Sequence[str]) -> list[str]:
    """Tell of segments that several kinds of devices have dreamed."""
    if len(devices) < 2:
        return []
    return [f"several kinds of devices have dreamed this ({', '.join(devices)}): shots may differ slightly in detail"]


def _refuse_incomplete(planned: PlanFile, job: Job, report: Callable[[Progress], None]) -> None:
    missing: list[int] = []
    damaged: list[int] = []
    for chunk in chunks(planned.plan):
        for segment in chunk.segments:
            if not job.is_whole(segment):
                (damaged if job.record(segment) else missing).append(chunk.number)
                with disk_errors_as_output_errors(job.folder):
                    job.forget(segment)
    if not missing and not damaged:
        return
    count = len(chunks(planned.plan))
    wrong = list(dict.fromkeys(sorted([*missing, *damaged])))
    listed = ", ".join(map(str, wrong[:20])) + (f" and {len(wrong) - 20} more" if len(wrong) > 20 else "")
    what = "missing or damaged" if damaged else "missing"
    raise JobError(
        f"{len(wrong)} of {count} segments are {what}: {listed}. Render them: dreamvid segment {planned.path} "
        f"{wrong[0]}{' (and so on)' if len(wrong) > 1 else ''}"
    )
