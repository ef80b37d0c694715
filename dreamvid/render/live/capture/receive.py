"""Receive frames by ffmpeg in a thread: the newest one into a slot, and again and again after a loss."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dreamvid.errors import FfmpegError, SourceError
from dreamvid.render.live.capture.sound import SoundListener, SoundSocket
from dreamvid.render.live.capture.source import FfmpegInput
from dreamvid.render.live.slot import LiveFrame
from dreamvid.render.live.state import SourceState
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import Ffmpeg

_OUTPUT_SIZE = re.compile(r"^Stream #0:0.*: Video: rawvideo\b.*?, (\d{1,5})x(\d{1,5})\b")
_CHANGED = "Reconfiguring filter graph because video parameters changed"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0  # seconds before it is opened again
_STALL_SECONDS, _STALL_FRAMES = 1.0, 5.0  # without a frame: a source that stalls
_GIVE_UP_SECONDS = 5.0  # a connection that says nothing for so long is opened again
_SLOW_SECONDS = 5.0  # without a first frame: say what is waited for


class Receiver:
    """Reads a source until it is closed. A context manager.

    source: what ffmpeg opens. put: takes the frames. max_height: larger frames are reduced to this height. size: of
    the frames; None for that of the source when it is opened first. Later frames of another size are fitted into it.
    sound: takes the source's sound, if it has some. wants_sound: whether an address is opened a second time for its
    sound, of which nothing is known before it is open. say: takes messages for the user.
    """

    def __init__(
        self,
        source: FfmpegInput,
        put: Callable[[LiveFrame], None],
        *,
        max_height: int,
        size: Size | None = None,
        sound: SoundListener | None = None,
        wants_sound: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._source, self._put, self._max_height, self._sound, self._say = source, put, max_height, sound, say
        self._size, self._wants_sound = size, wants_sound
        self._has_sound = source.has_sound
        self._closing = threading.Event()
        self._sized = threading.Event()
        self._lock = threading.Lock()
        self._state = SourceState(source.text)
        self._process: Ffmpeg | None = None
        self._in_output = self._stale = self._hears = False
        self._opened_seconds = self._arrived_seconds = time.monotonic()
        self._interval_seconds = 0.0
        self._told_slow = False
        self.failure: SourceError | None = None
        self._thread = threading.Thread(target=self._work, name="receive", daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def may_have_sound(self) -> bool:
        """Tell whether the source has sound, or may have."""
        return self._has_sound is not False

    def want_sound(self) -> None:
        """Open the source again, with its sound, if it has some that is not heard yet."""
        self._wants_sound = True
        if self._has_sound and not self._hears:
            self._stale = True

    @property
    def fps(self) -> float:
        """Frames per second that arrive; 0 before the second one."""
        return 1 / self._interval_seconds if self._interval_seconds > 0 else 0.0

    def state(self) -> SourceState:
        """Describe the source; a source that stalls is noticed here."""
        with self._lock:
            state = self._state
        if state.status == "connected" and self._silent_seconds() > self._patience():
            return replace(state, status="stalled", message="no frames arrive; the dream goes on from the last one")
        return state

    def watch(self) -> None:
        """Open a connection again that says nothing; tell what is waited for. To be called now and then."""
        process, silent = self._process, self._silent_seconds()
        if self._source.kind == "address" and self._state.frames and silent > _GIVE_UP_SECONDS and process is not None:
            process.process.kill()
        if not self._state.frames and silent > _SLOW_SECONDS and not self._told_slow:
            self._told_slow = True
            self._tell("connecting", f"no picture from {self._source.text} yet; still waiting. {self._source.advice}")

    def close(self) -> None:
        """End ffmpeg and the thread. Safe to call again."""
        self._closing.set()
        while self._thread.is_alive():
            process = self._process
            if process is not None and process.process.poll() is None:
                process.process.kill()  # wakes a thread that waits for pixels
            self._thread.join(timeout=0.02)

    def _silent_seconds(self) -> float:
        return time.monotonic() - max(self._arrived_seconds, self._opened_seconds)

    def _patience(self) -> float:
        return max(_STALL_SECONDS, _STALL_FRAMES * self._interval_seconds)

    def _tell(self, status: str, message: str) -> None:
        with self._lock:
            self._state = replace(self._state, status=status, message=message)  # type: ignore[arg-type]
        if message:
            self._say(message)

    # --- the thread

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            before = self._state.frames
            try:
                reason = self._receive()
            except (FfmpegError, OSError) as error:
                reason = str(error)
            if self._closing.is_set():
                return
            arrived = self._state.frames > before
            if self._state.frames == 0:
                self.failure = SourceError(f"cannot open {self._source.text}: {reason}. {self._source.advice}".strip())
                return
            if self._stale:  # opened again at once, with what is known now
                continue
            if arrived and self._source.kind == "file":
                continue  # the end; it begins again
            pause = _FIRST_PAUSE if arrived else min(2 * pause, _LONGEST_PAUSE)
            if arrived or self._state.status != "reconnecting":
                self._tell("reconnecting", f"lost {self._source.text} ({reason}); the dream goes on, opening it again")
            self._closing.wait(pause)

    def _receive(self) -> str:
        """Run one ffmpeg to its end; return why it ended."""
        self._in_output = self._stale = False
        self._sized.clear()
        wanted = self._wants_sound or self._source.has_sound
        sound = self._sound if wanted and self._has_sound else None
        self._hears = sound is not None
        with contextlib.ExitStack() as stack:
            extra: Sequence[str] = ()
            if sound is not None:
                extra = stack.enter_context(SoundSocket(sound)).output_args
            self._opened_seconds = time.monotonic()
            process = stack.enter_context(Ffmpeg(self._args(extra), stdout=True, level="info", on_line=self._read_line))
            self._process = process
            if self._closing.is_set():
                return "closed"
            size = self._size
            while size is None:
                if self._sized.wait(0.05):
                    size = self._size
                elif process.process.poll() is not None or self._closing.is_set():
                    process.wait()
                    size = self._size
                    break
            if size is not None:
                self._read_frames(process, size)
            process.close()
            return " / ".join(process.first_errors[:2]) or "it has ended"

    def _read_frames(self, process: Ffmpeg, size: Size) -> None:
        first = True
        while not self._closing.is_set() and not self._stale:
            pixels = np.empty((size.height, size.width, 3), np.uint8)
            if not _fill(process, pixels):
                return
            if self._stale:  # it may be of the new size
                return
            now = time.monotonic()
            if first:
                self._come_back(size)
                first = False
            else:
                interval = now - self._arrived_seconds
                self._interval_seconds += (
                    0.1 * (interval - self._interval_seconds) if self._interval_seconds else interval
                )
            self._arrived_seconds = now
            with self._lock:
                number = self._state.frames
                self._state = replace(self._state, frames=number + 1)
            self._put(LiveFrame(pixels, number, now))

    def _come_back(self, size: Size) -> None:
        lost = self._state.status == "reconnecting"
        with self._lock:
            self._state = replace(
                self._state,
                status="connected",
                message="",
                width=size.width,
                height=size.height,
                reconnections=self._state.reconnections + lost,
            )
        if lost:
            self._say(f"{self._source.text} is back")

    def _args(self, sound: Sequence[str]) -> list[str]:
        size = self._size
        square = "scale=w='2*round(iw*sar/2)':h='2*round(ih/2)',setsar=1"
        if size is None:
            limit = f"min(1,{self._max_height}/ih)"
            fit = f"scale=w='max(2,2*round({limit}*iw*sar/2))':h='max(2,2*round({limit}*ih/2))':flags=bicubic,setsar=1"
        else:
            fit = f"{square},scale={size.width}:{size.height}:force_original_aspect_ratio=decrease:flags=bicubic"
            fit += f",pad={size.width}:{size.height}:(ow-iw)/2:(oh-ih)/2"
        return [
            *self._source.input_args,
            *("-map", "0:v:0", "-vf", fit, "-fps_mode", "passthrough", "-pix_fmt", "rgb24"),
            *("-c:v", "rawvideo", "-f", "rawvideo", "-flush_packets", "1", "pipe:1"),
            *sound,
        ]

    def _read_line(self, level: str, text: str) -> None:
        """Read ffmpeg's log: the size of the frames, whether there is sound, and changes of the picture."""
        if text.startswith("Output #"):
            self._in_output = True
        elif not self._in_output and text.startswith("Stream #0:") and ": Audio: " in text and self._has_sound is None:
            self._has_sound = True
            self._stale = self._wants_sound  # opened again, with its sound
        elif self._in_output and (match := _OUTPUT_SIZE.match(text)) and self._size is None:
            self._size = Size(height=int(match[2]), width=int(match[1]))
            self._sized.set()
        elif text.startswith(_CHANGED) and self._state.frames and not self._stale:
            self._stale = True
            self._tell("connected", f"the picture of {self._source.text} has changed; it is fitted into the old size")


def _fill(process: Ffmpeg, pixels: np.ndarray) -> bool:
    """Fill an array from ffmpeg's stdout; return False at the end."""
    buffer, got = pixels.data.cast("B"), 0
    while got < len(buffer):
        count = process.stdout.readinto(buffer[got:])  # type: ignore[attr-defined]
        if not count:
            return False
        got += count
    return True
