"""Define what makes the frames of a render: from a video, or from one image."""

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

OWN_SOUND = "source"
"""What the setting `audio` says for the sound of the video that is dreamed on."""


@dataclass(frozen=True)
class Sound:
    """The source of the result's audio and subtitles, and what is known of its streams."""

    source: Source
    info: VideoInfo


class FrameProducer(Protocol):
    """Makes the frames of a render, segment by segment.

    kind: the command, for the recipe. sound: None if there is none. stopwatch: times all stages of the render.
    """

    kind: Literal["run", "zoom"]
    sound: Sound | None
    stopwatch: Stopwatch

    @property
    def device(self) -> torch.device:
        """What dreams."""

    @property
    def ascent(self) -> OctaveAscent:
        """The gradient ascent, for the profile."""

    def identity(self, sink: Sink) -> dict[str, str]:
        """Write down what the frames depend on."""

    def begin_planning(self) -> AbstractContextManager[None]:
        """Begin to plan, for `make_plan` within the context; other methods may be called meanwhile."""

    def make_plan(self, report: Callable[[Progress], None]) -> Plan:
        """List the frames to render, before anything is dreamed. Raises DreamvidError."""

    def check(self, plan: Plan) -> list[str]:
        """Raise SettingsError for settings that would stop the render midway; return warnings."""

    def spec(self, plan: Plan) -> StreamSpec:
        """Return what all frames of the result have in common."""

    def dreams(
        self, run: Sequence[Segment], plan: Plan, state: Mapping[str, Tensor] | None
    ) -> AbstractContextManager[Iterator[Tensor]]:
        """Dream the frames of segments that follow one another, (1, 3, H, W) in [0, 1] each.

        state: what `state` returned at the end of the segment before; None where a shot begins.
        """

    def state(self) -> dict[str, Tensor]:
        """Return what the next frame needs."""

    def provenance(self) -> dict[str, str]:
        """Return where the frames come from, for the recipe."""
