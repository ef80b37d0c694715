"""Capture the screen: x11grab on Linux, avfoundation on a Mac, gdigrab on Windows."""

import os
import sys

from dreamvid.errors import SourceError
from dreamvid.render.live.capture.source import FfmpegInput

_RATE = "30"


class _Screen:
    form = "screen"

    def claims(self, text: str) -> bool:
        return text == "screen" or text.startswith("screen:")

    def open(self, text: str) -> FfmpegInput:
        number = text.removeprefix("screen").removeprefix(":")
        if sys.platform == "linux":
            display = f":{number}" if number else os.environ.get("DISPLAY", "")
            if not display:
                raise SourceError(
                    "There is no screen to capture: the variable DISPLAY is not set. (Wayland without X cannot be "
                    "captured.) Give the display's number, such as screen:0, or another source."
                )
            args = ["-f", "x11grab", "-framerate", _RATE, "-i", display]
        elif sys.platform == "win32":
            args = ["-f", "gdigrab", "-framerate", _RATE, "-i", "desktop"]
        else:
            args = ["-f", "avfoundation", "-framerate", _RATE, "-i", f"Capture screen {number or 0}:none"]
        return FfmpegInput(
            text=text, input_args=tuple(args), kind="device", advice="May this program record the screen?"
        )

    def devices(self) -> list[tuple[str, str]]:
        shown = sys.platform != "linux" or "DISPLAY" in os.environ
        return [("screen", os.environ.get("DISPLAY", "the whole screen"))] if shown else []


PLUGIN = _Screen()
