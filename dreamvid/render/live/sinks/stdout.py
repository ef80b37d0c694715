"""Write y4m to stdout at a constant rate, for another program: `-`."""

import os
import sys
from fractions import Fraction

import cv2

from dreamvid.errors import OutputError
from dreamvid.render.live.sink import LiveSinkOptions, PacedSink
from dreamvid.render.live.slot import LiveFrame


class StdoutSink(PacedSink):
    """Frames in YUV 4:2:0, BT.601, limited range, which every reader of y4m understands."""

    reopens = False

    def open(self, frame: LiveFrame) -> None:
        """Write the header."""
        height, width = (side - side % 2 for side in frame.pixels.shape[:2])
        rate = Fraction(self.fps).limit_denominator(1001)
        self._shape = height, width
        self._file = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        form = f"W{width} H{height} F{rate.numerator}:{rate.denominator} Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED"
        self._file.write(f"YUV4MPEG2 {form}\n".encode())

    def write(self, frame: LiveFrame) -> None:
        """Write a frame."""
        height, width = self._shape
        planes = cv2.cvtColor(frame.pixels[:height, :width], cv2.COLOR_RGB2YUV_I420)
        self._file.write(b"FRAME\n")
        self._file.write(planes.data)
        self._file.flush()

    def shut(self) -> None:
        """Flush."""
        self._file.close()

    def abort(self) -> None:
        """Do nothing: a reader that is gone makes the next write fail."""


class _Stdout:
    form = "- (y4m on stdout)"

    def claims(self, text: str) -> bool:
        return text == "-"

    def open(self, text: str, options: LiveSinkOptions) -> StdoutSink:
        if sys.stdout is None or sys.stdout.isatty():
            raise OutputError("'-' writes y4m to stdout, which is a terminal. Pipe it into a program, such as mpv -")
        return StdoutSink("stdout", options)


PLUGIN = _Stdout()
