"""Measure the speed relative to other programs: ratios, each from one run on one machine.

    python -m benchmarks.speed [--clip CLIP] [--record]     some minutes; --record keeps the ratios to compare with
    python -m benchmarks.speed --quick --check              under 3 minutes; exit code 1 if a ratio lost a quarter

    notebook   time of the PyTorch notebook's method (a) divided by ours for the same gradients: Inception V3, Mixed_6c,
               4 octaves at 1.4 of 400 x 310, random weights
    peak       share of the machine's measured rate of large matrix products that one gradient of the default network
               reaches, at the size of the finest octave
    alone      time per frame of the usual method for videos (b), each frame dreamed alone with 10 steps per octave,
               divided by that of `dreamvid run`
    peer       the same of the main peer's method (c): the previous image moved by RAFT's flow, 2 octaves of 10 steps,
               the network built again for each frame
    peer, at no less strength
               the same, dreamed at three quarters of the lines (`--dream-height 360`), still stronger than the peer

One gradient, a dreamed frame, and both beside a busy process are compared with another checkout by
`python -m benchmarks.gradient`.

The programs run in turn, one pair after the other, each of the others in a plain process; the median of the ratios
counts. `run` is the whole command: reading, planning, loading, dreaming, encoding, joining. (b) and (c) are timed
without loading (except for what they load for each frame), decoding and encoding. The strengths are printed, because
dreams are comparable only at about the same strength.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.baselines import NOTEBOOK_LAYER, NOTEBOOK_SIZE, NOTEBOOK_STEP, OCTAVE_SCALE, OCTAVES
from benchmarks.coherence import read
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts, octave_sizes
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.metrics.score import ObjectiveMeter, score_frames
from dreamvid.networks.network import load_network
from dreamvid.render.bench import machine_name, measure_gradient
from dreamvid.render.engine import render_video
from dreamvid.runtime.device import configure_backend, resolve_device, synchronize
from dreamvid.runtime.roofline import measured_peak
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size

RECORD = Path(__file__).parent / "results" / "speed.json"
MOST_LOST = 0.25
EQUAL = "peer, at no less strength"


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time a call, in seconds, until the device has finished it."""
    synchronize(device)
    began = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - began


def theirs(method: str, *arguments: str) -> float:
    """Time another method, in seconds, in a plain process of its own."""
    # What dreamvid says to OpenMP in this process is not for others.
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-m", "benchmarks.baselines", method, *arguments]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return float(json.loads(printed.splitlines()[-1]))


def notebook(device: torch.device, dtype: torch.dtype, steps: int, pairs: int) -> float:
    """Return the median of the notebook's time divided by ours."""
    height, width = NOTEBOOK_SIZE
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    network = load_network("torchvision:inception_v3", "random", device=device)
    objective = parse_objective(NOTEBOOK_LAYER).resolve(network.table)
    module = network.truncate(objective.layers).to(dtype)
    rule = UpdateRule(laplacian_levels=0, gradient_norm="std", color_space="rgb", clamp="step")
    ours = OctaveAscent(TiledGradient(module, objective, tile=1024), rule, octave_carry="residual")
    sizes = octave_sizes(height, width, dream_height=height, octaves=OCTAVES, octave_scale=OCTAVE_SCALE)

    def dream() -> None:
        ours.grow(image, None, sizes, iterations=steps, step=NOTEBOOK_STEP, shifts=Shifts(0, 0))

    dream()
    ratios = []
    for _ in range(pairs):
        other = theirs("notebook", "--device", str(device), "--steps", str(steps), "--repeats", "2")
        mine = min(seconds(dream, device) for _ in range(2))
        print(f"  s an image: notebook {other:.3f}, ours {mine:.3f}", flush=True)
        ratios.append(other / mine)
    return statistics.median(ratios)


def peak(device: torch.device, dtype: torch.dtype, height: int, width: int) -> float:
    """Return the share of the measured peak that a gradient of the default network reaches, as in `dreamvid bench`."""
    rate = measured_peak(device, dtype)
    row = measure_gradient(Size(height=height, width=width), device, rate, dtype)
    reached = f"{row.milliseconds:.1f} ms, {row.gflop_per_second:.0f} of {rate / 1e9:.0f} GFLOP/s"
    print(f"  gradient at {width} x {height}: {reached}", flush=True)
    return row.share_of_peak


