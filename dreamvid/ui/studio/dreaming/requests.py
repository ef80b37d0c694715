"""What the page asks the dreaming process for, and what it answers. All of it is plain data that can be pickled."""

from dataclasses import dataclass, field
from typing import Literal

from dreamvid.settings import Settings


@dataclass(frozen=True)
class Moment:
    """What is dreamed on: a source's name in the workspace, or `noise`, and a time in seconds."""

    source: str
    seconds: float = 0.0


@dataclass(frozen=True)
class PreviewRequest:
    """A preview of a frame. slot: A or B, the side of the page that shows it. number: grows with every request."""

    session: str
    number: int
    moment: Moment
    settings: Settings
    kind: Literal["run", "zoom"] = "run"


@dataclass(frozen=True)
class PresetsRequest:
    """Thumbnails of presets dreamed on one frame, one after another."""

    session: str
    number: int
    moment: Moment
    presets: tuple[tuple[str, Settings], ...]
    lines: int = 160


@dataclass(frozen=True)
class MotionRequest:
    """A draft of the seconds around a moment, as a video. output: the file that is written."""

    session: str
    number: int
    moment: Moment
    settings: Settings
    output: str
    seconds: float = 1.5
    kind: Literal["run", "zoom"] = "run"


@dataclass(frozen=True)
class AtlasRequest:
    """Images of the channels of a layer. output: the folder in which they are kept as CHANNEL.jpg."""

    session: str
    number: int
    settings: Settings
    layer: str
    channels: tuple[int, ...]
    output: str


@dataclass(frozen=True)
class LayersRequest:
    """The layers of a network, with their numbers of channels."""

    session: str
    number: int
    settings: Settings


Request = PreviewRequest | PresetsRequest | MotionRequest | AtlasRequest | LayersRequest


@dataclass(frozen=True)
class Answer:
    """An answer, or a part of one. name: of what is answered, such as `preview`. number: that of the request.

    stage: coarse, finer, fine; or part, done; or error, whose text is `message`. data: a JPEG. values: anything else.
    """

    session: str
    number: int
    name: str
    stage: str
    message: str = ""
    data: bytes = b""
    values: dict[str, object] = field(default_factory=dict)
