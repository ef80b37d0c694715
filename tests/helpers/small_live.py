"""A live session without a network: frames are made by a thread, with the controls' settings, and carry a number.

The picture is 320x180. A row of 16 blocks at its top is the frame's number in binary; below, the red of the left half
is the step size (255 at 0.1), and a bar moves through the right half. The browser's camera, when there is one, is shown
in the lower right quarter.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dreamvid.render.live.controls import Controls
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.render.live.state import LiveState, QualityState, RecordingState, SinkState, SourceState
from dreamvid.settings import Settings, load_settings

WIDTH, HEIGHT, BLOCK, BITS = 320, 180, 20, 16


class SmallLive:
    """The session; a context manager."""

    def __init__(self, fps: float = 15.0, preset: str | None = None, kind: str = "run") -> None:
        self.settings: Settings = load_settings(preset)
        self.controls = Controls(self.settings, kind)
        self.output, self.source = LatestFrame(), LatestFrame()
        self.command: Sequence[str] = ("dreamvid", "live", "camera:0", "--to", "my stream.mp4")
        self.camera: npt.NDArray[np.uint8] | None = None
        self.camera_frames = 0
        self.done: list[str] = []
        self._fps, self._end = fps, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def take_camera(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.camera, self.camera_frames = pixels, self.camera_frames + 1

    def leave_camera(self) -> None:
        self.camera = None

    def __enter__(self) -> "SmallLive":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.output.close()

    def _run(self) -> None:
        began = time.monotonic()
        state = LiveState(
            source=SourceState("camera:0", "connected", "", WIDTH, HEIGHT),
            sinks=(SinkState("page"), SinkState("my stream.mp4")),
            quality=QualityState(1, "one warm step fewer"),
            fps_in=self._fps,
            fps_out=self._fps,
        )
        number = 0
        while not self._end.wait(1 / self._fps):
            now = time.monotonic()
            for action in self.controls.take():
                self.done.append(action.name)
                if action.name == "freeze":
                    state = replace(state, frozen=not state.frozen if action.on is None else action.on)
                elif action.name == "blackout":
                    state = replace(state, blackout=not state.blackout if action.on is None else action.on)
                elif action.name == "record":
                    state = replace(state, recording=None if state.recording else RecordingState("dream.mp4"))
            settings = self.controls.settings(now - began, number)
            state = replace(
                state,
                time_seconds=now - began,
                dreamed=number,
                delay_ms=60 + 20 * float(np.sin(number / 9)),
                fps_out=self._fps + float(np.sin(number / 5)),
                sinks=(SinkState("page", number), SinkState("my stream.mp4", number, number // 9)),
            )
            self.controls.publish(state)
            if state.frozen:
                continue
            number += 1
            picture = self._draw(settings, number, state.blackout)
            self.source.put(LiveFrame(picture, number, now))
            self.output.put(LiveFrame(picture, number, now))

    def _draw(self, settings: Settings, number: int, black: bool) -> npt.NDArray[np.uint8]:
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for bit in range(BITS):
            picture[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
        if black:
            return picture
        picture[BLOCK:, : WIDTH // 2, 0] = min(255, round(2550 * settings.dream.step_size))
        picture[BLOCK:, WIDTH // 2 :] = (20, 60, 70)
        column = WIDTH // 2 + number * 4 % (WIDTH // 2 - 8)
        picture[BLOCK : HEIGHT // 2, column : column + 8] = (90, 200, 200)
        if self.camera is not None:
            rows = np.linspace(0, self.camera.shape[0] - 1, HEIGHT // 2).astype(int)
            columns = np.linspace(0, self.camera.shape[1] - 1, WIDTH // 2).astype(int)
            picture[HEIGHT // 2 :, WIDTH // 2 :] = self.camera[rows][:, columns]
        return picture


def number_of(picture: npt.NDArray[np.uint8]) -> int:
    """Read the number of a frame, whatever JPEG did to it."""
    scale = picture.shape[1] / WIDTH
    row = picture[int(BLOCK / 2 * scale)]
    bits = [int(row[int((bit + 0.5) * BLOCK * scale)].mean() > 127) for bit in range(BITS)]
    return sum(value << bit for bit, value in enumerate(bits))


def step_size_of(picture: npt.NDArray[np.uint8]) -> float:
    """Read the step size off a frame."""
    height, width = picture.shape[:2]
    return float(picture[height // 3 : -height // 8, width // 20 : width // 3, 0].mean()) / 2550
