"""Kills a render at random moments, resumes it, and compares with an undisturbed one.

    python benchmarks/kill.py --kills 50

Every trial renders a clip of three segments in two shots in a process of its own, which is ended by SIGKILL: at a random
moment of the whole render, or (every third trial) shortly after the last segment, so in the join, the rename or the
clean-up. Then the same call is made again until it comes to its end, killed again once in every second trial. A trial
counts as lost when the frames differ, when anything is left beside the film and its recipe, or when there was ever a
file under the final name that is not the whole film.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

from dreamvid.pipeline.render import render_video
from dreamvid.settings import Settings, load_settings
from dreamvid.video.process import capture_ffmpeg, run_ffmpeg

TINY = {
    "objective": "blocks.1.0",
    "dream_height": 48,
    "octaves": 2,
    "iterations": 2,
    "device": "cpu",
}
SHOT = "size=96x64:rate=5"


def make_clip(path: Path) -> Path:
    """Two shots, 50 frames at 5 a second, with sound."""
    graph = f"testsrc2={SHOT}:d=6.4[a];mandelbrot={SHOT}:end_pts=20,trim=duration=3.6[b];[a][b]concat[v]"
    inputs = ["-f", "lavfi", "-i", "sine=f=440:d=10"]
    args = [*inputs, "-filter_complex", graph, "-map", "[v]", "-map", "0:a", "-c:v", "libx264", "-c:a", "aac"]
    run_ffmpeg([*args, "-pix_fmt", "yuv420p", "-shortest", f"file:{path}"], "making the clip")
    return path


def frames_hash(path: Path) -> str:
    """A hash of every decoded frame and its time, and of the sound's packets."""
    pictures = capture_ffmpeg(["-v", "error", "-i", f"file:{path}", "-map", "0:v", "-f", "framemd5", "-"])
    sound = capture_ffmpeg(["-v", "error", "-i", f"file:{path}", "-map", "0:a", "-c", "copy", "-f", "md5", "-"])
    return hashlib.sha256((pictures + sound).encode()).hexdigest()


def start(context: multiprocessing.context.BaseContext, clip: Path, output: Path, settings: Settings) -> BaseProcess:
    process = context.Process(target=render_video, args=(str(clip), str(output), settings))  # type: ignore[attr-defined]
    process.start()
    return process


def stage(output: Path) -> str:
    """What a render that was just killed had come to."""
    job = output.with_name(f".{output.name}.job")
    if not job.exists():
        return "finished" if output.exists() else "start"
    if output.exists():
        return "clean-up"
    if (job / "joined.json").exists():
        return "rename"
    if not (job / "manifest.json").exists():
        return "plan"
    return "join" if segments_done(job) == 3 else "dream"


def segments_done(job: Path) -> int:
    try:
        return len(json.loads((job / "finished.json").read_text()))
    except (OSError, ValueError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dreamvid.pipeline.render"])
    chance = random.Random(options.seed)
    settings = load_settings(**TINY)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4")
        whole = folder / "whole" / "film.mkv"
        whole.parent.mkdir()
        settings = load_settings(**TINY, codec="ffv1")
        start(context, clip, whole, settings).join()
        began = time.monotonic()
        start(context, clip, whole.with_name("again.mkv"), settings).join()
        duration = time.monotonic() - began
        wanted = frames_hash(whole)
        assert frames_hash(whole.with_name("again.mkv")) == wanted, "two undisturbed renders differ"
        killed: Counter[str] = Counter()
        lost: Counter[str] = Counter()
        kills = 0
        for trial in range(options.kills):
            output = folder / f"trial-{trial}" / "film.mkv"
            output.parent.mkdir()
            job = output.with_name(f".{output.name}.job")
            stages = []
            for round_ in range(1 + trial % 2):
                process = start(context, clip, output, settings)
                if trial % 3 == 2 and round_ == 0:
                    while process.is_alive() and segments_done(job) < 3:
                        time.sleep(0.001)
                    time.sleep(chance.uniform(0.0, 0.3))
                else:
                    time.sleep(chance.uniform(0.0, duration))
                if process.is_alive():
                    kills += 1
                os.kill(process.pid or 0, signal.SIGKILL) if process.is_alive() else None
                process.join()
                stages.append(stage(output))
                killed[stages[-1]] += 1
                if output.exists() and frames_hash(output) != wanted:
                    lost[stages[-1]] += 1
                    print(f"trial {trial}: a broken film under the final name after a kill in {stages}")
            if not output.exists() or job.exists():
                process = start(context, clip, output, settings)
                process.join()
            left = sorted(path.name for path in output.parent.iterdir())
            if not output.exists() or frames_hash(output) != wanted or left != ["film.mkv", "film.mkv.toml"]:
                lost[stages[-1]] += 1
                print(f"trial {trial}: lost after kills in {stages}; left: {left}")
    print(f"{kills} kills in {options.kills} renders of {duration:.1f} s (seed {options.seed})\n")
    print(f"{'ended in':<10} {'times':>5} {'lost':>5}")
    for name in ("start", "plan", "dream", "join", "rename", "clean-up", "finished"):
        print(f"{name:<10} {killed[name]:>5} {lost[name]:>5}")
    raise SystemExit(1 if lost else 0)


if __name__ == "__main__":
    main()
