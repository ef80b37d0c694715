"""What a render asks of what it renders: footage that is dreamed on, or a journey from one image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from dreamvid.dream.octaves import OctaveAscent
from dreamvid.render.plan import Plan, Segment
from dreamvid.render.progress import Progress
from dreamvid.runtime.profiler import Stopwatch
from dreamvid.video.encode import StreamSpec
from dreamvid.video.probe import VideoInfo
from dreamvid.video.sink import Sink
from dreamvid.video.source import Source


@dataclass(frozen=True)
class Sound:
    """Where the result's sound (and subtitles) come from: a file, and which streams of it."""

    source: Source
    info: VideoInfo


class FrameProducer(Protocol):
    """Dreams the frames of a film, segment by segment. `sound` is None where there is none.

    `ascent` is what dreams its images, `stopwatch` for everyone who works on the film.
    """

    kind: Literal["run", "zoom"]
    device: torch.device
    sound: Sound | None
    stopwatch: Stopwatch
    ascent: OctaveAscent

    def identity(self, sink: Sink) -> dict[str, str]:
        """Write down what the frames depend on."""

    def make_plan(self, report: Callable[[Progress], None]) -> Plan:
        """Say which frames there are, before anything is dreamed. Raises DreamvidError."""

    def check(self, plan: Plan) -> list[str]:
        """Raise SettingsError for settings that would stop the render half-way; return warnings."""

    def spec(self, plan: Plan) -> StreamSpec:
        """What the result's frames have in common."""

    def dreams(
        self, run: Sequence[Segment], plan: Plan, state: Mapping[str, Tensor] | None
    ) -> AbstractContextManager[Iterator[Tensor]]:
        """Dream the frames of segments that follow one another, (1, 3, H, W) in [0, 1] each.

        state: what `state` returned at the end of the segment before; None where a shot begins.
        """

    def state(self) -> dict[str, Tensor]:
        """What the next frame needs."""

    def provenance(self) -> dict[str, str]:
        """Where the frames come from, for the recipe."""
