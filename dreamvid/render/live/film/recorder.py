"""Record frames as they come to a video of constant rate, with the sound that came meanwhile.

Frames and sound are placed by the time at which the source's frame and sound arrived, so they are in step however long
the dream of a frame took. A frame that is missing on the grid is the one before it, shown longer.
"""

import shutil
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamvid.errors import DreamvidError, OutputError
from dreamvid.render.live.capture.sound import CHANNELS, SOUND_RATE, Samples
from dreamvid.render.live.slot import FrameReader, LatestFrame
from dreamvid.render.live.state import RecordingState
from dreamvid.render.output import OutputTarget
from dreamvid.runtime.files import part_path
from dreamvid.settings import Settings
from dreamvid.video.encode import StreamSpec
from dreamvid.video.mux import EncodedSink
from dreamvid.video.probe import probe_sound
from dreamvid.video.sink import FrameWriter, Recording, Sink
from dreamvid.video.sources.file import FileSource

_SEGMENT_SECONDS = 30.0  # what is lost at most when the program is killed
_WAIT_SECONDS = 0.1
_LATE_SECONDS = 0.25  # sound that is further from its time than this has lost some: silence is put in
_FAST = {"libx264": ("-preset", "veryfast"), "libx265": ("-preset", "ultrafast", "-x265-params", "log-level=error")}


