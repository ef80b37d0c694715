"""Measure one gradient of the default network, a dreamed frame, and both beside a busy process.

    python -m benchmarks.gradient [--against CHECKOUT] [--rounds 8] [--threads 1,2] [--runtime openvino]

Prints a table of sizes: milliseconds of a gradient, of wall time and of CPU time, and with `--against` the ratio to
those of another checkout of dreamvid, measured in turn in a process of its own, and how far the two gradients differ.
Below it: a dreamed frame with its motion, the part of it that is not gradients, and, for steadiness, the same frame
on all threads while another process keeps one core busy, divided by one thread's time without it. Takes two minutes on
a quiet machine; CPU times are comparable on one that is not, wall times are not.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SIZES = ((92, 164), (180, 320), (343, 457), (480, 640))
FRAMES = ((92, 164), (180, 320))

# Runs in either checkout.
_WORKER = """
import json, sys, time
import dreamvid  # the oldest checkouts tune the process when they are imported
try:
    dreamvid.tune_process()
except AttributeError:
    pass
import numpy as np, torch
from dreamvid.dream.tiles import TiledGradient
try:
    from dreamvid.coherence.frame_dreamer import FrameDreamer
    from dreamvid.dream.session import DreamSession
    from dreamvid.runtime.device import configure_backend
    from dreamvid.settings import load_settings
    configure_backend(torch.device("cpu"))
    runtime = {"runtime": sys.argv[1]} if sys.argv[1:] else {}
    gradient = DreamSession(load_settings(None, device="cpu", **runtime)).ascent.gradient
except ImportError:  # of commit 6b7e129
    from dreamvid.dream.device import prepare
    from dreamvid.dream.networks import load_network
    from dreamvid.dream.objective import parse_objective
    prepare(torch.device("cpu"))
    network = load_network(device=torch.device("cpu"))
    objective = parse_objective("blocks.4.1").bind(network)
    gradient = TiledGradient(network.truncate(objective.layers), objective, tile=1024)
    FrameDreamer = None

dreamers = {}
inside = [0.0]
plain = TiledGradient.__call__

def timed(self, *arguments):
    began = time.perf_counter()
    try:
        return plain(self, *arguments)
    finally:
        inside[0] += time.perf_counter() - began

def image(height, width):
    coarse = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    fine = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    clouds = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (0.8 * clouds + 0.2 * fine).clamp(0, 1)

def one_gradient(height, width, count, path):
    x = image(height, width)
    found = gradient(x)
    if path:
        np.save(path, found.numpy())
    walls, cpus = [], []
    for _ in range(count):
        wall, cpu = time.perf_counter(), time.process_time()
        gradient(x)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"wall": min(walls), "cpu": min(cpus)}

def one_frame(height, width, count):
    if FrameDreamer is None:
        return {}
    if (height, width) not in dreamers:
        dreamers[height, width] = FrameDreamer(load_settings(None, device="cpu", iterations=2, **runtime))
    dreamer, clouds = dreamers[height, width], image(height, width)
    frames = [dreamer.frame(torch.roll(clouds, shift, dims=3)) for shift in range(count + 2)]
    dreamer.dream(frames[0], None, index=0, elapsed_seconds=0.0)
    TiledGradient.__call__ = timed
    walls, outside = [], []
    for index in range(1, count + 2):
        inside[0], began = 0.0, time.perf_counter()
        motion = dreamer.motion(frames[index], frames[index - 1])
        moved = time.perf_counter()
        dreamer.dream(frames[index], motion, index=index, elapsed_seconds=1 / 15)
        walls.append(time.perf_counter() - began)
        outside.append(time.perf_counter() - moved - inside[0])
    TiledGradient.__call__ = plain
    return {"wall": median(walls[1:]), "outside": median(outside[1:])}

def median(values):
    return sorted(values)[len(values) // 2]

for line in sys.stdin:
    name, arguments = json.loads(line)
    print(json.dumps({"gradient": one_gradient, "frame": one_frame}[name](*arguments)), flush=True)
"""


class Worker:
    """A process that measures one checkout on a number of threads."""

    def __init__(self, checkout: Path, threads: int, *words: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(checkout)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=checkout,
        )

    def measure(self, name: str, *arguments: Any) -> dict[str, float]:
        """Let it measure; return seconds by kind."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def gradients(workers: dict[str, Worker], threads: int, rounds: int, folder: Path) -> None:
    """Print the table of sizes for one number of threads."""
    for height, width in SIZES:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
        for turn in range(rounds):
            for name, worker in workers.items():
                path = str(folder / f"{name}.npy") if turn == 0 else ""
                found[name].append(worker.measure("gradient", height, width, 4, path))
        text = f"gradient {width:4} x {height:3}, {threads} threads: "
        for kind in ("wall", "cpu"):
            ours = min(each[kind] for each in found["ours"])
            text += f"  {kind} {1000 * ours:6.1f} ms"
            if "theirs" in found:
                theirs = min(each[kind] for each in found["theirs"])
                pairs = zip(found["ours"], found["theirs"], strict=True)
                ratio = statistics.median(one[kind] / other[kind] for one, other in pairs)
                text += f" for {1000 * theirs:6.1f}: {ours / theirs:.2f} (median of pairs {ratio:.2f})"
        if "theirs" in workers:
            one, other = (np.load(folder / f"{name}.npy") for name in ("ours", "theirs"))
            text += f"  difference {np.linalg.norm(one - other) / np.linalg.norm(other):.0e}"
        print(text, flush=True)


def frames(workers: dict[str, Worker], alone: dict[tuple[int, int], float], threads: int, count: int) -> None:
    """Print a dreamed frame's time, quiet and beside a busy process; keep one thread's quiet time in `alone`."""
    for height, width in FRAMES:
        for name, worker in workers.items():
            quiet = worker.measure("frame", height, width, count)
            if not quiet:
                continue
            if name == "ours" and threads == 1:
                alone[height, width] = quiet["wall"]
            text = f"frame    {width:4} x {height:3}, {threads} threads, {name}: {1000 * quiet['wall']:6.1f} ms"
            text += f", dream without gradients {1000 * quiet['outside']:5.1f} ms"
            if threads > 1:
                with busy_process():
                    busy = worker.measure("frame", height, width, 3 * count)
                text += f"; beside a busy process {1000 * busy['wall']:6.1f} ms"
                if (height, width) in alone:
                    text += f", {busy['wall'] / alone[height, width]:.2f} of our one thread alone"
            print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of dreamvid to compare with")
    parser.add_argument("--rounds", type=int, default=8, help="how often each measures each size, in turn")
    parser.add_argument("--threads", default=f"1,{os.cpu_count() or 1}")
    parser.add_argument("--frames", type=int, default=10, help="dreamed frames of a measurement; 0 for none")
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch", help="of this checkout")
    given = parser.parse_args(arguments)
    checkouts = {"ours": Path(__file__).parent.parent}
    if given.against is not None:
        checkouts["theirs"] = given.against.resolve()
    alone: dict[tuple[int, int], float] = {}
    for threads in dict.fromkeys(int(part) for part in given.threads.split(",")):
        words = {"ours": [given.runtime] if given.runtime != "torch" else []}
        workers = {name: Worker(path, threads, *words.get(name, [])) for name, path in checkouts.items()}
        try:
            with tempfile.TemporaryDirectory() as folder:
                gradients(workers, threads, given.rounds, Path(folder))
            if given.frames:
                frames(workers, alone, threads, given.frames)
        finally:
            for worker in workers.values():
                worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
