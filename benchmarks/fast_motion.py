"""Measure fast and calm clips against bars: flashes, noise, evenness, flicker, strength, new regions and time.

    python -m benchmarks.fast_motion --fast bikes.mp4 --calm highway.mp4 mallard.mp4 [--frames 0:75]
                                     [--set cadence=1] [--baseline CHECKOUT] [--cache FOLDER] [--slices FOLDER]
                                     [--folder benchmarks/results]

Each clip is dreamed by `dreamvid run` with the default preset (and what --set says), by the same command of another
checkout (--baseline), and with every frame alone, which is kept in the folder --cache if there is one. All are scored
as `dreamvid score` does it, by the definitions in docs/coherence.md. Writes `fast-motion.md`, the tables, and
`fast-motion.json`, the scores without their curves; with --slices, images over time of each clip's middle row.

Columns: flashes (per mille of blocks, and frames with more than 4 such blocks), noise (per mille), evenness (%), excess
and strength divided by those of each frame alone; the excess by Farneback's flow at full size, of alone; the strength
of regions that came into view four frames ago, divided by that of frames dreamed alone there; their change, divided by
that of older regions that move as fast, four frames after they came into view, and at most within these; how many
frames were dreamed; CPU seconds per frame of the whole command, and divided by those of the baseline. A value that
misses its bar is bold. A second table has the spectra of what the dream adds, by the wavelength, at some frames of each
clip.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.spectra import BANDS, SHOWN, farneback_excess, spectrum, write_slices
from dreamvid import score
from dreamvid.metrics.report import Score
from dreamvid.metrics.score import read_pairs

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
    """Change of regions that came into view, divided by that of the rest."""
    return float(ours.revealed_change[NEW_FRAMES])


def most_change(ours: Score, _: Score) -> float:
    """Largest change of regions since they came into view, divided by that of the rest."""
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
    Column("their change", "{:.2f}", change, dict.fromkeys(BOTH, 1.5), {}),
    Column("at most", "{:.2f}", most_change, dict.fromkeys(BOTH, 1.5), {}),
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


@dataclass(frozen=True)
class Dreamed:
    """A dreamed clip: score, CPU seconds per frame (NaN if it was there already), and excess by another flow."""

    output: Path
    score: Score
    cpu_seconds: float
    other_excess: float

    @property
    def dreamed_frames(self) -> int | None:
        recipe = tomllib.loads(self.output.with_name(f"{self.output.name}.toml").read_text(encoding="utf-8"))
        found: int | None = recipe["provenance"].get("dreamed_frames")
        return found


def dream(clip: Path, output: Path, frames: str, *options: str, checkout: Path | None = None) -> Dreamed:
    """Dream a clip into a file, which may be there already, with this or another checkout; score it."""
    seconds = np.nan
    if not output.exists():
        environment = dict(os.environ, PYTHONPATH=str(checkout or Path(__file__).parents[1]))
        command = [sys.executable, "-m", "dreamvid", "run", str(clip.resolve()), "-o", str(output.resolve())]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*command, "--frames", frames, "--device", "cpu", *options], check=True, env=environment, cwd=output.parent
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = score(clip, output)
    return Dreamed(output, result, seconds / result.frames, farneback_excess(clip, output, result.cuts))


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
    for name in ("cache", "baseline", "slices"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args(arguments)
    if not given.fast and not given.calm:
        parser.error("give at least one clip, after --fast or --calm")
    options = [word for text in given.set for word in _flag(text)]
    titles = [
        "clip",
        *(column.title for column in COLUMNS),
        "excess, Farneback",
        "dreamed",
        "CPU s/frame",
        "of baseline",
    ]
    lines = [
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, frames {given.frames}"
        f"{''.join(f', {text}' for text in given.set)}. Bold: misses its bar.",
        "",
        *(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles))),
    ]
    spectra = [
        "",
        "RMS of what the dream adds, in levels of 255, by the wavelength in pixels:",
        "",
        f"| clip, frame | {' | '.join(f'{low}–{high}' for low, high in BANDS)} |",
        f"|{' --- |' * (len(BANDS) + 1)}",
    ]
    records: dict[str, Any] = {}
    print("\n".join(lines), flush=True)

    def add(line: str) -> None:
        lines.append(line)
        print(line, flush=True)
        write(given.folder, [*lines, *spectra], {"frames": given.frames, "set": given.set, "clips": records})

    with folder(given.cache) as cache, tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        for kind in BOTH:
            clips = getattr(given, kind)
            for clip in clips:
                stem = f"{clip.stem}-{given.frames.replace(':', '-')}"
                alone = dream(clip, cache / f"{stem}-alone.mp4", given.frames, "--coherence", "0")
                rows = {clip.stem: dream(clip, fresh / f"{stem}.mp4", given.frames, *options)}
                if given.baseline is not None:
                    rows["baseline"] = dream(clip, fresh / f"{stem}-base.mp4", given.frames, checkout=given.baseline)
                rows["each frame alone"] = alone
                records[clip.stem] = {"kind": kind}
                for title, row in rows.items():
                    ratio = row.cpu_seconds / rows["baseline"].cpu_seconds if "baseline" in rows else np.nan
                    barred = kind if title == clip.stem else ""
                    cells = [
                        *(column.cell(barred, row.score, alone.score) for column in COLUMNS),
                        f"{row.other_excess / alone.other_excess:.2%}",
                        f"{row.dreamed_frames or ''}",
                        *("" if np.isnan(value) else f"{value:.2f}" for value in (row.cpu_seconds, ratio)),
                    ]
                    records[clip.stem][title] = {
                        "cpu_seconds_per_frame": finite(row.cpu_seconds),
                        "excess_by_farneback": row.other_excess,
                        **{column.title: finite(column.value(row.score, alone.score)) for column in COLUMNS},
                        "score": summary(row.score),
                    }
                    add(f"| {' | '.join([title, *cells])} |")
                shown = [frame for frame in SHOWN if frame < alone.score.frames]
                for frame, pair in sorted(read_pairs(clip, rows[clip.stem].output, shown).items()):
                    powers = " | ".join(f"{power:.1f}" for power in spectrum(*pair))
                    spectra.append(f"| {clip.stem}, {frame} | {powers} |")
                if given.slices is not None:
                    write_slices(clip, rows[clip.stem].output, alone.score.frames, given.slices / f"{stem}.png")
            if clips:
                add(f"| bars, {kind} | {' | '.join(column.bar(kind) for column in COLUMNS)} | | | | |")
    print("\n".join(spectra), flush=True)


def _flag(text: str) -> tuple[str, str]:
    name, value = text.split("=", 1)
    return f"--{name.replace('_', '-')}", value


if __name__ == "__main__":
    main()
