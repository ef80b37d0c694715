"""Machines of a real Ray cluster that have too little memory or disk: other workers go on, and nothing is lost."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from renders import frames_of, names, tiny

from dreamvid.errors import OutputError
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.render.ray.pool import PooledWorker, WorkerPool

pytestmark = [
    pytest.mark.extra("ray"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc, limits processes"),
]
SLOW = tiny(codec="ffv1", iterations=30, warm_iterations=30)  # a shot is at work for seconds


@pytest.fixture(scope="session")
def slow(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film under `SLOW` as one process renders it."""
    return render_video(film, tmp_path_factory.mktemp("slow") / "whole.mkv", SLOW).output


def pid_of(name: str) -> int:
    return int(name.rpartition(":")[2])


def alive(pid: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@contextmanager
def two_workers(pool: WorkerPool, node: str) -> Iterator[PooledWorker]:
    """Leave two workers to a render, one of them on this node, which is given."""
    taken: list[PooledWorker] = []
    deadline = time.monotonic() + 60
    while not any(worker.node == node for worker in taken) or len(taken) < 2:
        assert time.monotonic() < deadline, "no worker came up on the node"
        taken += pool.take(9)
        time.sleep(0.1)
    here = next(worker for worker in taken if worker.node == node)
    there = next(worker for worker in taken if worker.node != node)
    pool.give(here)
    pool.give(there)
    yield here
    for worker in taken:
        if worker not in (here, there):
            pool.give(worker)


def end_encoder(of: int) -> bool:
    """Kill the ffmpeg to which a process sends frames; wait for it to start."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(OSError):  # threads and processes come and go
            for task in Path(f"/proc/{of}/task").iterdir():
                for child in (task / "children").read_text().split():
                    if "pipe:0" in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
                        os.kill(int(child), signal.SIGKILL)
                        return True
        time.sleep(0.005)
    return False


def test_shots_that_failed_on_all_workers_are_tried_once_more(
    pool: WorkerPool, film: Path, slow: Path, tmp_path: Path
) -> None:
    """The kernel ends the largest program, which may be an encoder: its worker lives."""
    met: set[tuple[str, str]] = set()

    def look(progress: Progress) -> None:
        for worker in progress.workers:
            if (worker.worker, worker.frames) not in met and len(met) < 4 and end_encoder(pid_of(worker.worker)):
                met.add((worker.worker, worker.frames))

    while len(pool.ray.nodes()) < 2:
        time.sleep(0.1)
    result = render_video(film, tmp_path / "dream.mkv", SLOW, ray=pool, on_progress=look)
    assert len(met) == 4, "two shots on two workers"
    assert sum("signal 9" in warning and "tried again" in warning for warning in result.warnings) == 4
    assert (frames_of(result.output) == frames_of(slow)).all()


def use_memory(while_alive: int) -> None:
    """Hold more and more memory, up to 5 GiB, until a process has ended."""
    held: list[int] = []
    while alive(while_alive) and len(held) < 20:
        held.append(os.memfd_create("ballast"))
        os.posix_fallocate(held[-1], 0, 2**28)
        time.sleep(0.1)
    for file in held:
        os.close(file)


def memory_is_limited(total: int) -> bool:
    """Tell if a container has less memory than its machine."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such file, or "max"
            if int(Path(path).read_text()) < total:
                return True
    return False


def test_a_worker_that_ray_ends_for_memory_is_made_up_for(
    cluster: Any, pool: WorkerPool, film: Path, slow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    memory = psutil.virtual_memory()
    if memory.available < 8 * 2**30 or memory_is_limited(memory.total):
        pytest.skip("takes up to 5 GiB of the machine's memory")
    share = (memory.total - memory.available + 2.5 * 2**30) / memory.total
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{share:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    node = cluster.add_node(num_cpus=1)  # whose monitor ends workers when 2.5 GiB more are used than now
    ended: list[int] = []

    def look(progress: Progress) -> None:
        for worker in progress.workers:
            if worker.worker == here.name and not ended:
                ended.append(pid_of(here.name))
                os.kill(ended[0], signal.SIGSTOP)  # it must not be done before Ray sees how much memory is used
                use_memory(ended[0])

    try:
        with two_workers(pool, node.node_id) as here:
            result = render_video(film, tmp_path / "dream.mkv", SLOW, ray=pool, on_progress=look)
    finally:
        cluster.remove_node(node)
    assert ended
    assert not alive(ended[0])
    (warning,) = result.warnings
    assert re.search(rf":{ended[0]} and are tried again: it was lost \(Ray ended it, as .* low on memory", warning)
    assert (frames_of(result.output) == frames_of(slow)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


# A node that does not see the folder of the output, and whose disk is small.
APART = """
mount -t tmpfs -o size=1m tmpfs "$1" && cd / && export TMPDIR="$2" && shift 2 && exec "$@"
"""


def end_all_apart(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all others that see the same mounted disks."""
    apart = Path(f"/proc/{process.pid}/ns/mnt").readlink()
    for other in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (other / "ns/mnt").readlink() == apart != Path("/proc/self/ns/mnt").readlink():
                os.kill(int(other.name), signal.SIGKILL)
    process.wait(20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_worker_whose_disk_is_full_is_left_out(
    cluster: Any, pool: WorkerPool, film: Path, slow: Path, small_disk: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    before = {node["NodeID"] for node in pool.ray.nodes()}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--address={cluster.address}"]
    sizes = ["--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"]
    script = ["unshare", "--mount", "sh", "-c", APART, "sh", str(output), str(small_disk)]
    process = subprocess.Popen([*script, *ray, *sizes], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (new := {node["NodeID"] for node in pool.ray.nodes() if node["Alive"]} - before):
            assert process.poll() is None
            time.sleep(0.1)
        with two_workers(pool, min(new)) as here:
            result = render_video(film, output / "dream.mkv", SLOW, ray=pool)
    finally:
        end_all_apart(process)
    (warning,) = result.warnings
    assert warning.startswith(f"the worker {here.name} is left out: the disk is full")
    assert f"MiB in {small_disk}, 0.0 are free. Start Ray there with TMPDIR=FOLDER" in warning
    assert (frames_of(result.output) == frames_of(slow)).all()
    assert (names(output), names(small_disk)) == (["dream.mkv", "dream.mkv.toml"], [])


def test_a_full_disk_of_the_job_itself_stops_the_render(
    pool: WorkerPool, film: Path, small_disk: Path, undisturbed: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=96k", str(small_disk)], check=True)
    output = small_disk / "dream.mkv"
    with pytest.raises(OutputError, match=r"disk is full.*run the same command again"):
        render_video(film, output, tiny(codec="ffv1"), ray=pool)
    assert not output.exists()
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    render_video(film, output, tiny(codec="ffv1"))
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(small_disk) == ["dream.mkv", "dream.mkv.toml"]
