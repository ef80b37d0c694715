"""Dream the presets' thumbnails on the current frame: when asked, one at a time, in a process of low priority.

The dream that is live keeps its network and its time. The process (`thumbnail_worker.py`) begins with the first
thumbnail and ends when there was nothing to do for a while.
"""

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.settings import Settings, load_settings, merge
from dreamvid.ui.live.host import LiveHost

HEADER = struct.Struct("<II")
"""Before a request and before an answer: the bytes of its JSON and of its pixels, or of its JPEG."""
LINES = 240
"""Height of the frame that is dreamed on: networks see little in smaller ones."""
_WIDEST = 427
_IDLE_SECONDS = 30.0
_LONGEST_SECONDS = 300.0


class Thumbnails:
    """The thumbnails of a session's presets; any thread may ask."""

    def __init__(self, host: LiveHost) -> None:
        self._host = host
        self._changed = threading.Condition()
        self._wanted: list[str] = []
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def make(self, names: Sequence[str]) -> None:
        """Begin to make the thumbnails of presets anew, on the newest frame when each one's turn comes.

        They are made before those that were asked for earlier and still wait. Names that are no presets are left out.
        """
        known = {one.name for one in self._host.controls.presets()}
        asked = [name for name in dict.fromkeys(names) if name in known]
        with self._changed:
            if self._closed or not asked:
                return
            self._wanted = asked + [name for name in self._wanted if name not in asked]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="live thumbnails", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def picture(self, preset: str) -> bytes | None:
        """Return the newest thumbnail of a preset as JPEG, None if there is none."""
        entry = self._pictures.get(preset)
        return None if entry is None else entry[1]

    def numbers(self) -> dict[str, int]:
        """Return how often each preset's thumbnail was made, so that a page knows what is new."""
        with self._changed:
            return {name: number for name, (number, _) in self._pictures.items()}

    def close(self) -> None:
        """End the process; no thumbnail is made any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread, process = self._thread, self._process
        if process is not None:
            process.kill()
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        try:
            while (name := self._next()) is not None:
                # An animation has no source but itself.
                frame = self._host.source.latest() or self._host.output.latest()
                if frame is None:
                    with self._changed:
                        self._changed.wait(1.0)
                        self._wanted.insert(0, name)
                    continue
                data = self._dreamed(name, frame.pixels)
                if data is not None:
                    with self._changed:
                        number, _ = self._pictures.get(name, (0, b""))
                        self._pictures[name] = number + 1, data
        finally:
            self._end()

    def _next(self) -> str | None:
        """Wait for the next preset; None to end."""
        with self._changed:
            if not self._wanted and not self._closed:
                self._changed.wait(_IDLE_SECONDS)
            if not self._wanted or self._closed:
                self._thread = None
                return None
            return self._wanted.pop(0)

    def _dreamed(self, name: str, pixels: npt.NDArray[np.uint8]) -> bytes | None:
        """Let the process dream; None where it does not."""
        try:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            small = _small(pixels)
            settings = thumbnail_settings(name, self._host.settings)
            text = json.dumps({"shape": small.shape, "settings": settings.model_dump(mode="json")}).encode()
            patience = threading.Timer(_LONGEST_SECONDS, process.kill)
            patience.start()
            try:
                process.stdin.write(HEADER.pack(len(text), small.nbytes) + text + small.tobytes())
                process.stdin.flush()
                _, length = HEADER.unpack(read_exactly(process.stdout, HEADER.size))
                return read_exactly(process.stdout, length) or None
            finally:
                patience.cancel()
        except (OSError, EOFError):  # it was killed, or has no memory
            self._end()
            return None

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._changed:
            if self._closed:
                raise EOFError
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "dreamvid.ui.live.thumbnail_worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    # Ctrl-C in the terminal is for the session. No session of its own: Linux would schedule it as
                    # another user's program, whatever its niceness.
                    process_group=None if sys.platform == "win32" else 0,
                )
            return self._process

    def _end(self) -> None:
        with self._changed:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def thumbnail_settings(preset: str, session: Settings) -> Settings:
    """Return a preset's settings with a session's network and seed, on the CPU."""
    return merge(
        load_settings(preset),
        {
            "network": session.network.model_dump(exclude_none=True),
            "render": {"device": "cpu", "seed": session.render.seed},
        },
    )


def _small(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = min(1.0, LINES / height, _WIDEST / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def read_exactly(pipe: IO[bytes], count: int) -> bytes:
    """Read a number of bytes. Raises EOFError where there are fewer."""
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