class Recorder:
    """Records what a slot gets, in a thread, until it is closed.

    output: the video file. frames: where the frames come from. fps: its rate. begin_seconds: time 0 of the recording on
    the clock `time.monotonic`. with_sound: whether `hear` will be called. Raises OutputError for an output that cannot
    be written.
    """

    def __init__(
        self,
        output: str | Path,
        frames: LatestFrame,
        settings: Settings,
        *,
        fps: Fraction,
        begin_seconds: float,
        with_sound: bool = False,
        overwrite: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._target = OutputTarget.from_path(output, settings)
        if self._target.exists() and not overwrite:
            self._target.refuse_overwriting()
        self._sink = _quick(self._target.sink)
        self._fps, self._begin, self._say = fps, begin_seconds, say
        self._reader: FrameReader = frames.subscribe()
        self._folder = part_path(self._target.path)
        try:
            self._folder.mkdir()
        except OSError as error:
            raise OutputError(f"cannot write in the folder {self._folder.parent}: {error.strerror or error}") from error
        self._sound = _SoundFile(self._folder / "sound.wav", begin_seconds) if with_sound else None
        self._spec: StreamSpec | None = None
        self._writer: FrameWriter | None = None
        self._finished: list[tuple[Path, int]] = []
        self._last: npt.NDArray[np.uint8] | None = None
        self._count = 0
        self._error = ""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="record", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path:
        """The video's path."""
        return self._target.path

    @property
    def recipe(self) -> Path:
        """The path of its recipe."""
        return self._target.recipe

    def state(self) -> RecordingState:
        """Describe it; from any thread."""
        return RecordingState(str(self.path), round(float(self._count / self._fps), 3), self._error)

    def hear(self, samples: Samples, arrived_seconds: float) -> None:
        """Take sound; from any thread."""
        if self._sound is not None and not self._error:
            try:
                self._sound.write(samples, arrived_seconds)
            except (OSError, ValueError) as error:
                self._fail(f"the sound cannot be kept: {error}")

    def close(self) -> bool:
        """Finish the video; return whether there is one. Raises nothing: what fails is told and in the state."""
        self._closing.set()
        self._thread.join()
        try:
            self._end_segment()
        except (DreamvidError, OSError) as error:
            self._fail(str(error))
        try:
            return self._join()
        except (DreamvidError, OSError) as error:
            self._fail(str(error))
            self._say(f"what was recorded is kept in {self._folder}")
            return False

    def _fail(self, reason: str) -> None:
        if not self._error:
            self._say(f"the recording {self.path} has ended: {reason}")
        self._error = reason

    # --- frames, in the thread

    def _work(self) -> None:
        while not self._error:
            closing = self._closing.is_set()
            frame = self._reader.get(0.0 if closing else _WAIT_SECONDS)
            if frame is None:
                if closing or self._reader.closed:
                    return
                continue
            place = round((frame.arrived_seconds - self._begin) * self._fps)
            if place < 0:
                continue
            try:
                self._write(frame.pixels, place)
            except (DreamvidError, OSError) as error:
                self._fail(str(error))

    def _write(self, pixels: npt.NDArray[np.uint8], place: int) -> None:
        if self._last is None:
            self._last = pixels  # it stands for what came before it, too
        if place < self._count:
            return
        if pixels.shape != self._last.shape:
            return
        while self._count < place:
            self._add(self._last)
        self._last = pixels
        self._add(pixels)

    def _add(self, pixels: npt.NDArray[np.uint8]) -> None:
        if self._spec is None:
            height, width = pixels.shape[:2]
            self._spec = StreamSpec(width=width, height=height, rate=self._fps, time_base=1 / self._fps)
        if self._writer is not None and self._writer.count >= _SEGMENT_SECONDS * self._fps:
            self._end_segment()
        if self._writer is None:
            path = self._folder / f"{len(self._finished):06d}{self._sink.segment_suffix}"
            self._writer = self._sink.open_segment(path, self._spec)
        self._writer.write(pixels, self._count)
        self._count += 1

    def _end_segment(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if self._error:
            writer.abort()
            return
        writer.close()
        self._finished.append((writer.path, writer.count))

    # --- the end

    def _join(self) -> bool:
        if self._spec is None or not self._finished:
            shutil.rmtree(self._folder, ignore_errors=True)
            return False
        pts, first = [], 0
        for _, count in self._finished:
            pts.append(range(first, first + count))
            first += count
        recording = Recording([path for path, _ in self._finished], self._spec, pts, trimmed=True)
        if self._sound is not None and self._sound.close(first / float(self._fps)):
            source = FileSource(kind="sound", text=str(self._sound.path), paths=(self._sound.path,), has_clock=False)
            recording = replace(recording, source=source, info=probe_sound(source))
        joined = self._target.joined(self._folder)
        for text in self._sink.join(recording, joined):
            if "cannot be copied" not in text:  # the sound was raw: it is encoded in any case
                self._say(text)
        self._target.replace_atomically(joined, first)
        shutil.rmtree(self._folder, ignore_errors=True)
        return True


class _SoundFile:
    """A WAV file that is written while sound comes, with silence where some is missing."""

    def __init__(self, path: Path, begin_seconds: float) -> None:
        self.path, self._begin = path, begin_seconds
        self._lock = threading.Lock()
        self._file: wave.Wave_write | None = wave.open(str(path), "wb")  # noqa: SIM115 - closed by `close`
        self._file.setnchannels(CHANNELS)
        self._file.setsampwidth(2)
        self._file.setframerate(SOUND_RATE)
        self._count = 0

    def write(self, samples: Samples, arrived_seconds: float) -> None:
        """Add samples whose last one arrived at a time."""
        with self._lock:
            if self._file is None:
                return
            due = round((arrived_seconds - self._begin) * SOUND_RATE) - len(samples)
            if due < 0:  # of before the beginning
                samples = samples[-due:]
                due = 0
            late = due - self._count
            if late > _LATE_SECONDS * SOUND_RATE or not self._count:
                self._silence(max(0, late))
            elif late < -_LATE_SECONDS * SOUND_RATE:
                return
            self._file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            self._count += len(samples)

    def _silence(self, count: int) -> None:
        assert self._file is not None
        self._file.writeframes(bytes(2 * CHANNELS * count))
        self._count += count

    def close(self, length_seconds: float) -> bool:
        """Finish the file; return whether it has sound."""
        with self._lock:
            if self._file is None or not self._count:
                return False
            self._silence(max(0, round(length_seconds * SOUND_RATE) - self._count))
            self._file.close()
            self._file = None
            return True


def _quick(sink: Sink) -> Sink:
    """Let an encoder work fast enough to keep up."""
    if not isinstance(sink, EncodedSink) or sink.encoding.codec not in _FAST:
        return sink
    options = _FAST[sink.encoding.codec] + (("-tag:v", "hvc1") if sink.encoding.codec == "libx265" else ())
    encoding = replace(sink.encoding, encoder=replace(sink.encoding.encoder, options=options))
    return replace(sink, encoding=encoding)


def default_recording_name() -> str:
    """Name a recording after the present time."""
    return time.strftime("live-%Y%m%d-%H%M%S.mp4")
