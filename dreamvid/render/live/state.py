"""Describe a live session as its hosts show it: numbers of the source, the dream, the controller and the sinks."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

STATE_VERSION = 1
"""Version of the keys and meanings of `LiveState.to_json`."""

SourceStatus = Literal["connecting", "connected", "stalled", "reconnecting", "ended"]


@dataclass(frozen=True)
class SourceState:
    """A live source. text: as the user named it. message: what happened last, for the user; "" if nothing did.

    width, height: in pixels, of the frames that it gives to the dream; 0 before the first. frames: how many arrived.
    reconnections: how often it came back after it was lost.
    """

    text: str
    status: SourceStatus = "connecting"
    message: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    reconnections: int = 0


@dataclass(frozen=True)
class SinkState:
    """A sink. sent: frames that it took. dropped: frames that it was too slow for. error: "" while it works."""

    name: str
    sent: int = 0
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True)
class QualityState:
    """What the quality controller does. level: steps below full quality. doing: in words; "" at full quality.

    steps_down, steps_up: how often it lowered and raised the quality. warm_iterations, dream_height, cadence: in force.
    frame_ms: the time that a frame takes. budget_ms: the time that there is for one.
    """

    level: int = 0
    doing: str = ""
    steps_down: int = 0
    steps_up: int = 0
    warm_iterations: int = 0
    dream_height: int = 0
    cadence: int = 1
    frame_ms: float = 0.0
    budget_ms: float = 0.0


@dataclass(frozen=True)
class RecordingState:
    """What is being recorded. seconds: its length. error: why it ended; "" while it works."""

    path: str
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class LiveState:
    """A live session at a moment.

    time_seconds: since its start. fps_in, fps_out: frames per second that arrive and that are sent out. delay_ms: from
    a frame's arrival to the sinks. dropped: input frames that were replaced before they were dreamed. dreamed: frames
    that were dreamed, or that the dream was carried to. signals: the sound's values, by the names that schedules use.
    message: the latest one for the user. events: counts of what went wrong and was overcome, by name.
    """

    time_seconds: float = 0.0
    fps_in: float = 0.0
    fps_out: float = 0.0
    delay_ms: float = 0.0
    dropped: int = 0
    dreamed: int = 0
    frozen: bool = False
    blackout: bool = False
    source: SourceState = field(default_factory=lambda: SourceState(""))
    quality: QualityState = field(default_factory=QualityState)
    sinks: tuple[SinkState, ...] = ()
    recording: RecordingState | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    message: str = ""

    def to_json(self) -> str:
        """Return the state as a JSON object with its version."""
        return json.dumps({"version": STATE_VERSION, **asdict(self)})
