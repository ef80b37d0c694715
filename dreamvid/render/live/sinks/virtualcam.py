"""Show the dream as a camera to other programs, by pyvirtualcam: `virtualcam`, or `virtualcam:DEVICE`."""

import importlib
import importlib.util
from typing import Any

from dreamvid.errors import OutputError
from dreamvid.render.live.sink import LiveSinkOptions, PacedSink
from dreamvid.render.live.slot import LiveFrame

_PREFIX = "virtualcam"


class VirtualCamera(PacedSink):
    """A camera that OBS or v4l2loopback makes. device: which one; None for the first."""

    def __init__(self, name: str, options: LiveSinkOptions, device: str | None) -> None:
        super().__init__(name, options)
        self._device = device
        self._camera: Any = None

    def open(self, frame: LiveFrame) -> None:
        """Open the camera."""
        pyvirtualcam: Any = importlib.import_module("pyvirtualcam")

        height, width = frame.pixels.shape[:2]
        try:
            self._camera = pyvirtualcam.Camera(width=width, height=height, fps=self.fps, device=self._device)
        except (RuntimeError, ValueError) as error:
            raise OutputError(
                f"no virtual camera: {str(error).rstrip('.')}. "
                "On Linux load v4l2loopback (sudo modprobe v4l2loopback), elsewhere install OBS."
            ) from None

    def write(self, frame: LiveFrame) -> None:
        """Send a frame."""
        self._camera.send(frame.pixels)

    def shut(self) -> None:
        """Close the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def abort(self) -> None:
        """Do nothing: sending does not block."""


class _VirtualCamera:
    form = "virtualcam"

    def claims(self, text: str) -> bool:
        return text == _PREFIX or text.startswith(f"{_PREFIX}:")

    def open(self, text: str, options: LiveSinkOptions) -> VirtualCamera:
        if importlib.util.find_spec("pyvirtualcam") is None:
            raise OutputError(
                "A virtual camera needs the package pyvirtualcam (GPL-2.0): pip install 'dreamvid[virtualcam]'"
            )
        return VirtualCamera(text, options, text.partition(":")[2] or None)


PLUGIN = _VirtualCamera()
