"""Check the bars of renders on several workers: the same frames, the time, what kills cost, seams, batches.

    python -m benchmarks.scale [--quick] [--only speed,kills,seams,batch] [--clips FOLDER] [--kills 20] [--seed 0]

Needs `pip install 'dreamvid[ray]'` and two free CPU cores; everything runs with one thread for each worker. Without
--quick it takes about 15 minutes, with it about 4. --clips: a folder with highway.mp4 and mallard.mp4, for the seams;
without it they are skipped and told. Writes a table, and exits with 1 if a bar is missed.
"""

import argparse
import math
import multiprocessing
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_worker_niceness", "0")

import numpy as np

from dreamvid import load_settings, tune_process
from dreamvid.errors import DreamvidError
from dreamvid.render.engine import render_video
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.plan import make_plan
from dreamvid.render.progress import Progress
from dreamvid.render.ray.options import RayOptions
from dreamvid.render.ray.pool import WorkerPool
from dreamvid.settings import Settings
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

SHOTS = ("hue=h=0", "negate", "hue=h=90,eq=brightness=-0.3", "vflip,hue=s=0", "hue=h=180", "negate,hflip,hue=h=60")
RATE = 12
Row = tuple[str, str, str, bool]


def make_film(path: Path, shots: int, seconds: float, size: str) -> Path:
    """Make a film of shots that nobody could take for one."""
    parts, names = [], []
    for number in range(shots):
        source = ("testsrc2=", "mandelbrot=end_pts=40:")[number % 2]
        look = f"trim=duration={seconds},setpts=PTS-STARTPTS,{SHOTS[number % len(SHOTS)]}"
        parts.append(f"{source}size={size}:rate={RATE},{look},format=yuv420p[s{number}]")
        names.append(f"[s{number}]")
    graph = ";".join(parts) + f";{''.join(names)}concat=n={shots}[v]"
    output = ["-map", "[v]", "-c:v", "libx264", "-crf", "12", f"file:{path}"]
    run_ffmpeg(["-filter_complex", graph, *output], "making a film")
    return path


def small(**chosen: object) -> Settings:
    """Take the default look at a size that a slow machine renders in seconds."""
    return load_settings(None, dream_height=96, octaves=2, iterations=4, device="cpu", codec="ffv1", **chosen)


def frames_of(path: Path) -> np.ndarray:
    source = open_source(path)
    with FrameReader(source, probe(source)) as reader:
        return np.stack([frame.pixels for frame in reader])


def same(one: Path, other: Path) -> bool:
    first, second = frames_of(one), frames_of(other)
    return first.shape == second.shape and bool((first == second).all())


def start_cluster() -> Any:
    from ray.cluster_utils import Cluster

    return Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def warm(pool: WorkerPool, count: int) -> None:
    """Wait until so many workers are up."""
    while len(taken := pool.take(count)) < count:
        for worker in taken:
            pool.give(worker)
        time.sleep(0.1)
    for worker in taken:
        pool.give(worker)


def pin(pool: WorkerPool) -> None:
    """Give each worker, with the programs that it starts, a core of its own, as on a machine that has only one."""
    taken = pool.take(2)
    for number, worker in enumerate(sorted(taken, key=lambda worker: worker.node)):
        _, process = pool.ray.get(worker.actor.ping.remote())
        keep_on(process, {sorted(os.sched_getaffinity(0))[number % (os.cpu_count() or 1)]})
        pool.give(worker)


