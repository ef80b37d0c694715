"""Receive sound while it plays: from the source's own ffmpeg through a socket, or from a device."""

import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from dreamvid.errors import SourceError
from dreamvid.render.live.capture.source import IN_ITS_OWN_TIME, FfmpegInput, LiveInput, open_live_source
from dreamvid.video.ffmpeg import Ffmpeg
from dreamvid.video.sources.file import FileSource

SOUND_RATE, CHANNELS = 48_000, 2
_BYTES = 4 * CHANNELS  # of a sample of all channels
_CHUNK_SAMPLES = SOUND_RATE // 200  # 5 ms
_FORMAT = (
    "-vn",
    "-ac",
    str(CHANNELS),
    "-ar",
    str(SOUND_RATE),
    "-c:a",
    "pcm_f32le",
    "-f",
    "f32le",
    "-flush_packets",
    "1",
)

Samples = npt.NDArray[np.float32]
SoundListener = Callable[[Samples, float], None]
"""Takes samples (n, channels) at `SOUND_RATE`, and when they arrived on the clock `time.monotonic`."""


class SoundSocket:
    """A socket on this machine into which an ffmpeg writes its sound next to its frames. A context manager.

    listener: is called with all that arrives, in a thread of this object.
    """

    def __init__(self, listener: SoundListener) -> None:
        self._listener = listener
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.2)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sound", daemon=True)

    @property
    def output_args(self) -> list[str]:
        """List ffmpeg's options of the output."""
        return ["-map", "0:a:0", *_FORMAT, "-flush_packets", "1", f"tcp://127.0.0.1:{self._server.getsockname()[1]}"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._thread.join()
        self._server.close()

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with connection:
                connection.settimeout(0.2)
                self._read(connection)
            return

    def _read(self, connection: socket.socket) -> None:
        rest = b""
        while not self._closing.is_set():
            try:
                data = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            rest = _deliver(rest + data, self._listener)


class SoundDevice:
    """A sound device, or anything else with sound that ffmpeg opens, heard in a thread. A context manager.

    text: `default`, the name of a device, or a source such as a file, an address or lavfi:GRAPH. listener: is called
    with all that arrives. say: takes messages. Raises SourceError from the constructor for what does not exist.
    """

    def __init__(self, text: str, listener: SoundListener, say: Callable[[str], None]) -> None:
        self._text, self._listener, self._say = text, listener, say
        self._args = [*_device_args(text), "-map", "0:a:0", *_FORMAT, "-flush_packets", "1", "pipe:1"]
        self._closing = threading.Event()
        self._heard = threading.Event()
        self._process: Ffmpeg | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._work, name="sound", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._heard.wait(0.05):  # a device that does not exist says so at once
            if not self._thread.is_alive():
                raise SourceError(
                    f"cannot hear {self._text}: {self._failure}. Give the name of a sound device, a file, or `source` "
                    "for the sound of the video: `audio_in=source`."
                )
            if time.monotonic() - self._began > 3:
                break
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        while self._thread.is_alive():
            process = self._process
            if process is not None and process.process.poll() is None:
                process.process.kill()
            self._thread.join(timeout=0.02)

    _began = 0.0

    def _work(self) -> None:
        pause = 0.25
        while not self._closing.is_set():
            self._began = self._began or time.monotonic()
            with Ffmpeg(self._args, stdout=True) as process:
                self._process = process
                self._read(process.stdout)
                process.close()
                self._failure = " / ".join(process.first_errors[:2]) or "it gives no sound"
            if not self._heard.is_set():
                return
            if self._closing.wait(pause):
                return
            pause = min(2 * pause, 2.0)
            self._say(f"lost the sound of {self._text} ({self._failure}); opening it again")

    def _read(self, stream: IO[bytes]) -> None:
        rest = b""
        while data := stream.read1(_CHUNK_SAMPLES * _BYTES):  # type: ignore[attr-defined]
            self._heard.set()
            rest = _deliver(rest + data, self._listener)


def _deliver(data: bytes, listener: SoundListener) -> bytes:
    """Hand over the whole samples; return the rest."""
    whole = len(data) - len(data) % _BYTES
    if whole:
        samples = np.frombuffer(data, "<f4", whole // 4).reshape(-1, CHANNELS)
        listener(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), time.monotonic())
    return data[whole:]


def _device_args(text: str) -> list[str]:
    source = _as_source(text)
    if source is not None:
        return list(source.input_args)
    if sys.platform == "linux":
        return ["-f", "openal", "-i", "" if text == "default" else text]
    if sys.platform == "win32":
        if text == "default":
            raise SourceError("On Windows a sound device is given by its name. List them: dreamvid live --list")
        return ["-f", "dshow", "-audio_buffer_size", "20", "-i", f"audio={text}"]
    return ["-f", "avfoundation", "-i", f":{'default' if text == 'default' else text}"]


def _as_source(text: str) -> FfmpegInput | None:
    """Open what can also be a live source: a file, an address, a graph."""
    path = Path(text).expanduser()
    if "://" not in text and not text.startswith("lavfi:"):
        if not path.is_file():
            return None
        args = (*IN_ITS_OWN_TIME, "-stream_loop", "-1", *FileSource(text=text, paths=(path,)).input_args())
        return FfmpegInput(text=text, input_args=args, kind="file")
    if text.startswith("lavfi:"):
        return FfmpegInput(text=text, input_args=(*IN_ITS_OWN_TIME, "-f", "lavfi", "-i", text[6:]), kind="file")
    opened: LiveInput = open_live_source(text)
    return opened if isinstance(opened, FfmpegInput) else None
