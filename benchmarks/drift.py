"""Measure if a dream stays the same on a long shot: strength, brightness, saturation and clipping, first against last.

    python -m benchmarks.drift CLIP [--frames 300] [--size 320x240] [--folder benchmarks/results]

Writes `drift-CLIP.json` and `drift-CLIP.jpg`, a sheet of frames. Compares the first and the last quarter of the frames
after the first second, as `dreamvid score` does: the strength as a ratio; the brightness and saturation that the dream
adds (dream minus source), relative to the dream's. `levels` has the means themselves, in levels of 255. Strength and
clipping have bars; brightness and saturation are recorded. The clip has to be a single shot.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np

from benchmarks.record import keep
from dreamvid import dream_frames, load_settings
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.metrics.report import SETTLING_SECONDS
from dreamvid.metrics.score import ObjectiveMeter, Scorer
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

# Largest change, relative; clipped: largest mean share.
BARS = {"strength": 0.15, "clipped": 0.02}
SHOWN = (0.1, 0.4, 0.7, 1.0)  # of the video


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    settings = load_settings(None, size=given.size, device="cpu")
    source = open_source(given.clip)
    info = probe(source)
    with FrameReader(source, info, stop=given.frames, size=settings.video.size_pixels()) as reader:
        frames = [frame.pixels for frame in reader]
    fps = info.frame_rate
    scorer = Scorer(ObjectiveMeter.from_settings(settings))
    shown = {math.ceil(part * len(frames)) - 1 for part in SHOWN}
    cells, spent, began = [], 0.0, time.perf_counter()
    for number, dreamed in enumerate(dream_frames(frames, settings, fps=fps)):
        spent += time.perf_counter() - began
        scorer.add(frames[number], dreamed, float(number / fps))
        if number in shown:
            cells.append((dreamed, f"frame {number + 1}"))
            print(number + 1, flush=True)
        began = time.perf_counter()
    score = scorer.result()

    settled = np.flatnonzero(score.times_seconds >= SETTLING_SECONDS)
    quarter = math.ceil(len(settled) / 4)
    quarters = {"first": settled[:quarter], "last": settled[-quarter:]}
    curves = {
        "strength": score.strength,
        "brightness": 255 * (score.brightness - score.source_brightness),
        "saturation": 255 * (score.saturation - score.source_saturation),
        "contrast": 255 * (score.contrast - score.source_contrast),
        "clipped": score.clipped,
    }
    means = {name: {part: float(np.mean(curve[at])) for part, at in quarters.items()} for name, curve in curves.items()}
    change = score.drift
    holds = {
        "strength": abs(change["strength"]) <= BARS["strength"],
        "clipped": score.mean_clipped <= BARS["clipped"],
    }
    result = {
        "clip": given.clip.stem,
        "frames": len(frames),
        "size": given.size,
        "seconds_per_frame": spent / len(frames),
        "bars": BARS,
        "holds": holds,
        "change": change,
        "levels": means,
        "mean_clipped": score.mean_clipped,
        "mean_excess": score.mean_excess,
        "mean_strength": score.mean_strength,
        "strength_each_second": [
            round(float(np.nanmean(part)), 3) for part in np.array_split(score.strength, math.ceil(len(frames) / fps))
        ],
    }
    keep(given.folder, f"drift-{given.clip.stem}", result, contact_sheet(cells, columns=len(cells)))


if __name__ == "__main__":
    main()
