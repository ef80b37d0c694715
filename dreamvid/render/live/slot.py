"""Hand over the newest frame only: a mailbox with one slot between a thread that makes frames and those that take them.

A queue in its place would let the delay grow as soon as a reader is slower than the writer.
"""

import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# On Windows a wait for a lock is not interrupted by Ctrl-C, so no wait is longer than this.
_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class LiveFrame:
    """A frame on its way. pixels: uint8 (H, W, 3), RGB, never written to again. number: counts a source's frames.

    arrived_seconds: when the source's frame arrived, on the clock `time.monotonic`; a dreamed frame keeps it.
    """

    pixels: npt.NDArray[np.uint8]
    number: int
    arrived_seconds: float


class LatestFrame:
    """Holds the newest frame. Any thread may `put`; every reader has a place of its own in the sequence."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: LiveFrame | None = None
        self._count = 0
        self._closed = False

    @property
    def count(self) -> int:
        """Number of frames that were put in."""
        return self._count

    @property
    def closed(self) -> bool:
        """Tell whether no further frame comes."""
        return self._closed

    def put(self, frame: LiveFrame) -> None:
        """Replace the frame. Nothing waits, whoever reads or does not. Ignored after `close`."""
        with self._changed:
            if self._closed:
                return
            self._frame, self._count = frame, self._count + 1
            self._changed.notify_all()

    def latest(self) -> LiveFrame | None:
        """Return the newest frame, whoever has read it; None before the first."""
        return self._frame

    def close(self) -> None:
        """Announce that no further frame comes; all readers wake up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def subscribe(self) -> "FrameReader":
        """Make a reader that begins with the frame that is there now, if there is one."""
        return FrameReader(self)


class FrameReader:
    """One reader of a `LatestFrame`; belongs to one thread.

    dropped: number of frames that were replaced before this reader took them.
    """

    def __init__(self, slot: LatestFrame) -> None:
        self._slot = slot
        self._seen = max(0, slot._count - 1)
        self.dropped = 0

    @property
    def closed(self) -> bool:
        """Tell whether no further frame comes."""
        return self._slot.closed

    def get(self, timeout_seconds: float) -> LiveFrame | None:
        """Wait for a frame that this reader has not taken, the newest; None after the timeout and after `close`."""
        slot = self._slot
        deadline = time.monotonic() + timeout_seconds
        with slot._changed:
            while slot._count == self._seen and not slot._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                slot._changed.wait(min(left, _WAIT_SECONDS))
            if slot._count == self._seen or slot._frame is None:
                return None
            self.dropped += slot._count - self._seen - 1
            self._seen = slot._count
            return slot._frame
