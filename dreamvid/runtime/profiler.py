"""Measure where a render's time goes: how long each stage works and waits, and how much data it moves.

with stopwatch.work("motion"):
    …
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Stage = Literal["decode", "motion", "dream", "encode", "join"]


@dataclass
class BusySeconds:
    """How long each stage has worked (not waited), in seconds of wall-clock time.

    decode: the time that was spent waiting for the decoder, which works in a process of its own. encode: without what
    the encoder of a finished segment still does while the next one begins.
    """

    decode: float = 0.0
    motion: float = 0.0
    dream: float = 0.0
    encode: float = 0.0
    join: float = 0.0


@dataclass(frozen=True)
class Span:
    """One period of work of a stage. Times are seconds of `time.perf_counter`."""

    stage: Stage
    thread: str
    began: float
    ended: float


@dataclass
class Stopwatch:
    """Times the stages of a render; each stage belongs to one thread.

    moved: bytes of images that a stage hands over: from the decoder's pipe, to the encoder's, and from the device
    (dream). spans: a list that keeps every span, or None, as a video of hours has too many of them. device: is waited
    for at the end of every stage's work; with None a GPU's work is counted where its result is awaited.
    """

    busy: BusySeconds = field(default_factory=BusySeconds)
    moved: dict[Stage, int] = field(default_factory=dict)
    spans: list[Span] | None = None
    device: "torch.device | None" = None

    @contextmanager
    def work(self, stage: Stage) -> Iterator[None]:
        """Count the time within the context as work of a stage, also if it ends with an exception."""
        began = time.perf_counter()
        try:
            yield
            if self.device is not None:
                from dreamvid.runtime.device import synchronize

                synchronize(self.device)
        finally:
            ended = time.perf_counter()
            setattr(self.busy, stage, getattr(self.busy, stage) + ended - began)
            if self.spans is not None:
                self.spans.append(Span(stage, threading.current_thread().name, began, ended))

    def add_bytes(self, stage: Stage, size: int) -> None:
        """Count bytes that a stage handed over."""
        self.moved[stage] = self.moved.get(stage, 0) + size

    def write_trace(self, path: Path) -> None:
        """Write the spans in Chrome's trace format, for chrome://tracing or https://ui.perfetto.dev."""
        spans = self.spans or []
        threads = {name: number for number, name in enumerate(dict.fromkeys(span.thread for span in spans), 1)}
        process, start = os.getpid(), min((span.began for span in spans), default=0.0)
        names = [
            {"name": "thread_name", "ph": "M", "pid": process, "tid": number, "args": {"name": name}}
            for name, number in threads.items()
        ]
        events = [
            {
                "name": span.stage,
                "ph": "X",
                "pid": process,
                "tid": threads[span.thread],
                "ts": round((span.began - start) * 1e6, 1),
                "dur": round((span.ended - span.began) * 1e6, 1),
            }
            for span in spans
        ]
        path.write_text(json.dumps({"traceEvents": [*names, *events], "displayTimeUnit": "ms"}), encoding="utf-8")


@dataclass(frozen=True)
class Roofline:
    """How close the network's gradients come to the device's peak.

    flop: floating-point operations of the network in the whole render, forward and backward. peak: operations per
    second, measured on the device with a large matrix product in the network's number format.
    """

    flop: float
    peak: float


@dataclass(frozen=True)
class Profile:
    """Where the time of a render went: `frames` in `seconds` of wall-clock time.

    dreamed_frames: how many of the frames went through the network; the others were interpolated.
    """

    frames: int
    dreamed_frames: int
    seconds: float
    busy: BusySeconds
    moved: dict[Stage, int]
    roofline: Roofline | None = None

    @property
    def slowest(self) -> float:
        """Busy seconds of the slowest stage: the render cannot take less."""
        return max(self.busy.decode, self.busy.motion, self.busy.dream, self.busy.encode)
