"""Render many small frames and watch what the process holds: memory, open files, threads, processes.

    python benchmarks/load.py --frames 3000

Renders in a process of its own. Memory is flat if the maximum in the last third is within 5 % of the maximum in the
first third. Nothing is left if no file handle, thread, process or temporary file outlives the render.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.settings import load_settings

ALLOWED = 1.05
EVERY_SECONDS = 0.1


def held(pid: int) -> tuple[float, int, int, int]:
    """Resident MiB, open files, threads and child processes of a process."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    children = sum(len((task / "children").read_text().split()) for task in (process / "task").iterdir())
    return int(status["VmRSS"].split()[0]) / 1024, len([*(process / "fd").iterdir()]), int(status["Threads"]), children


def render(frames: int, folder: str, pipe: Connection) -> None:
    """Render after a short video of the same kind, so that what is loaded once is loaded."""
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    torch.set_num_threads(1)
    settings = load_settings(
        objective="blocks.1.0", octaves=2, iterations=1, warm_iterations=1, dream_height=48, device="cpu"
    )

    def video(count: int) -> str:
        return f"lavfi:testsrc2=size=64x48:rate=30:duration={count / 30}"

    render_video(video(60), Path(folder) / "short.mp4", settings)
    pipe.send(("before", held(os.getpid())))
    before = {thread.name for thread in threading.enumerate()}
    pipe.recv()

    def tell(progress: Progress) -> None:
        pipe.send(("done", progress.done))

    result = render_video(video(frames), Path(folder) / "long.mp4", settings, on_progress=tell)
    pipe.send(
        ("after", held(os.getpid()), result.frames, sorted({thread.name for thread in threading.enumerate()} - before))
    )
    pipe.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: the system's for such")
    parser.add_argument("--record", type=Path, default=None, help="write the numbers there as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=render, args=(options.frames, folder, there))
        process.start()
        assert process.pid is not None
        _, before = here.recv()
        here.send("go")
        began, next_look = time.monotonic(), 0.0
        samples: list[tuple[int, float, int, int, int]] = []  # frames done, then what is held
        while (message := here.recv())[0] == "done":
            if time.monotonic() >= next_look and message[1]:
                next_look = time.monotonic() + EVERY_SECONDS
                samples.append((message[1], *held(process.pid)))
        seconds = time.monotonic() - began
        _, after, frames, threads = message
        left = sorted(path.name for path in Path(folder).iterdir())
        here.send("end")
        process.join()
    third = options.frames / 3
    memory = [max(mib for done, mib, *_ in samples if part * third < done <= (part + 1) * third) for part in range(3)]
    record = {
        "frames": frames,
        "seconds": round(seconds, 1),
        "peak_mib_by_third": [round(mib, 1) for mib in memory],
        "last_over_first": round(memory[2] / memory[0], 4),
        "open_files": {"before": before[1], "most": max(sample[2] for sample in samples), "after": after[1]},
        "threads": {"before": before[2], "most": max(sample[3] for sample in samples), "after": after[2]},
        "processes": {"before": before[3], "most": max(sample[4] for sample in samples), "after": after[3]},
        "python_threads_left": threads,
        "files_left": [name for name in left if not name.startswith(("short.mp4", "long.mp4"))],
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    }
    print(json.dumps(record, indent=1))
    print("\nframes done  resident MiB  open files  threads  processes")
    for done, mib, files, threads_now, children in samples[:: max(1, len(samples) // 12)]:
        print(f"{done:>11}{mib:>14.1f}{files:>12}{threads_now:>9}{children:>11}")
    if options.record is not None:
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    flat = memory[2] <= ALLOWED * memory[0]
    clean = after[1] <= before[1] and after[3] <= before[3]
    clean = clean and not record["python_threads_left"] and not record["files_left"]
    sys.exit(0 if flat and clean and frames == options.frames else 1)


if __name__ == "__main__":
    main()
