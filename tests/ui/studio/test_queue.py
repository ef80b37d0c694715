"""The queue is files: it survives a studio that ends in any way, and one broken film stops no other."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from renders import frames_of, tiny

from dreamvid.errors import InputError
from dreamvid.ui.studio.queue import QueuedRender, RenderQueue
from dreamvid.ui.studio.runner import QueueRunner, read_progress
from dreamvid.ui.studio.workspace import Workspace, WorkspaceError

PATIENCE = 120.0


@pytest.fixture
def queue(tmp_path: Path, film: Path) -> RenderQueue:
    workspace = Workspace.open(tmp_path / "studio")
    shutil.copy(film, workspace.root / "sources" / "film.mp4")
    return RenderQueue(workspace)


def until(true: Callable[[], object], queue: RenderQueue | None = None) -> None:
    """Wait; queue: whose jobs are shown if nothing happens."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        jobs = [] if queue is None else [job.status for job in queue.jobs()]
        assert time.monotonic() < deadline, f"nothing happens: {jobs}"
        time.sleep(0.05)


def states(queue: RenderQueue) -> dict[str, str]:
    return {job.id: job.status.state for job in queue.jobs()}


def test_jobs_are_files_in_order(queue: RenderQueue) -> None:
    first = queue.add("run", "sources/film.mp4", tiny(), preset="plants")
    second = queue.add("run", "sources/film.mp4", tiny(), preset="plants")
    third = queue.add("zoom", "noise", tiny())
    assert (first.output, second.output) == ("results/film-plants.mp4", "results/film-plants-2.mp4")
    queue.move(third.id, -2)
    reopened = RenderQueue(queue.workspace)
    assert [job.id for job in reopened.jobs()] == [third.id, first.id, second.id]
    queue.forget(first.id)
    assert [job.id for job in reopened.jobs()] == [third.id, second.id]
    assert not list((queue.workspace.root / "queue").glob(f"{first.id}*"))


def test_a_job_that_is_removed_leaves_nothing_but_a_finished_result(queue: RenderQueue) -> None:
    results = queue.workspace.root / "results"
    for state in ("cancelled", "failed", "paused", "done"):
        job = queue.add("run", "sources/film.mp4", tiny(), preset=state)
        stem = f"film-{state}"
        (results / f".{stem}.mp4.job").mkdir()
        for name in (f".{stem}.mp4.job/000000.mp4", f"{stem}.partial.mp4", f"{stem}.partial.png"):
            (results / name).write_bytes(b"x")
        if state == "done":
            queue.workspace.clear_unfinished(job.output)  # as the render itself does
            (results / f"{stem}.mp4").write_bytes(b"x")
        queue.set(job.id, state=state)
        queue.forget(job.id)
    assert [path.name for path in results.iterdir()] == ["film-done.mp4"]
    assert not list((queue.workspace.root / "queue").glob("*-film.*"))


def test_a_foreign_or_damaged_file_is_no_job(queue: RenderQueue) -> None:
    folder = queue.workspace.root / "queue"
    (folder / "0001-x.toml").write_text(
        'kind = "run"\n[provenance]\nsource = "/etc/passwd"\noutput = "results/x.mp4"\n'
    )
    (folder / "0002-x.toml").write_text("nonsense [")
    (folder / "0003-x.toml").write_text(
        'kind = "run"\n[provenance]\nsource = "sources/film.mp4"\noutput = "../../x.mp4"\n'
    )
    (folder / "0004-x.toml").symlink_to("/etc/passwd")
    assert all(job.status.state == "failed" for job in queue.jobs())
    job = queue.add("run", "sources/film.mp4", tiny())
    (folder / f"{job.id}.json").write_text("{")
    assert queue.get(job.id).status.state == "waiting"
    for id in ("../x", "0001", "", None, "0009-none", job.id + "/../" + job.id):
        with pytest.raises(WorkspaceError):
            queue.get(id)


def test_only_files_of_the_workspace_are_queued(queue: RenderQueue) -> None:
    for source in ("/etc/passwd", "noise", "lavfi:testsrc2", "sources/none.mp4", "sources/../sources/film.mp4"):
        with pytest.raises(WorkspaceError):
            queue.add("run", source, tiny())
    with pytest.raises(WorkspaceError):
        queue.add("run", "sources/film.mp4", tiny(), suffix=".exe")


