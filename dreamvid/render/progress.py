"""Measure how far a render is, how fast it goes and which of its stages the others wait for."""

import html
import json
import time
from collections import deque
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Literal

from dreamvid.runtime.profiler import BusySeconds, Profile

STAGES = {"scan": "Reading", "plan": "Planning", "dream": "Dreaming", "join": "Joining"}
JSON_VERSION = 1

_WINDOW_FRAMES = 30


@dataclass(frozen=True)
class WorkerProgress:
    """What one of several workers does.

    worker: its name, such as "10.0.0.5:1234" (address and process). frames: what it renders, START:STOP. done, total:
    frames of these. fps: frames per second lately.
    """

    worker: str
    frames: str
    done: int
    total: int
    fps: float = 0.0


@dataclass(frozen=True)
class Progress:
    """One moment of a render.

    stage: scan (the source is read), plan (shots and segments are found), dream, join. done, total: frames of this
    stage; `total` is None while it is not known. fps: frames per second lately, 0 at first. seconds_left: estimate,
    None while there is none. bottleneck: decode, motion, dream or encode, the stage that the others wait for.
    message: something to tell the user once, or "". workers: what each worker does, where several render.
    """

    stage: Literal["scan", "plan", "dream", "join"]
    done: int
    total: int | None
    fps: float = 0.0
    seconds_left: float | None = None
    bottleneck: str | None = None
    message: str = ""
    workers: tuple[WorkerProgress, ...] = ()

    def to_json(self, source: str | None = None) -> str:
        """Write as one line of JSON, for other programs. source: the one of several that this is about.

        An object with these keys, always all of them (docs/automation.md; the command line adds lines of other stages,
        for messages and for the end):

            version       1; a change that breaks readers gets another number, new keys do not
            stage         "scan", "plan", "dream" or "join"
            frame         frames done in this stage
            total         frames of this stage, or null
            fps           frames per second lately, 0 at first
            seconds_left  of this stage, or null
            message       something to tell the user once, or ""
            bottleneck    "decode", "motion", "dream", "encode" or null
            source        the source, where a command has several, or null
            workers       of a render on several workers, what each does; else []
        """
        return json.dumps(
            {
                "version": JSON_VERSION,
                "stage": self.stage,
                "frame": self.done,
                "total": self.total,
                "fps": round(self.fps, 3),
                "seconds_left": None if self.seconds_left is None else round(self.seconds_left, 1),
                "message": self.message,
                "bottleneck": self.bottleneck,
                "source": source,
                "workers": [asdict(worker) for worker in self.workers],
            }
        )


def describe(progress: Progress) -> str:
    """Describe a state in a few words: `frame 12 of 300, 2.3 fps, 2:05 left, slow: dream`."""
    parts = [f"frame {progress.done}" + (f" of {progress.total}" if progress.total else "")]
    if progress.stage == "dream" and progress.fps > 0:
        parts.append(f"{progress.fps:.2f} fps" if progress.fps < 10 else f"{progress.fps:.0f} fps")
    if progress.seconds_left is not None and progress.done != progress.total:
        parts.append(f"{clock(progress.seconds_left)} left")
    if progress.workers:
        parts.append(f"{len(progress.workers)} workers")
    if progress.bottleneck:
        parts.append(f"slow: {progress.bottleneck}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Write a time as m:ss, or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(frozen=True)
class RenderResult:
    """A finished render.

    output, recipe: the files. frames: how many the video has. warnings: what was lost or changed, as sentences.
    resumed_from: how many frames an earlier run had done. profile: where the time went.
    """

    output: Path
    recipe: Path
    frames: int
    warnings: tuple[str, ...]
    resumed_from: int
    profile: Profile

    def _repr_html_(self) -> str:
        """Show the video itself, for a notebook."""
        from dreamvid.image.html import file_html  # with numpy, which the command line's help does without

        lines = [f"{self.frames} frames: {self.output.name}, with its recipe, {self.recipe.name}", *self.warnings]
        text = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        return f"<div>{file_html(self.output)}</div>{text}"


class ThroughputMeter:
    """Measures the speed and the slowest stage over the last frames."""

    def __init__(self, busy: BusySeconds) -> None:
        self._busy = busy
        self._moments: deque[tuple[float, tuple[float, ...]]] = deque(maxlen=_WINDOW_FRAMES + 1)
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self._moments.append((time.perf_counter(), astuple(self._busy)))

    def measure(self, done: int, total: int, message: str = "") -> Progress:
        """Count one more frame as done and return the progress."""
        self.start()
        (began, before), (now, after) = self._moments[0], self._moments[-1]
        fps = (len(self._moments) - 1) / max(now - began, 1e-9)
        stages = ("decode", "motion", "dream", "encode")
        spent = {name: after[index] - before[index] for index, name in enumerate(stages)}
        slowest = max(spent, key=lambda name: spent[name])
        return Progress("dream", done, total, fps, (total - done) / fps, slowest, message)
