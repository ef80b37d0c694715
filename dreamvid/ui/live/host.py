"""Say what the page, OSC and MIDI need of a live session."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dreamvid.render.live.controls import Controls
from dreamvid.render.live.slot import LatestFrame
from dreamvid.settings import Settings


class LiveHost(Protocol):
    """A live session as its controls see it. Everything may be used from any thread."""

    @property
    def controls(self) -> Controls:
        """What can be changed, and the state."""
        ...

    @property
    def settings(self) -> Settings:
        """The settings that the session began with: its network, its device and its random seed."""
        ...

    @property
    def output(self) -> LatestFrame:
        """The dream as it goes out, blackout and freeze included."""
        ...

    @property
    def source(self) -> LatestFrame:
        """The source's frames before they are dreamed on, for the presets' thumbnails."""
        ...

    @property
    def command(self) -> Sequence[str]:
        """The words of the command line that started the session, without those of settings and of the preset."""
        ...

    def take_camera(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Take a frame of the browser's camera, (H, W, 3) RGB, as the source; the newest one counts.

        Raises SourceError where the session does not take one.
        """
        ...

    def leave_camera(self) -> None:
        """Go back to the source that the session began with."""
        ...
