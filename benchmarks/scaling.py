"""Measure how the cost grows: time per frame and memory against lines, steps, octaves and the length of the video.

    python -m benchmarks.scaling out/ [--lines 240,360,480,720,1080,2160] [--device auto]

Writes `scaling.json` and `scaling.png`, all scales logarithmic, with the fitted exponents. Each measurement runs in a
process of its own, so that its peak memory is its own. It dreams a warm frame (one that carries a dream, motion
included) of made-up clouds at 4:3, on the given device. `dream_height` grows with the lines, so that every pixel is
dreamed; one more row keeps it at its default, 480, as a video of that size is rendered in practice.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.speed import machine, seconds
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.figures.charts import COLORS, Line, panel
from dreamvid.image.io import write_image
from dreamvid.render.engine import render_video
from dreamvid.runtime.device import resolve_device
from dreamvid.runtime.process import peak_memory
from dreamvid.settings import load_settings

STEPS, OCTAVES, LENGTHS = (1, 2, 4, 8), (1, 2, 4, 6), (8, 16, 32, 64)


def one_frame(lines: int, device: str, **overrides: Any) -> dict[str, float]:
    """Measure seconds of a warm frame with its motion, and peak memory in MiB: the process's, or the GPU's."""
    settings = load_settings(None, device=device, iterations=2, **overrides)  # of the first frame, which is not timed
    dreamer = FrameDreamer(settings)
    generator = torch.Generator().manual_seed(0)
    width = round(lines * 4 / 3)
    clouds = torch.nn.functional.interpolate(
        torch.rand(1, 3, 12, 16, generator=generator), (lines, width), mode="bicubic"
    ).clamp(0, 1)
    frames = [dreamer.frame(torch.roll(clouds, shift, dims=3).to(dreamer.device)) for shift in range(5)]

    def go(index: int) -> None:
        motion = dreamer.motion(frames[index], frames[index - 1])
        dreamer.dream(frames[index], motion, index=index, elapsed_seconds=1 / 30)

    dreamer.dream(frames[0], None, index=0, elapsed_seconds=0.0)
    go(1)
    best = min(seconds(partial(go, index), dreamer.device) for index in range(2, 5))
    return {"seconds": best, "mib": _peak_mib(dreamer.device)}


def whole_video(frames: int, device: str) -> dict[str, float]:
    """Measure seconds and peak memory of a whole render at 160 x 120."""
    settings = load_settings(None, device=device, frames=f"0:{frames}", iterations=2)
    with tempfile.TemporaryDirectory() as folder:
        source = f"lavfi:testsrc2=size=160x120:rate=8:duration={frames / 8 + 1}"
        began = time.perf_counter()
        render_video(source, Path(folder) / "video.mp4", settings)
        return {"seconds": time.perf_counter() - began, "mib": _peak_mib(resolve_device(device))}


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_memory() / 2**20


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Fit the slope of the line through the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def apart(case: dict[str, Any]) -> dict[str, float]:
    """Measure a case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--case", json.dumps(case)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    print(case, result, flush=True)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--lines", default="240,360,480,720,1080,2160")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.case is not None:
        case = json.loads(given.case)
        print(json.dumps(whole_video(**case) if "frames" in case else one_frame(**case)))
        return
    if given.folder is None:
        parser.error("give a folder for the results")
    heights = [int(text) for text in given.lines.split(",")]
    device = given.device
    cases: dict[str, tuple[str, list[float], list[dict[str, Any]]]] = {
        "lines": (
            "pixels",
            [lines * lines * 4 / 3 for lines in heights],
            [{"lines": lines, "device": device, "dream_height": lines} for lines in heights],
        ),
        "lines, dream height 480": (
            "pixels",
            [lines * lines * 4 / 3 for lines in heights if lines >= 480],
            [{"lines": lines, "device": device} for lines in heights if lines >= 480],
        ),
        "steps": ("warm steps", list(STEPS), [{"lines": 240, "device": device, "warm_iterations": n} for n in STEPS]),
        "octaves": (
            "octaves",
            list(OCTAVES),
            [{"lines": 240, "device": device, "octaves": n, "octave_scale": 1.2} for n in OCTAVES],
        ),
        "length": ("frames", list(LENGTHS), [{"frames": n, "device": device} for n in LENGTHS]),
    }
    report: dict[str, Any] = {"machine": machine(resolve_device(device))}
    panels = []
    for name, (unit, x, todo) in cases.items():
        if len(todo) < 2:  # --lines has none for it
            continue
        results = [apart(case) for case in todo]
        report[name] = {"cases": [case | result for case, result in zip(todo, results, strict=True)]}
        for quantity in ("seconds", "mib"):
            y = [result[quantity] for result in results]
            slope = exponent(x, y)
            report[name][f"exponent of {quantity}"] = round(slope, 2)
            title = f"log10 {quantity} against log10 {unit} ({name}): exponent {slope:.2f}"
            line = Line("", np.array([math.log10(value) for value in y]), COLORS[quantity == "mib"])
            panels.append(panel(title, np.array([math.log10(value) for value in x]), [line]))
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "scaling.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    write_image(given.folder / "scaling.png", np.concatenate(panels))


if __name__ == "__main__":
    main()
