"""A worker without any engine: with a shared folder, and with everything sent as bytes."""

from dataclasses import replace
from pathlib import Path

import pytest
from renders import FRAMES, frames_of, full_device, tiny

from dreamvid.render.engine import render_video
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.farm.worker import SHARED, ChunkFailed, FilmWorker, FramesDone, SegmentDone, Warned, Work
from dreamvid.render.job import Job
from dreamvid.render.output import OutputTarget
from dreamvid.render.plan import Plan
from dreamvid.render.video_producer import VideoProducer
from dreamvid.video.source import open_source

SETTINGS = tiny(codec="ffv1")


@pytest.fixture
def destination(tmp_path: Path) -> OutputTarget:
    return OutputTarget.from_path(tmp_path / "dream.mkv", SETTINGS)


def work_of(film: Path, destination: OutputTarget) -> Work:
    source = open_source(film)
    return Work(source, source.fingerprint(), SETTINGS, destination.sink, destination.job_folder, "token")


def begin(job: Job, work: Work) -> Plan:
    producer = VideoProducer.from_source(work.source, SETTINGS)
    plan = producer.make_plan(lambda progress: None)
    job.begin(producer.identity(work.sink), plan)
    return plan


def test_segments_go_to_a_folder_that_both_see(
    film: Path, destination: OutputTarget, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    work, worker = work_of(film, destination), FilmWorker()
    with Job(destination) as job:
        plan = begin(job, work)
        (job.folder / SHARED).write_text("token")
        opened = worker.open(work)
        assert (opened.shared, opened.lacks_source, opened.error) == (True, False, "")
        assert job.resume(opened.identity) == plan
        for chunk in reversed(chunks(plan)):
            events = list(worker.render("token", plan, chunk, None))
            done = [event for event in events if isinstance(event, SegmentDone)]
            assert [event.index for event in done] == [segment.index for segment in chunk.segments]
            assert all(event.content is None and event.state is None for event in done)
            assert events[-1] == FramesDone(chunk.count, 0.0)
        assert job.unfinished(plan.segments) == []
    assert list((tmp_path / "temporary").glob("dreamvid-worker-*")) == [], "a killed worker would leave it behind"
    worker.close()
    result = render_video(film, destination.path, SETTINGS)
    assert result.resumed_from == FRAMES
    assert (frames_of(result.output) == frames_of(undisturbed)).all()


def test_without_a_shared_folder_source_segments_and_states_travel(
    film: Path, destination: OutputTarget, undisturbed: Path, tmp_path: Path
) -> None:
    """Also what a second worker does that goes on in the middle of a shot."""
    work = work_of(film, destination)
    there = replace(work, source=replace(work.source, paths=(tmp_path / "not here" / "film.mp4",)))
    content, half = film.read_bytes(), film.stat().st_size // 2
    with Job(destination) as job:
        plan = begin(job, work)
        shot = chunks(plan)[0]
        state: bytes | None = None
        for segments in ([shot.segments[0]], [shot.segments[1]], list(chunks(plan)[1].segments)):
            worker = FilmWorker()
            opened = worker.open(there)
            assert (opened.shared, opened.lacks_source) == (False, True)
            worker.receive(0, 0, content[:half])
            assert worker.open(there).lacks_source, "half of it is not the source"
            worker.receive(0, half, content[half:])
            assert worker.open(there).error == ""
            chunk = replace(shot, segments=tuple(segments))
            before = state if segments[0].index == 1 else None
            (done,) = [event for event in worker.render("token", plan, chunk, before) if isinstance(event, SegmentDone)]
            worker.close()
            state = done.state
            assert done.content is not None
            damaged = bytes([done.content[0] ^ 1]) + done.content[1:]
            assert not job.take_in(segments[0], done.record, damaged, state)
            assert not job.is_finished(segments[0])
            assert job.take_in(segments[0], done.record, done.content, state)
        assert job.unfinished(plan.segments) == []
    result = render_video(film, destination.path, SETTINGS)
    assert result.resumed_from == FRAMES
    assert (frames_of(result.output) == frames_of(undisturbed)).all()


def test_a_worker_says_why_it_cannot_render_and_goes_on(film: Path, destination: OutputTarget) -> None:
    work, worker = work_of(film, destination), FilmWorker()
    wrong = worker.open(replace(work, settings=tiny(codec="ffv1", objective="no.such.layer")))
    assert "no.such.layer" in wrong.error
    with Job(destination) as job:
        plan = begin(job, work)
        assert worker.open(work).error == ""
        longer = replace(plan, segments=(*plan.segments[:-1], replace(plan.segments[-1], stop=99)), pts=(*range(99),))
        last = chunks(longer)[-1]
        (failed,) = [event for event in worker.render("token", longer, last, None) if isinstance(event, ChunkFailed)]
        assert "ended before frame" in failed.message
        assert any(isinstance(event, SegmentDone) for event in worker.render("token", plan, chunks(plan)[-1], None))
    worker.close()


def test_a_worker_tells_of_a_lack_of_memory(film: Path, destination: OutputTarget) -> None:
    work, worker = work_of(film, destination), FilmWorker()
    large = replace(work, settings=tiny(codec="ffv1", size="512x384", dream_height=384, octaves=1, iterations=1))
    with Job(destination) as job:
        plan = begin(job, work)
        short = replace(chunks(plan)[0], segments=chunks(plan)[0].segments[:1])
        worker.open(large)
        with full_device(400 * 400):
            warned = [event.message for event in worker.render("token", plan, short, None) if isinstance(event, Warned)]
        with full_device(10):
            (failed,) = [event for event in worker.render("token", plan, short, None) if isinstance(event, ChunkFailed)]
    worker.close()
    assert warned == ["Out of memory on cpu: going on with tiles of 256 pixels (`tile=256`)."]
    assert failed.lack == "memory"
    assert "Out of memory" in failed.message


def test_a_stop_ends_a_chunk_after_its_frame(film: Path, destination: OutputTarget) -> None:
    work, worker = work_of(film, destination), FilmWorker()
    with Job(destination) as job:
        plan = begin(job, work)
        worker.open(work)
        count = 0
        for event in worker.render("token", plan, chunks(plan)[0], None):
            worker.stop()
            count = event.count if isinstance(event, FramesDone) else count
        assert 0 < count < chunks(plan)[0].count
    worker.close()