def test_a_broken_film_stops_no_other(queue: RenderQueue, undisturbed: Path) -> None:
    (queue.workspace.root / "sources" / "broken.mp4").write_bytes(b"no film")
    good = queue.add("run", "sources/film.mp4", tiny(codec="ffv1"), suffix=".mkv")
    queue.add("run", "sources/broken.mp4", tiny())
    animation = queue.add("zoom", "noise", tiny(size="64x48", frames="0:3"))
    with QueueRunner(queue):
        until(lambda: not {"waiting", "running"} & set(states(queue).values()))
    assert sorted(states(queue).values()) == ["done", "done", "failed"]
    failed = next(job for job in queue.jobs() if job.status.state == "failed")
    assert "broken.mp4" in failed.status.message
    assert (queue.workspace.root / animation.output).is_file()
    assert (frames_of(queue.workspace.root / good.output) == frames_of(undisturbed)).all()
    progress = read_progress(queue.path(good, ".log"))
    assert (progress.stage, progress.share, progress.frame) == ("done", 1.0, 25)


def _slow(queue: RenderQueue) -> QueuedRender:
    return queue.add("run", "sources/film.mp4", tiny(codec="ffv1", iterations=6, cadence=1), suffix=".mkv")


def test_two_studios_cannot_have_one_workspace(queue: RenderQueue) -> None:
    with QueueRunner(queue), pytest.raises(InputError, match="another studio"):
        QueueRunner(queue)


def test_waiting_jobs_are_paused_cancelled_and_tried_again(queue: RenderQueue) -> None:
    job = _slow(queue)
    runner = QueueRunner(queue)  # not entered: nothing is started
    runner.pause(job.id)
    assert states(queue) == {job.id: "paused"}
    runner.cancel(job.id)
    assert states(queue) == {job.id: "cancelled"}
    with pytest.raises(WorkspaceError):
        runner.pause(job.id)
    queue.retry(job.id)
    assert states(queue) == {job.id: "waiting"}
    with pytest.raises(WorkspaceError):
        queue.retry(job.id)


@pytest.mark.skipif(sys.platform == "win32", reason="locks are not inherited there")
def test_a_render_outlives_its_studio_and_the_next_one_finds_it(queue: RenderQueue) -> None:
    job = queue.add("zoom", "noise", tiny(size="64x48", frames="0:2000", codec="ffv1"), suffix=".mkv")
    other = queue.add("zoom", "noise", tiny(size="64x48", frames="0:2"))
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as `dreamvid studio &` in a script, and so its renders
        "from dreamvid.ui.studio.queue import RenderQueue\n"
        "from dreamvid.ui.studio.runner import QueueRunner\n"
        "from dreamvid.ui.studio.workspace import Workspace\n"
        "with QueueRunner(RenderQueue(Workspace.open(sys.argv[1]))):\n"
        "    time.sleep(600)\n"
    )
    studio = subprocess.Popen([sys.executable, "-c", script, str(queue.workspace.root)])
    until(lambda: read_progress(queue.path(job, ".log")).frame > 2)
    studio.kill()
    studio.wait()
    before = queue.get(job.id).status
    assert before.state == "running"
    with QueueRunner(queue) as runner:
        frame = read_progress(queue.path(job, ".log")).frame
        until(lambda: read_progress(queue.path(job, ".log")).frame > frame)  # the same process goes on
        assert queue.get(job.id).status.pid == before.pid
        assert states(queue)[other.id] == "waiting"  # one at a time on a device
        runner.pause(job.id)
        until(lambda: queue.get(job.id).status.state == "paused", queue)
        until(lambda: queue.get(other.id).status.state == "done", queue)
    assert "Stopped after" in queue.get(job.id).status.message


@pytest.mark.skipif(sys.platform == "win32", reason="locks are not inherited there")
def test_a_job_that_died_with_the_machine_is_resumed(queue: RenderQueue, undisturbed: Path) -> None:
    job = queue.add("run", "sources/film.mp4", tiny(codec="ffv1"), suffix=".mkv")
    queue.set(job.id, state="running", pid=os.getpid())  # a pid that another process has now
    with QueueRunner(queue):
        until(lambda: queue.get(job.id).status.state == "done")
    assert (frames_of(queue.workspace.root / job.output) == frames_of(undisturbed)).all()
    assert signal.getsignal(signal.SIGINT) is not None
