"""How far a render is, how fast, and which of its stages the others wait for."""

import html
import time
from collections import deque
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

from dreamvid.runtime.profiler import BusySeconds, Profile

STAGES = {"scan": "Reading", "plan": "Planning", "dream": "Dreaming", "join": "Joining"}


def describe(progress: "Progress") -> str:
    """Say a state in words: `frame 12 of 300, 2.3 fps, 2:05 left, slow: dream`."""
    words = [f"frame {progress.done}" + (f" of {progress.total}" if progress.total else "")]
    if progress.stage == "dream" and progress.fps > 0:
        words.append(f"{progress.fps:.2f} fps" if progress.fps < 10 else f"{progress.fps:.0f} fps")
    if progress.seconds_left is not None and progress.done != progress.total:
        words.append(f"{clock(progress.seconds_left)} left")
    if progress.bottleneck:
        words.append(f"slow: {progress.bottleneck}")
    return ", ".join(words)


def clock(seconds: float) -> str:
    """Write a time as m:ss, or h:mm:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_WINDOW_FRAMES = 30


@dataclass(frozen=True)
class Progress:
    """One moment of a render.

    `done` of `total` (None: not known yet) frames of this `stage`. `fps`: frames a second lately, 0 at first.
    `bottleneck`: decode, motion, dream or encode, the one that the others wait for. `message`: something to
    tell the user once.
    """

    stage: Literal["scan", "plan", "dream", "join"]
    done: int
    total: int | None
    fps: float = 0.0
    seconds_left: float | None = None
    bottleneck: str | None = None
    message: str = ""


@dataclass(frozen=True)
class RenderResult:
    """A finished render.

    `output`, `recipe`: the files. `frames`: how many the film has. `warnings`: what was lost or changed, as
    sentences. `resumed_from`: how many frames were there already. `profile`: where the time went.
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
        said = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        return f"<div>{file_html(self.output)}</div>{said}"


class ThroughputMeter:
    """Speed and slowest stage over the last frames."""

    def __init__(self, busy: BusySeconds) -> None:
        self._busy = busy
        self._moments: deque[tuple[float, tuple[float, ...]]] = deque(maxlen=_WINDOW_FRAMES + 1)
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self._moments.append((time.perf_counter(), astuple(self._busy)))

    def measure(self, done: int, total: int, message: str = "") -> Progress:
        """Note that another frame is done, and say how it goes."""
        self.start()
        (began, before), (now, after) = self._moments[0], self._moments[-1]
        fps = (len(self._moments) - 1) / max(now - began, 1e-9)
        spent = {
            name: after[place] - before[place] for place, name in enumerate(("decode", "motion", "dream", "encode"))
        }
        slow = max(spent, key=lambda name: spent[name])
        return Progress("dream", done, total, fps, (total - done) / fps, slow, message)
