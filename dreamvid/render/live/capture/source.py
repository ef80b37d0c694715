"""Define live sources: what a live dream is made of, and the registry of their kinds.

A kind is one file in `render/live/capture/sources/`: it tells whether a text is its own and opens it. What it opens is
read by ffmpeg (`FfmpegInput`), sent by a browser (`PushedInput`), or one image through which a camera moves
(`StartInput`).
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from dreamvid.errors import SourceError, nearest
from dreamvid.render.start_image import StartImage
from dreamvid.runtime.plugins import Registry


@dataclass(frozen=True, kw_only=True)
class LiveInput:
    """An opened live source. text: what the user wrote."""

    text: str


@dataclass(frozen=True, kw_only=True)
class FfmpegInput(LiveInput):
    """A source that ffmpeg reads.

    input_args: ffmpeg's options that open it. kind: a file, which is read in its own time and over again; a device; or
    an address. has_sound: None where it is known only when it is open. advice: what to do if it cannot be opened.
    """

    input_args: tuple[str, ...]
    kind: Literal["file", "device", "address"]
    has_sound: bool | None = False
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class PushedInput(LiveInput):
    """A source whose frames the page's camera button sends: see `LiveSession.take_camera`."""


@dataclass(frozen=True, kw_only=True)
class StartInput(LiveInput):
    """An image, or noise, in which an animation without an end begins."""

    start: StartImage


class LiveSourceKind(Protocol):
    """One kind of live source: the `PLUGIN` of its module. form: how a user writes it, such as `camera:N`."""

    form: str

    def claims(self, text: str) -> bool:
        """Tell whether a text names a source of this kind. Nothing is opened."""
        ...

    def open(self, text: str) -> LiveInput:
        """Open it. Raises SourceError."""
        ...

    def devices(self) -> list[tuple[str, str]]:
        """List what there is of this kind on this machine: what to type, and its name; for `--list`."""
        ...


IN_ITS_OWN_TIME = ("-readrate", "1", "-readrate_initial_burst", "0.04")
"""ffmpeg's options that read a file as fast as it plays. By default the first half second comes at once."""

LIVE_SOURCES: Registry[LiveSourceKind] = Registry(
    "live source", "dreamvid.render.live.capture.sources", "dreamvid.live_sources"
)
_LAST = "file"  # takes every name that is left


def live_sources() -> list[LiveSourceKind]:
    """Load all kinds, in the order in which they are asked."""
    return [LIVE_SOURCES.load(name) for name in sorted(LIVE_SOURCES.names(), key=lambda name: (name == _LAST, name))]


def open_live_source(text: str) -> LiveInput:
    """Understand what the user named as a live source. Raises SourceError."""
    kinds = live_sources()
    for kind in kinds:
        if kind.claims(text):
            return kind.open(text)
    forms = [kind.form for kind in kinds]
    raise SourceError(
        f"There is no source {text!r}.{nearest(text, [form.partition(':')[0] for form in forms])} "
        f"Allowed: {', '.join(forms)}. Cameras are named by: dreamvid live --list"
    )


def list_devices() -> list[tuple[str, str]]:
    """List the cameras, screens and other devices of this machine: what to type, and the name."""
    return [device for kind in live_sources() for device in kind.devices()]