def run(clip: str, size: Size, frames: int, folder: Path, **overrides: object) -> tuple[float, list[Tensor]]:
    """Render; return the seconds per frame of the whole command, and the frames."""
    settings = load_settings(None, size=f"{size.width}x{size.height}", frames=f"0:{frames}", device="cpu", **overrides)
    began = time.perf_counter()
    result = render_video(clip, folder / "ours.mp4", settings, overwrite=True, restart=True)
    took = (time.perf_counter() - began) / result.frames
    return took, read(str(result.output), size.width, result.frames)[0]


def videos(clip: str, size: Size, count: int, others: int, pairs: int) -> dict[str, float]:
    """Return medians of the other methods' time per frame divided by that of `run`; others: frames they dream."""
    frames, fps = read(clip, size.width, count)
    meter = ObjectiveMeter.from_settings(load_settings(None))
    ratios: dict[str, list[float]] = {"alone": [], "peer": [], EQUAL: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "frames.npy", torch.cat(frames[:others]).numpy())
        files = ("--frames", str(folder / "frames.npy"), "--dreamed", str(folder / "dreamed.npy"))
        for _ in range(pairs):
            ours, made = run(clip, size, count, folder)
            print(f"  run {ours:.2f} s/frame at strength {strength(frames, made, meter, fps):.2f}", flush=True)
            took = {}
            for method in ("alone", "peer"):
                took[method] = theirs(method, *files)
                dreamed = [torch.from_numpy(frame)[None] for frame in np.load(folder / "dreamed.npy")]
                ratios[method].append(took[method] / ours)
                print(f"  {method} {took[method]:.2f} at {strength(frames, dreamed, meter, fps):.2f}", flush=True)
            coarser, made = run(clip, size, count, folder, dream_height=size.height * 3 // 4)
            print(f"  run at fewer lines {coarser:.2f} at {strength(frames, made, meter, fps):.2f}", flush=True)
            ratios[EQUAL].append(took["peer"] / coarser)
    return {name: statistics.median(found) for name, found in ratios.items()}


def strength(frames: list[Tensor], made: list[Tensor], meter: ObjectiveMeter, fps: Fraction) -> float:
    """Return the mean strength of the dreams."""
    return score_frames(frames[: len(made)], made, meter, fps=float(fps)).mean_strength


def machine(device: torch.device) -> str:
    return f"{machine_name(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", default="demo")
    parser.add_argument("--device", default="auto", help="for `notebook` and `peak`; `alone` and `peer` are of the CPU")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--quick", action="store_true", help="smaller images, fewer frames")
    parser.add_argument("--pairs", type=int, help="how often what is compared runs")
    parser.add_argument("--check", action="store_true", help="compare with the recorded ratios")
    parser.add_argument("--record", action="store_true", help="keep the ratios")
    given = parser.parse_args(arguments)
    device = resolve_device(given.device)
    dtype: torch.dtype = getattr(torch, given.precision)
    configure_backend(device)
    quick: bool = given.quick
    pairs: int = given.pairs or (1 if quick else 3)
    print(machine(device), flush=True)
    ratios = {
        "notebook": notebook(device, dtype, steps=2 if quick else 10, pairs=pairs),
        "peak": peak(device, dtype, *((240, 320) if quick else (480, 640))),
    }
    if device.type == "cpu":
        size, count, others = (Size(240, 320), 24, 2) if quick else (Size(480, 640), 120, 3)
        ratios |= videos(given.clip, size, count, others, pairs)
    clip = given.clip if given.clip == "demo" else Path(given.clip).stem
    kind = f"{device.type}, {given.precision}, {'quick' if quick else 'full'}, {clip}"
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    recorded = known.get(kind, {}).get("ratios", {})
    lost = []
    for name, ratio in ratios.items():
        before = recorded.get(name)
        print(f"{name:25} {ratio:8.2f}" + (f"   recorded {before:.2f}" if before else ""))
        if before and ratio < (1 - MOST_LOST) * before:
            lost.append(name)
    if given.record:
        known[kind] = {
            "machine": machine(device),
            "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        }
        RECORD.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    if given.check and lost:
        print(f"lost more than {MOST_LOST:.0%}: {', '.join(lost)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