def keep_on(process: int, cores: set[int]) -> None:
    """Let a process, with the programs that it starts from now on, run on some cores only."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def speed(folder: Path, quick: bool) -> list[Row]:
    """Two workers against one, and one against no Ray at all."""
    film = make_film(folder / "shots.mp4", 8, 1.5 if quick else 4, "256x144")
    settings = small()
    source = open_source(film)
    found = len(chunks(make_plan(source, probe(source), settings)))
    render_video(film, folder / "warm-up.mkv", small(frames="0:3"))
    cores = os.sched_getaffinity(0)
    keep_on(os.getpid(), {min(cores)})  # a core, as each worker has
    plain = timed(lambda: render_video(film, folder / "plain.mkv", settings))
    keep_on(os.getpid(), cores)
    cluster = start_cluster()
    try:
        with WorkerPool(RayOptions(address=cluster.address)) as pool:
            warm(pool, 1)
            pin(pool)
            render_video(film, folder / "w1.mkv", small(frames="0:3"), ray=pool)
            one = timed(lambda: render_video(film, folder / "one.mkv", settings, ray=pool))
            cluster.add_node(num_cpus=1)
            warm(pool, 2)
            pin(pool)
            render_video(film, folder / "w2.mkv", settings, ray=pool)  # both load the network
            two = timed(lambda: render_video(film, folder / "two.mkv", settings, ray=pool))
    finally:
        cluster.shutdown()
    alike = same(folder / "plain.mkv", folder / "one.mkv") and same(folder / "plain.mkv", folder / "two.mkv")
    return [
        ("shots found in the film", "8", str(found), found == 8),
        ("frames of one and of two workers are those of one process", "identical", str(alike), alike),
        ("time of two workers / of one", "≤ 0.62", f"{two / one:.2f} ({two:.1f} s / {one:.1f} s)", two / one <= 0.62),
        (
            "time of one worker / of a plain run",
            "≤ 1.05",
            f"{one / plain:.2f} (plain {plain:.1f} s)",
            one / plain <= 1.05,
        ),
    ]


def drive(film: str, output: str, address: str, seed: int, after: float) -> None:
    """Render on a cluster, in a process of its own that can be killed. after: kill a worker then; inf: none."""
    tune_process()
    rng = random.Random(seed)
    due = time.monotonic() + after

    def look(progress: Progress) -> None:
        nonlocal due
        if progress.workers and time.monotonic() > due:
            due = math.inf
            victim = rng.choice(progress.workers)
            with suppress(OSError):
                os.kill(int(victim.worker.rpartition(":")[2]), signal.SIGKILL)
                with Path(output).with_name("workers-killed").open("a") as file:
                    file.write("x")

    with suppress(DreamvidError):
        render_video(film, output, small(), ray=address, on_progress=look)


def kills(folder: Path, count: int, seed: int) -> list[Row]:
    """Kill workers, nodes and the driver at random moments, and start the same render again until it is done."""
    film = make_film(folder / "kills.mp4", 6, 1.5, "192x108")
    render_video(film, folder / "undisturbed.mkv", small())
    rng = random.Random(seed)
    cluster = start_cluster()
    node = cluster.add_node(num_cpus=1)
    done = {"worker": 0, "node": 0, "driver": 0}
    renders = lost = 0
    context = multiprocessing.get_context("spawn")

    def start(output: Path, after: float) -> Any:
        arguments = (str(film), str(output), cluster.address, rng.randrange(10_000), after)
        process = context.Process(target=drive, args=arguments)
        process.start()
        return process

    try:
        seconds = timed(lambda: start(folder / "length.mkv", math.inf).join())
        while sum(done.values()) < count:
            output = folder / f"killed-{renders}.mkv"
            renders += 1
            for _attempt in range(12):
                kind = ("worker", "node", "driver")[sum(done.values()) % 3] if sum(done.values()) < count else "none"
                moment = rng.uniform(0, seconds)
                process = start(output, moment if kind == "worker" else math.inf)
                if kind in ("node", "driver"):
                    process.join(moment)
                    if process.is_alive():
                        done[kind] += 1
                        if kind == "driver":
                            process.kill()
                        else:
                            cluster.remove_node(node, allow_graceful=False)
                            node = cluster.add_node(num_cpus=1)
                process.join(300)
                if process.is_alive():
                    process.kill()
                    process.join()
                with suppress(OSError):
                    done["worker"] = len((folder / "workers-killed").read_text())
                if output.exists() and not output.with_name(f".{output.name}.job").exists():
                    break
            left = {path.name for path in folder.glob(f"*{output.stem}*")} - {output.name, f"{output.name}.toml"}
            if not output.exists() or left or not same(folder / "undisturbed.mkv", output):
                lost += 1
            print(f"  {dict(done)} after {renders} renders, {lost} lost", file=sys.stderr, flush=True)
    finally:
        cluster.shutdown()
    told = ", ".join(f"{number} {kind}s" for kind, number in done.items())
    return [(f"kills ({told}) in {renders} renders: frames lost or files left", "0", str(lost), lost == 0)]


def seams(folder: Path, quick: bool, clips: Path | None) -> list[Row]:
    """Split a shot of a real clip, and look at its seam."""
    rows: list[Row] = []
    for name in ("highway", "mallard"):
        clip = None if clips is None else clips / f"{name}.mp4"
        if clip is None or not clip.exists():
            print(f"  {name}: skipped, give --clips FOLDER", file=sys.stderr)
            continue
        size = {"size": "192x108", "dream_height": 108} if quick else {"size": "320x180", "dream_height": 180}
        settings = load_settings(None, **size, octaves=3, codec="ffv1", device="cpu", frames="0:200")
        whole, split = folder / f"{name}-whole.mkv", folder / f"{name}-split.mkv"
        render_video(clip, whole, settings)
        render_video(clip, split, settings, split_seconds=4)
        rows += seam_rows(name, whole, split, clip, settings)
    return rows


def seam_rows(name: str, whole_path: Path, split_path: Path, clip: Path, settings: Settings) -> list[Row]:
    source = open_source(clip)
    info = probe(source)
    whole, split = frames_of(whole_path).astype(np.float32), frames_of(split_path).astype(np.float32)
    with FrameReader(source, info, stop=len(whole), size=settings.video.size_pixels()) as reader:
        bare = np.stack([frame.pixels for frame in reader]).astype(np.float32)
    first = int(np.argmax(np.abs(whole - split).mean((1, 2, 3)) > 0))
    around = slice(first - 1, first + round(float(info.frame_rate)) + 1)

    def change(frames: np.ndarray) -> np.ndarray:
        return np.asarray(np.abs(np.diff(frames, axis=0)).mean((1, 2, 3)))

    def strength(frames: np.ndarray) -> float:
        return float(np.sqrt(((frames[around] - bare[around]) ** 2).mean()))

    measured = float(change(split)[around].max() / np.median(change(split)))
    usual = float(change(whole)[around].max() / np.median(change(whole)))
    ratio = strength(split) / strength(whole)
    return [
        (
            f"{name}: largest change across the seam / the shot's median",
            "≤ 1.20",
            f"{measured:.2f} (the whole shot there: {usual:.2f})",
            measured <= 1.2,
        ),
        (f"{name}: strength at the seam / of the whole shot", "0.97 to 1.03", f"{ratio:.3f}", 0.97 <= ratio <= 1.03),
    ]


def batch(folder: Path) -> list[Row]:
    """Render 40 small films with one command, of which three are broken, then what the last line says."""
    sources, broken = folder / "films", 3
    sources.mkdir()
    make_film(sources / "film-00.mp4", 1, 0.5, "64x48")
    for number in range(1, 40):
        (sources / f"film-{number:02}.mp4").write_bytes((sources / "film-00.mp4").read_bytes())
    for number in (7, 19, 33):
        (sources / f"film-{number:02}.mp4").write_bytes(b"broken")
    fast = ["--octaves", "1", "--iterations", "1", "--dream-height", "48", "--device", "cpu"]
    words = [sys.executable, "-m", "dreamvid", "run", str(sources), "-o", str(folder / "out"), *fast]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    results = len(list((folder / "out").glob("*.dream.mp4")))
    lines = [line for line in done.stderr.splitlines() if line.startswith(str(sources))]
    table = [line for line in lines if " done " in line or " failed " in line]
    right = sum(" done " in line for line in table) == 37 and sum(" failed " in line for line in table) == broken
    for number in (7, 19, 33):
        (sources / f"film-{number:02}.mp4").write_bytes((sources / "film-00.mp4").read_bytes())
    retry = shlex.split(done.stderr.strip().splitlines()[-1].partition("again: ")[2])
    again = subprocess.run([sys.executable, "-m", *retry], capture_output=True, text=True, check=False)
    after = len(list((folder / "out").glob("*.dream.mp4")))
    first, second = (results, done.returncode), (after, again.returncode)
    return [
        ("40 films, 3 broken: results, exit code", "37, 1", f"{first[0]}, {first[1]}", first == (37, 1)),
        ("the table names each as done or failed", "37 + 3", f"{len(table)} lines, right: {right}", right),
        ("the command of the last line: results, exit code", "40, 0", f"{second[0]}, {second[1]}", second == (40, 0)),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="speed,kills,seams,batch")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    tune_process()
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "speed": lambda folder: speed(folder, given.quick),
        "kills": lambda folder: kills(folder, min(given.kills, 6) if given.quick else given.kills, given.seed),
        "seams": lambda folder: seams(folder, given.quick, given.clips),
        "batch": batch,
    }
    rows: list[Row] = []
    for name in given.only.split(","):
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="dreamvid-scale-") as folder:
            rows += parts[name](Path(folder))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print("| what | bar | measured | |\n|---|---|---|---|")
    for what, bar, measured, met in rows:
        print(f"| {what} | {bar} | {measured} | {'met' if met else '**missed**'} |")
    raise SystemExit(0 if all(row[3] for row in rows) else 1)


if __name__ == "__main__":
    main()
