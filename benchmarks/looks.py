"""Measure the shipped looks: how steady and constant each one is, and how far apart they are.

    python -m benchmarks.looks CLIP [CLIP …] [--frames 120] [--alone 16] [--width 240] [--preset NAME …]
    python -m benchmarks.looks --distances IMAGE-OR-VIDEO@TIME [--width 240]

Steadiness, of each look on each clip: `excess` is the warping error of the dream minus that of the source, over the
first `--alone` frames, as a share of the same of frames dreamed alone (with the look's own settings and no coherence).
`drift` is the change of the RMS of what the dream adds, from the first to the last quarter of the frames after the
first second; `clipped` is the share of pixels that it drives to black or white, as in `dreamvid score`. The bars are an
excess of 2 % and a drift of 15 %.

Distances: each look dreams the frame with two random seeds. Its features are the mean and the deviation of every
channel of four layers, from fine to coarse, and the mean and covariance of its chroma in OKLab, each divided by its
deviation over all looks. The distance of two looks is the RMS of their difference; the yardstick is the distance that
two seeds of the same look have. The table names the nearest other look of each.

Both write `looks.json` and `looks.md` to `benchmarks/results`; what is not measured again is kept.
"""

import argparse
import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dreamvid import dream_frames, dream_image, load_settings, read_frame
from dreamvid.dream.palette import Palette
from dreamvid.dream.tiles import read_activations
from dreamvid.figures.preset_gallery import at_height
from dreamvid.image.tensors import to_tensor
from dreamvid.metrics.report import SETTLING_SECONDS
from dreamvid.metrics.score import ObjectiveMeter, Scorer
from dreamvid.networks.network import load_network, share_networks
from dreamvid.settings import Preset, list_presets
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

FOLDER = Path(__file__).parent / "results"
BARS = {"excess": 0.02, "drift": 0.15}
LAYERS = ("blocks.1.2", "blocks.2.2", "blocks.3.2", "blocks.4.1")


def looks(names: Sequence[str]) -> list[Preset]:
    found = [preset for preset in list_presets("run") if preset.tags]
    return [preset for preset in found if not names or preset.name in names]


def read(path: str, width: int, count: int) -> tuple[list[np.ndarray], Fraction]:
    source = open_source(path)
    info = probe(source)
    size = Size(2 * round(info.size.height * width / info.size.width / 2), width)
    with FrameReader(source, info, stop=count, size=size) as reader:
        return [frame.pixels for frame in reader], info.frame_rate


def steadiness(preset: Preset, frames: list[np.ndarray], fps: Fraction, alone: int) -> dict[str, float]:
    settings = at_height(preset, frames[0].shape[0], device="cpu")
    # The score needs an objective that every frame has more or less of: what is compared is its error alone.
    meter = ObjectiveMeter.from_settings(load_settings(None, device="cpu", dream_height=settings.dream.dream_height))
    scorer, added = Scorer(meter), []
    for index, dreamed in enumerate(dream_frames(frames, settings, fps=fps)):
        if index < alone:
            scorer.add(frames[index], dreamed, float(index / fps))
        change = dreamed.astype(np.float32) - frames[index]
        added.append(float(np.sqrt(np.square(change).mean())))
    by_itself = at_height(preset, frames[0].shape[0], device="cpu", half_life_seconds=0, cadence=1)
    other = Scorer(meter)
    for index, dreamed in enumerate(dream_frames(frames[:alone], by_itself, fps=fps)):
        other.add(frames[index], dreamed, float(index / fps))
    score = scorer.result()
    settled = np.array(added[math.ceil(SETTLING_SECONDS * fps) :])
    quarter = max(1, len(settled) // 4)
    return {
        "excess": score.mean_excess / other.result().mean_excess,
        "drift": float(settled[-quarter:].mean() / settled[:quarter].mean() - 1),
        "clipped": score.mean_clipped,
    }


def features(image: np.ndarray, module: torch.nn.Module) -> Tensor:
    tensor = to_tensor(image)
    with torch.no_grad():
        found = read_activations(module, tensor.contiguous(memory_format=torch.channels_last))
    parts = []
    for layer in LAYERS:
        activations = found[layer].float()
        parts += [activations.mean(dim=(0, 2, 3)), activations.std(dim=(0, 2, 3))]
    palette = Palette.of_image(tensor)
    # As many numbers as a layer has, so that color counts as much as one.
    parts.append(torch.cat((palette.mean, palette.covariance.flatten().abs().sqrt())).repeat(20))
    return torch.cat(parts)


def distances(text: str, width: int) -> dict[str, dict[str, Any]]:
    frame = read_frame(text)
    height = round(frame.shape[0] * width / frame.shape[1])
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    module = load_network(device="cpu").truncate(LAYERS)
    chosen = looks(())
    rows = []
    for preset in chosen:
        print(preset.name, flush=True)
        rows.append(
            [
                features(dream_image(small, at_height(preset, height, device="cpu", seed=seed)), module)
                for seed in (0, 1)
            ]
        )
    table = torch.stack([torch.stack(pair) for pair in rows])  # looks, seeds, features
    table = table / table[:, 0].std(dim=0).clamp_min(1e-6)
    between = (table[:, None, 0] - table[None, :, 0]).square().mean(dim=2).sqrt()
    within = (table[:, 0] - table[:, 1]).square().mean(dim=1).sqrt()
    between.fill_diagonal_(math.inf)
    nearest = between.argmin(dim=1)
    return {
        preset.name: {
            "nearest": chosen[int(nearest[index])].name,
            "distance": float(between[index].min()),
            "own": float(within[index]),
        }
        for index, preset in enumerate(chosen)
    }


def write(known: dict[str, Any]) -> None:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "looks.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    clips = known.get("clips", {})
    lines = ["# Looks", "", "Made by `python -m benchmarks.looks`; its head says what the columns are.", ""]
    for clip, table in clips.items():
        lines += [f"## On {clip}", "", "| look | excess | drift | clipped | missed |", "|---|---|---|---|---|"]
        for name, row in sorted(table.items()):
            missed = [bar for bar, most in BARS.items() if not abs(row[bar]) <= most]
            cells = (f"{row['excess']:.2%}", f"{row['drift']:+.1%}", f"{row['clipped']:.1%}", ", ".join(missed))
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    for frame, table in known.get("distances", {}).items():
        lines += [f"## Distances on {frame}", "", "| look | nearest | distance | of two seeds |", "|---|---|---|---|"]
        for name, row in sorted(table.items(), key=lambda item: item[1]["distance"] / item[1]["own"]):
            lines.append(f"| {name} | {row['nearest']} | {row['distance']:.2f} | {row['own']:.2f} |")
        lines.append("")
    (FOLDER / "looks.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


@share_networks()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--alone", type=int, default=16)
    parser.add_argument("--width", type=int, default=240)
    parser.add_argument("--preset", action="append", default=[])
    parser.add_argument("--distances", metavar="FRAME")
    given = parser.parse_args(arguments)
    path = FOLDER / "looks.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if given.distances:
        known.setdefault("distances", {})[Path(given.distances).name] = distances(given.distances, given.width)
        write(known)
    for clip in given.clips:
        frames, fps = read(clip, given.width, given.frames)
        table = known.setdefault("clips", {}).setdefault(Path(clip).stem, {})
        for preset in looks(given.preset):
            table[preset.name] = steadiness(preset, frames, fps, given.alone)
            row = table[preset.name]
            print(f"{preset.name:18} {row['excess']:8.2%} {row['drift']:+8.1%} {row['clipped']:7.1%}", flush=True)
            write(known)


if __name__ == "__main__":
    main()
