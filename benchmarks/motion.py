"""Measure what motion costs, by stage, in CPU time per frame; side by side with another checkout if one is given.

    python -m benchmarks.motion CLIP [CLIP …] [--frames 24] [--height 480] [--threads 1] [--device cpu]
                                [--against CHECKOUT] [--torch]

Stages: `prepare` (the light evened out, the frame reduced for judging, its colors compared), `estimate` (both
directions), `judge` (where the flows can be trusted). The median over the frames. CPU time hardly depends on what else
the machine does; on a GPU it is the wall time, with the device waited for. --against runs the same frames through a
checkout of commit 6b7e129, in turn with this one. --torch adds the rows of PyTorch's dense inverse search, which a GPU
uses, on the chosen device, with the error that is left after the warp, relative to OpenCV's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dreamvid.image.tensors import luma, resize, to_tensor
from dreamvid.motion.estimator import FlowEstimator
from dreamvid.motion.estimators.dis import OpenCvInverseSearch, TorchInverseSearch
from dreamvid.motion.field import MotionEstimator
from dreamvid.motion.warp import warp
from dreamvid.runtime.device import resolve_device, synchronize
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

# What 6b7e129 called the parts. It prepared a frame anew for each direction.
_BASELINE = """
import json, sys, time
from statistics import median
import cv2, numpy as np, torch
from dreamvid.motion.estimate import estimate_both_ways
from dreamvid.motion.flow import flow_estimator
threads = int(sys.argv[2])
torch.set_num_threads(threads), cv2.setNumThreads(threads)
frames = [torch.from_numpy(frame) for frame in np.load(sys.argv[1])]
estimator, times = flow_estimator("dis"), {"estimate": [], "all": []}
with torch.no_grad():
    for previous, this in zip(frames, frames[1:]):
        began = time.process_time()
        estimator(this, previous), estimator(previous, this)
        times["estimate"].append(time.process_time() - began)
        began = time.process_time()
        estimate_both_ways(estimator, this, previous)
        times["all"].append(time.process_time() - began)
print(json.dumps({name: median(values) for name, values in times.items()}))
"""


def timed(device: torch.device, function: Callable[[], Any]) -> tuple[Any, float]:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    synchronize(device)
    began = clock()
    result = function()
    synchronize(device)
    return result, clock() - began


def measure(estimator: FlowEstimator, frames: Sequence[Tensor], device: torch.device) -> tuple[dict[str, float], float]:
    """Return the median seconds of each stage, and the mean error of luma that is left after the warp."""
    spent = {"estimate": 0.0}

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result, seconds = timed(device, partial(function, *arguments))
            spent["estimate"] += seconds
            return result

        return call

    for name in ("estimate", "estimate_coarse", "refine"):
        if hasattr(estimator, name):
            setattr(estimator, name, counted(getattr(estimator, name)))
    times: dict[str, list[float]] = {"prepare": [], "estimate": [], "judge": [], "all": []}
    errors, previous, before = [], None, None
    motions = MotionEstimator(estimator)
    with torch.no_grad():
        for image in frames:
            this, prepare = timed(device, partial(motions.prepare, image))
            if previous is not None and before is not None:
                spent["estimate"] = 0.0
                (motion, _), both = timed(device, partial(motions.both_ways, this, previous))
                estimate = spent["estimate"]
                for name, value in zip(times, (prepare, estimate, both - estimate, prepare + both), strict=True):
                    times[name].append(value)
                moved = warp(luma(before), motion.at(this.size).flow, mode="bilinear")
                errors.append(float((moved - luma(image)).abs().mean()))
            previous, before = this, image
    return {name: median(values) for name, values in times.items()}, float(np.mean(errors))


def baseline(checkout: Path, frames: Sequence[Tensor], threads: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, np.stack([frame.cpu().numpy() for frame in frames]))
        done = subprocess.run(
            [sys.executable, "-c", _BASELINE, str(path), str(threads)],
            env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)},
            cwd=checkout,
            check=True,
            capture_output=True,
        )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def read(clip: str, count: int, height: int) -> list[Tensor]:
    source = open_source(clip)
    info = probe(source)
    lines = min(height, info.height)
    size = lines, round(info.width * lines / info.height)
    with FrameReader(source, info, stop=count) as reader:
        return [resize(to_tensor(frame.pixels), size).clamp(0, 1) for frame in reader]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--against", type=Path)
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    device = resolve_device(given.device)
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {given.threads} threads"
    print(f"{where}, torch {torch.__version__}, {given.frames} frames, at most {given.height} lines, ms per frame\n")
    print("| clip | what | prepare | estimate | judge | all | of 6b7e129 | error after the warp |")
    print("|---|---|---|---|---|---|---|---|")
    for clip in given.clips:
        frames = read(clip, given.frames, given.height)
        old: dict[str, float] | None = None
        if given.against is not None:
            old = baseline(given.against, frames, given.threads)
            judge = old["all"] - old["estimate"]
            row = [f"{1e3 * value:.1f}" for value in (old["estimate"], judge, old["all"])]
            print(f"| {Path(clip).stem} | 6b7e129 | | {' | '.join(row)} | 1 | |", flush=True)
        kinds: list[tuple[str, FlowEstimator, torch.device]] = [("OpenCV", OpenCvInverseSearch(), torch.device("cpu"))]
        if given.torch or on_gpu:
            kinds.append(("PyTorch", TorchInverseSearch(), device))
        reference: float | None = None
        for name, estimator, place in kinds:
            times, error = measure(estimator, [frame.to(place) for frame in frames], place)
            reference = reference or error
            row = [f"{1e3 * times[stage]:.1f}" for stage in ("prepare", "estimate", "judge", "all")]
            ratio = "" if old is None else f"{times['all'] / old['all']:.2f}"
            print(f"| {Path(clip).stem} | {name} | {' | '.join(row)} | {ratio} | {error / reference:.3f} |", flush=True)


if __name__ == "__main__":
    main()
