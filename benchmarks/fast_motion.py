"""Measure fast and calm clips against bars: flashes, noise, evenness, flicker, strength, new regions and time.

    python -m benchmarks.fast_motion --fast bikes.mp4 --calm highway.mp4 mallard.mp4 [--frames 0:75]
                                     [--set cadence=1] [--folder benchmarks/results] [--cache FOLDER]

Each clip is dreamed with the default preset (and what --set says), and once more with every frame alone, which is kept
in the folder --cache if there is one. Both are encoded and scored as `dreamvid score` does it, by the definitions in
docs/coherence.md. Writes `fast-motion.md`, the table, and `fast-motion.json`, the scores without their curves.

Columns: flashes (per mille of blocks, and frames with more than 4 such blocks), noise (per mille), evenness (%), excess
and strength divided by those of each frame alone; the strength of regions that came into view four frames ago, divided
by that of frames dreamed alone there, and their largest change within four frames, divided by that of the rest; seconds
per frame. A value that misses its bar is bold.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamvid import dream_video, load_settings, score
from dreamvid.metrics.report import Score

NEW_FRAMES = 4  # regions that came into view so many frames ago are new


@dataclass(frozen=True)
class Column:
    """A column of the table: its format, its value, and the most and the least that is allowed by kind of clip."""

    title: str
    form: str
    value: Callable[[Score, Score], float]
    most: dict[str, float]
    least: dict[str, float]

    def cell(self, kind: str, ours: Score, alone: Score) -> str:
        value = self.value(ours, alone)
        if np.isnan(value):
            return "–"
        met = self.least.get(kind, -np.inf) <= value <= self.most.get(kind, np.inf)
        text = self.form.format(value)
        return text if met else f"**{text}**"

    def bar(self, kind: str) -> str:
        most = f"≤ {self.form.format(self.most[kind])}" if kind in self.most else ""
        least = f"≥ {self.form.format(self.least[kind])}" if kind in self.least else ""
        return most or least


def new_regions(ours: Score, alone: Score) -> float:
    """Divide the strength of regions that came into view by that of frames dreamed alone there."""
    ours_there, alone_there = (float(s.revealed_strength[NEW_FRAMES]) * s.mean_strength for s in (ours, alone))
    return ours_there / alone_there


def change(ours: Score, _: Score) -> float:
    """Largest change of regions that came into view, divided by that of the rest."""
    changes = ours.revealed_change[1 : NEW_FRAMES + 1]
    return float(np.nanmax(changes)) if np.isfinite(changes).any() else np.nan


BOTH = ("fast", "calm")
COLUMNS = (
    Column("flashes ‰", "{:.2f}", lambda s, _: s.mean_flashes, {"fast": 1.0, "calm": 0.1}, {}),
    Column("frames", "{:.0f}", lambda s, _: s.flash_frames, {"fast": 8}, {}),
    Column("noise ‰", "{:.2f}", lambda s, _: s.mean_noise, dict.fromkeys(BOTH, 0.0), {}),
    Column("evenness %", "{:.1f}", lambda s, _: s.mean_evenness, {"fast": 12}, {}),
    Column("excess of alone", "{:.2%}", lambda s, a: s.mean_excess / a.mean_excess, {"fast": 0.12, "calm": 0.01}, {}),
    Column(
        "strength of alone", "{:.0%}", lambda s, a: s.mean_strength / a.mean_strength, {}, {"fast": 1, "calm": 0.95}
    ),
    Column("new regions of alone", "{:.0%}", new_regions, {}, dict.fromkeys(BOTH, 0.95)),
    Column("their change", "{:.1f}", change, dict.fromkeys(BOTH, 1.5), {}),
)


def finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def summary(result: Score) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(result.to_json())
    del values["curves"]
    return values


@contextmanager
def folder(path: Path | None) -> Iterator[Path]:
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def dreamed(clip: Path, output: Path, frames: str, **overrides: str) -> tuple[Score, float]:
    """Dream a clip into a file and score it; also seconds a frame, of a render that is not there yet."""
    began, seconds = time.perf_counter(), np.nan
    if not output.exists():
        result = dream_video(clip, output, load_settings(None, frames=frames, device="cpu", **overrides))
        seconds = (time.perf_counter() - began) / result.frames
    return score(clip, output), seconds


def write(folder: Path, lines: Sequence[str], values: dict[str, Any]) -> None:
    """Write what there is so far."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fast-motion.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "fast-motion.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in BOTH:
        parser.add_argument(f"--{kind}", nargs="*", type=Path, default=[])
    parser.add_argument("--frames", default="0:75")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args(arguments)
    if not given.fast and not given.calm:
        parser.error("give at least one clip, after --fast or --calm")
    overrides = dict(text.split("=", 1) for text in given.set)

    titles = ["clip", *(column.title for column in COLUMNS), "s/frame"]
    lines = [
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, frames {given.frames}"
        f"{''.join(f', {name} {value}' for name, value in overrides.items())}. Bold: misses its bar.",
        "",
        *(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles))),
    ]
    records: dict[str, Any] = {}
    print("\n".join(lines), flush=True)
    with folder(given.cache) as cache, tempfile.TemporaryDirectory() as fresh:
        for kind in BOTH:
            clips = getattr(given, kind)
            for clip in clips:
                name = f"{clip.stem}-{given.frames.replace(':', '-')}"
                alone, _ = dreamed(clip, cache / f"{name}-alone.mp4", given.frames, coherence="0")
                ours, seconds = dreamed(clip, Path(fresh) / f"{name}.mp4", given.frames, **overrides)
                row = [clip.stem, *(column.cell(kind, ours, alone) for column in COLUMNS), f"{seconds:.2f}"]
                base = [
                    *(f"{clip.stem}, each frame alone", f"{alone.mean_flashes:.2f}", f"{alone.flash_frames}"),
                    *(f"{alone.mean_noise:.2f}", f"{alone.mean_evenness:.1f}", "100%", "100%", "100%"),
                    *(f"{change(alone, alone):.1f}", ""),
                ]
                records[clip.stem] = {
                    "kind": kind,
                    "seconds_per_frame": finite(seconds),
                    **{column.title: finite(column.value(ours, alone)) for column in COLUMNS},
                    "score": summary(ours),
                    "alone": summary(alone),
                }
                lines += [f"| {' | '.join(cells)} |" for cells in (row, base)]
                print("\n".join(lines[-2:]), flush=True)
                write(given.folder, lines, {"frames": given.frames, "set": overrides, "clips": records})
            if clips:
                lines.append(f"| bars, {kind} | {' | '.join(column.bar(kind) for column in COLUMNS)} | |")
                print(lines[-1], flush=True)
                write(given.folder, lines, {"frames": given.frames, "set": overrides, "clips": records})


if __name__ == "__main__":
    main()
