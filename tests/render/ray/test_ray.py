"""Renders on a real Ray cluster of two nodes with one core each: the same frames, whatever is killed."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from renders import FRAMES, SEGMENTS, frames_of, names, segments_done, tiny

from dreamvid.errors import DreamvidError, Interrupted, SettingsError
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.render.progress import Progress
from dreamvid.render.ray.options import RayOptions
from dreamvid.render.ray.pool import WorkerPool
from dreamvid.settings import load_settings

SETTINGS = tiny(codec="ffv1")
needs_ray = pytest.mark.extra("ray")


def kill_workers(when: Callable[[Progress], bool], most: int) -> Callable[[Progress], None]:
    """Kill the processes of workers, at most so many, while it holds of the progress."""
    killed: set[int] = set()

    def look(progress: Progress) -> None:
        for worker in progress.workers:
            pid = int(worker.worker.rpartition(":")[2])
            if len(killed) < most and pid not in killed and when(progress):
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    return look


@needs_ray
def test_two_workers_give_the_frames_of_one_process(
    pool: WorkerPool, film: Path, tmp_path: Path, undisturbed: Path
) -> None:
    seen: set[str] = set()
    states: list[Progress] = []

    def look(progress: Progress) -> None:
        states.append(progress)
        seen.update(worker.worker for worker in progress.workers)

    while len(pool.ray.nodes()) < 2:
        time.sleep(0.1)
    result = render_video(film, tmp_path / "dream.mkv", SETTINGS, ray=pool, on_progress=look)
    assert (frames_of(result.output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]
    assert 1 <= len(seen) <= 2
    assert (states[-1].stage, states[-1].done, result.warnings) == ("join", FRAMES, ())
    assert 'device = "cpu"' in result.recipe.read_text()


@needs_ray
def test_a_killed_worker_costs_what_it_had_in_work(
    pool: WorkerPool, film: Path, tmp_path: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dream.mkv"
    look = kill_workers(lambda progress: segments_done(output) >= 1, 1)
    result = render_video(film, output, SETTINGS, ray=pool, on_progress=look)
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]
    assert any("tried again" in warning for warning in result.warnings)
    time.sleep(1)  # Ray's node reports the loss later
    assert capsys.readouterr().out == "", "a command lists its results there, and nothing else"


@needs_ray
def test_a_shot_that_kills_every_worker_is_named_and_the_others_are_finished(
    pool: WorkerPool, film: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dream.mkv"
    slow = tiny(codec="ffv1", iterations=40, warm_iterations=40)  # a shot is at work for longer than it takes to see it
    killed: set[int] = set()

    def poison(progress: Progress) -> None:
        for worker in progress.workers:
            pid = int(worker.worker.rpartition(":")[2])
            if worker.frames == "16:25" and pid not in killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(DreamvidError, match=r"could not be rendered: 16:25\. 3 attempts failed"):
        render_video(film, output, slow, ray=pool, on_progress=poison)
    assert len(killed) == 3
    assert segments_done(output) == 2
    result = render_video(film, output, slow)  # the same without Ray
    assert result.resumed_from == SEGMENTS[1][1]
    render_video(film, tmp_path / "whole.mkv", slow)
    assert (frames_of(output) == frames_of(tmp_path / "whole.mkv")).all()


@needs_ray
def test_a_cancel_keeps_what_is_done_and_a_plain_render_goes_on(
    pool: WorkerPool, film: Path, tmp_path: Path, undisturbed: Path
) -> None:
    output, cancel = tmp_path / "dream.mkv", threading.Event()

    def look(progress: Progress) -> None:
        if segments_done(output) >= 1:
            cancel.set()

    with pytest.raises(Interrupted, match="frames are kept"):
        render_video(film, output, SETTINGS, ray=pool, cancel=cancel, on_progress=look)
    kept = segments_done(output)
    assert 1 <= kept <= 3
    result = render_video(film, output, SETTINGS)
    assert result.resumed_from > 0
    assert (frames_of(output) == frames_of(undisturbed)).all()


@needs_ray
def test_a_lost_node_is_made_up_for(
    cluster: Any, pool: WorkerPool, film: Path, tmp_path: Path, undisturbed: Path
) -> None:
    node = cluster.add_node(num_cpus=1)
    lost = threading.Event()

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done >= 2 and not lost.is_set():
            lost.set()
            cluster.remove_node(node, allow_graceful=False)

    result = render_video(film, tmp_path / "dream.mkv", SETTINGS, ray=pool, on_progress=look)
    assert lost.is_set()
    assert (frames_of(result.output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


@needs_ray
def test_animations_go_on_where_a_worker_was_killed(pool: WorkerPool, tmp_path: Path) -> None:
    """Each is a chain of frames, so one worker renders it at a time."""
    settings = load_settings(
        "slow-bloom", octaves=2, iterations=4, size="64x48", fps="2", frames="0:60", codec="ffv1", device="cpu"
    )
    whole = render_zoom("noise", tmp_path / "whole.mkv", settings)
    output = tmp_path / "zoom.mkv"
    look = kill_workers(lambda progress: segments_done(output) >= 1, 1)
    result = render_zoom("noise", output, settings, ray=pool, on_progress=look)
    assert any("tried again" in warning for warning in result.warnings)
    assert (frames_of(output) == frames_of(whole.output)).all()
    assert 'kind = "zoom"' in result.recipe.read_text()


def _drive(film: str, output: str, address: str) -> None:
    render_video(film, output, SETTINGS, ray=address)


@needs_ray
def test_a_killed_driver_is_started_again(
    cluster: Any, pool: WorkerPool, film: Path, tmp_path: Path, undisturbed: Path
) -> None:
    output = tmp_path / "dream.mkv"
    while workers := pool.take(2):  # they would keep the cores of the cluster from the other driver
        for worker in workers:
            pool.drop(worker)
    process = multiprocessing.get_context("spawn").Process(
        target=_drive, args=(str(film), str(output), cluster.address)
    )
    process.start()
    while segments_done(output) < 1 and process.is_alive():
        process.join(0.02)
    process.kill()
    process.join()
    result = render_video(film, output, SETTINGS)
    assert result.resumed_from > 0
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_without_ray_it_is_told_how_to_get_it(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"pip install 'dreamvid\[ray\]'"):
        render_video(film, tmp_path / "dream.mkv", SETTINGS, ray="local")
    assert names(tmp_path) == []


def test_an_animation_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"each frame is made from the one before"):
        render_zoom("noise", tmp_path / "zoom.mkv", split_seconds=10)


@pytest.mark.parametrize("address", ["a.mp4", "http://x", "10.0.0.5", "x:y"])
def test_an_address_is_told_from_a_source(address: str, film: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="HOST:PORT"):
        render_video(film, tmp_path / "dream.mkv", SETTINGS, ray=address)


@pytest.mark.parametrize("given", [{"gpus_per_worker": 0}, {"cpus_per_worker": 1.5}, {"gpus_per_worker": float("nan")}])
def test_sizes_of_workers_are_checked(given: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given))):
        RayOptions(**given)


@pytest.mark.parametrize("name", ["profile", "trace", "preview_every_seconds"])
def test_what_needs_one_process_is_refused(name: str, film: Path, tmp_path: Path) -> None:
    value = {"profile": True, "trace": tmp_path / "t.json", "preview_every_seconds": 5}[name]
    with pytest.raises(SettingsError, match=f"`{name}`.*one process"):
        render_video(film, tmp_path / "dream.mkv", SETTINGS, ray="local", **{name: value})
