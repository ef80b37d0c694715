"""Show the dream in a window of OpenCV: `window`, or `window:N` full screen on monitor N."""

import re
import sys

import cv2

from dreamvid.errors import OutputError
from dreamvid.render.live.sink import FrameSink, LiveSinkOptions
from dreamvid.render.live.slot import LiveFrame

_NAME = "dreamvid"
_FORM = re.compile(r"window(?::(\d+))?")
_LEAST_HEIGHT = 480  # of a window that is not full screen
_USUAL_WIDTH = 1920  # OpenCV does not know where a monitor begins


class WindowSink(FrameSink):
    """A window. Closing it ends the sink; keys go to the controls.

    monitor: full screen there; None for a window of its own.
    """

    reopens = False

    def __init__(self, name: str, options: LiveSinkOptions, monitor: int | None) -> None:
        super().__init__(name, options.say)
        self._on_key, self._monitor = options.on_key, monitor

    def open(self, frame: LiveFrame) -> None:
        """Open the window."""
        try:
            cv2.namedWindow(_NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
            height, width = frame.pixels.shape[:2]
            scale = max(1.0, _LEAST_HEIGHT / height)
            cv2.resizeWindow(_NAME, round(scale * width), round(scale * height))
            if self._monitor is not None:
                cv2.moveWindow(_NAME, _monitor_left(self._monitor), 0)
                cv2.setWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
        except cv2.error as error:
            raise OutputError(
                f"a window cannot be opened: {error.err}. Is there a screen? Show the page instead: `to=page`."
            ) from None

    def write(self, frame: LiveFrame) -> None:
        """Show a frame and pass on the key that was pressed."""
        try:
            cv2.imshow(_NAME, frame.pixels[:, :, ::-1])
            key = cv2.waitKeyEx(1)
            closed = cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error as error:
            raise OutputError(f"the window failed: {error.err}") from None
        left = "quit" if closed else self._on_key(key) if key >= 0 else ""
        if left == "quit":
            self.finished = True
        elif left == "full screen":
            full = cv2.getWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN) == cv2.WINDOW_FULLSCREEN
            cv2.setWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_NORMAL if full else cv2.WINDOW_FULLSCREEN)

    def shut(self) -> None:
        """Close the window."""
        try:
            cv2.destroyWindow(_NAME)
            cv2.waitKey(1)
        except cv2.error:
            pass  # the user has closed it

    def abort(self) -> None:
        """Do nothing: a window does not block."""


def _monitor_left(number: int) -> int:
    """Guess where a monitor begins, in pixels: monitors are usually side by side."""
    if sys.platform == "win32":
        import ctypes

        return number * int(ctypes.windll.user32.GetSystemMetrics(0))
    return number * _USUAL_WIDTH


class _Window:
    form = "window"

    def claims(self, text: str) -> bool:
        return _FORM.fullmatch(text) is not None

    def open(self, text: str, options: LiveSinkOptions) -> WindowSink:
        match = _FORM.fullmatch(text)
        assert match is not None
        return WindowSink(text, options, int(match[1]) if match[1] else None)


PLUGIN = _Window()
