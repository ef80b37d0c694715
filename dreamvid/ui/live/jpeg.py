"""Encode the newest picture as JPEG, once for all who watch, and only while somebody does; read a camera's JPEG."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamvid.errors import SourceError
from dreamvid.render.live.slot import LatestFrame

_QUALITY = 88
_WIDEST = 1920  # a larger picture takes longer to encode, to send and to show than a frame lasts
_WAIT_SECONDS = 0.2
MOST_CAMERA_PIXELS = 1920 * 1920


class JpegStream:
    """The newest picture of a slot as JPEG. A thread encodes while at least one viewer is there."""

    def __init__(self, frames: LatestFrame, most_viewers: int = 100) -> None:
        self._frames, self._most = frames, most_viewers
        self._changed = threading.Condition()
        self._viewers = 0
        self._thread: threading.Thread | None = None
        self._newest: tuple[int, bytes] | None = None
        self._count = 0
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many watch."""
        return self._viewers

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Count as a viewer in the block; yields False, and does not count, where there are too many already."""
        with self._changed:
            taken = self._viewers < self._most and not self._closed
            if taken:
                self._viewers += 1
                if self._thread is None:
                    self._thread = threading.Thread(target=self._encode, name="live jpeg", daemon=True)
                    self._thread.start()
        try:
            yield taken
        finally:
            if taken:
                with self._changed:
                    self._viewers -= 1

    def after(self, number: int, timeout_seconds: float) -> tuple[int, bytes] | None:
        """Wait for a picture newer than `number`; return its number and its JPEG, None after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while self._newest is None or self._newest[0] <= number:
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    return None
                self._changed.wait(min(left, _WAIT_SECONDS))
            return self._newest

    def picture(self) -> bytes | None:
        """Encode the newest picture now; None before the first."""
        frame = self._frames.latest()
        return None if frame is None else encode_jpeg(_fit(frame.pixels))

    def close(self) -> None:
        """End: viewers wake up and get no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _encode(self) -> None:
        reader = self._frames.subscribe()
        while True:
            with self._changed:
                if self._closed or self._viewers == 0:
                    self._thread = None
                    self._newest = None
                    return
            frame = reader.get(_WAIT_SECONDS)
            if frame is None:
                if reader.closed:
                    time.sleep(_WAIT_SECONDS)
                continue
            data = encode_jpeg(_fit(frame.pixels))
            with self._changed:
                self._count += 1
                self._newest = (self._count, data)
                self._changed.notify_all()


def _fit(pixels: npt.NDArray[np.uint8]) -> "cv2.typing.MatLike":
    height, width = pixels.shape[:2]
    if width <= _WIDEST:
        return pixels
    return cv2.resize(pixels, (_WIDEST, max(1, round(height * _WIDEST / width))), interpolation=cv2.INTER_AREA)


def encode_jpeg(pixels: "cv2.typing.MatLike", quality: int = _QUALITY) -> bytes:
    """Encode a picture, uint8 (H, W, 3) RGB."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def read_camera_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a JPEG of a browser's camera into uint8 (H, W, 3), RGB. Raises SourceError.

    It is data of a stranger: one format, and a size that is checked before anything is decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.width * image.height > MOST_CAMERA_PIXELS:
                raise SourceError(
                    f"A camera's picture may have {MOST_CAMERA_PIXELS} pixels, got {image.width}x{image.height}."
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged data
        raise SourceError(f"The camera's picture is no JPEG: {error}.") from None
