"""How a render is carried out, as opposed to the settings, which say what its frames are."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dreamvid.errors import OutputError, SettingsError
from dreamvid.render.plan import SEGMENT_SECONDS
from dreamvid.render.progress import Progress

if TYPE_CHECKING:
    from dreamvid.render.ray.options import RayOptions
    from dreamvid.render.ray.pool import WorkerPool


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """The choices of one render's host; none but `split_seconds` changes a frame.

    overwrite: replace an output that exists. restart: discard an unfinished render of the same output and begin again.
    on_progress: is called in the rendering thread, about once a frame. cancel: the host sets this event, from any
    thread, to stop the render as Ctrl-C does. preview_every_seconds: how often `<stem>.partial<suffix>` and the image
    `<stem>.partial.png` are refreshed; None: never. profile: measure the device's peak too, for the result's
    `profile.roofline`, and wait for a GPU at the end of every stage. trace: file for the times at which each stage
    worked, in Chrome's trace format. split_seconds: plan shots that are longer in pieces of about so many seconds
    which stand alone, so that several workers can share a shot; at the seams frames differ a little from those of a
    whole shot. None: every shot is whole. ray: render on the workers of a Ray cluster: "local", "auto" or HOST:PORT,
    `RayOptions`, or a `WorkerPool` that the host has opened for several renders; None: in this process.

    Raises SettingsError for a number out of range, OutputError if the trace's folder does not exist.
    """

    overwrite: bool = False
    restart: bool = False
    on_progress: Callable[[Progress], None] | None = None
    cancel: threading.Event | None = None
    preview_every_seconds: float | None = None
    profile: bool = False
    trace: str | Path | None = None
    split_seconds: float | None = None
    ray: "str | bool | RayOptions | WorkerPool | None" = None

    def __post_init__(self) -> None:
        every = self.preview_every_seconds
        if every is not None and not every > 0:
            raise SettingsError(f"`preview_every_seconds` must be greater than 0, got {every}. Give for example 10.")
        refuse_short_split(self.split_seconds)
        if self.ray is not None and self.ray is not False:
            alone = {"preview_every_seconds": every, "profile": self.profile or None, "trace": self.trace}
            if given := [f"`{name}`" for name, value in alone.items() if value is not None]:
                raise SettingsError(
                    f"{', '.join(given)} can only be had of a render in one process: leave it out, or leave out `ray`."
                )
        if self.trace is not None and not (folder := Path(self.trace).expanduser().parent).is_dir():
            raise OutputError(f"the folder for the trace does not exist: {folder}. Make it first: mkdir -p {folder}")


class RenderKeywords(TypedDict, total=False):
    """The fields of `RenderOptions` as keyword arguments."""

    overwrite: bool
    restart: bool
    on_progress: Callable[[Progress], None] | None
    cancel: threading.Event | None
    preview_every_seconds: float | None
    profile: bool
    trace: str | Path | None
    split_seconds: float | None
    ray: "str | bool | RayOptions | WorkerPool | None"


def refuse_short_split(seconds: float | None) -> None:
    """Raise SettingsError for pieces that are shorter than the segments of a render."""
    if seconds is not None and not seconds >= SEGMENT_SECONDS:
        raise SettingsError(
            f"`split_seconds` must be {SEGMENT_SECONDS} or more, got {seconds:g}. Give for example 30: each piece also "
            "dreams some seconds that are not shown."
        )
