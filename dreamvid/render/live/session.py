"""Run a live session: frames in, dreamed, out, until somebody stops it.

    source ──► newest frame ──► dream ──► newest frame ──► sinks, each in its own thread
                                 ▲ │
      controls, sound, quality ──┘ └──► state

The caller's thread dreams. Nothing waits for a slow reader, so the delay does not grow. After a pause the clock is set
anew: nothing is ever caught up with.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

from dreamvid.audio.live import LiveSound
from dreamvid.errors import DreamvidError, SourceError
from dreamvid.render.live.addresses import without_passwords
from dreamvid.render.live.capture.receive import Receiver
from dreamvid.render.live.capture.sound import SOUND_RATE, Samples, SoundDevice
from dreamvid.render.live.capture.source import FfmpegInput, LiveInput, PushedInput, StartInput
from dreamvid.render.live.controls import Action, Controls
from dreamvid.render.live.dream import AnimationDream, FootageDream, LiveDream, Moment
from dreamvid.render.live.film.recorder import default_recording_name
from dreamvid.render.live.film.recordings import Recordings
from dreamvid.render.live.outlet import Outlet
from dreamvid.render.live.quality import QualityController, ladder
from dreamvid.render.live.sink import LiveSink
from dreamvid.render.live.slot import LatestFrame, LiveFrame
from dreamvid.render.live.state import LiveState, SourceState
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, Settings
from dreamvid.settings.recipe import Recipe
from dreamvid.settings.size import Size

# Without `fps`, the quality is lowered for no more frames per second than a dream needs to follow, and frames come as
# fast as the source's where there is time.
_HELD_FPS, _MOST_FPS = 13.0, 30.0
_STEADY_SECONDS = 0.2  # a single step on a frame is shown over about as long
_WAIT_SECONDS = 0.2
_PUBLISH_SECONDS, _TELL_SECONDS = 0.1, 5.0
_SMOOTHING = 0.1  # of the numbers shown: the weight of the newest frame
_CAMERA_SECONDS = 2.0  # without a frame of the browser's camera: the session's own source is taken again


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """How a session runs, as opposed to what it dreams.

    fps: frames per second to hold, and the most that are dreamed; None holds 13 and goes up to the source's, at most
    30. max_height: of the frames. latency_seconds: the longest time that a frame may take. interpolate: interpolate
    frames that are not dreamed, one frame behind, instead of carrying the dream to them. record_to: a video file to
    record to from the beginning. record_source: record the source's frames too. overwrite: replace files that exist.
    folder: where snapshots and recordings go. audio_in: a sound device, `source`, or None. say: takes messages for the
    user. command: the words that started the session.
    """

    fps: float | None = None
    max_height: int = 720
    latency_seconds: float | None = None
    interpolate: bool = False
    record_to: str | None = None
    record_source: bool = False
    overwrite: bool = False
    folder: Path = Path()
    audio_in: str | None = None
    say: Callable[[str], None] = lambda text: None
    command: Sequence[str] = ()

    @property
    def budget_seconds(self) -> float:
        """The time that there is for a frame."""
        budget = 1 / (self.fps or _HELD_FPS)
        return budget if self.latency_seconds is None else min(budget, self.latency_seconds)

    @property
    def output_fps(self) -> float:
        """The rate of sinks that have a constant one."""
        return self.fps or _MOST_FPS


class LiveSession:
    """One live dream. `run` returns when `stop` is set or every sink has ended.

    source: what it is made of. sinks: where it goes. controls: what may change meanwhile; `settings` are those that the
    session began with. output, source: the newest finished frame, and the newest one that came in.
    """

    def __init__(
        self,
        source: LiveInput,
        sinks: Sequence[LiveSink],
        controls: Controls,
        settings: Settings,
        options: LiveOptions | None = None,
    ) -> None:
        self.controls, self.settings = controls, settings
        self.options = options or LiveOptions()
        self.output, self.source = LatestFrame(), LatestFrame()
        self.stop = threading.Event()
        self._stop_asked: Callable[[], bool] = self.stop.is_set
        self._input, self._sinks = source, tuple(sinks)
        self._say = self.options.say
        self._events: Counter[str] = Counter()
        self._frozen = self._blackout = False
        self._sound = LiveSound(SOUND_RATE) if self.options.audio_in is not None else None
        films = self.options.record_source and not isinstance(source, StartInput)
        self._recordings = Recordings(
            self.output,
            self.source if films else None,
            settings,
            fps=self.options.output_fps,
            overwrite=self.options.overwrite,
            make_recipe=self._recipe,
            say=self._tell,
        )
        self._receiver: Receiver | None = None
        self._camera_seconds: float | None = None
        self._size: Size | None = settings.video.size_pixels()
        self._began = time.monotonic()
        self._index = 0
        self._reader = self.source.subscribe()
        self._controller: QualityController | None = None
        self._shape: tuple[object, ...] = ()  # what the controller's rungs depend on
        self._spent: list[float] = []  # on the frames since the last one that was measured
        self._image: npt.NDArray[np.uint8] | None = None  # the newest one, also behind a blackout
        self._fps_out = self._delay_ms = 0.0
        self._sent_seconds: float | None = None
        self._published_seconds = 0.0
        self._told_seconds = -_TELL_SECONDS
        self._message = ""

    # --- for hosts, from any thread

    @property
    def command(self) -> Sequence[str]:
        """The words that started the session."""
        return self.options.command

    def take_camera(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Take a frame of a browser's camera, uint8 (H, W, 3), as the source until none comes for two seconds.

        Raises SourceError where the session is an animation.
        """
        if isinstance(self._input, StartInput):
            raise SourceError("An animation takes no camera. Start the session with: dreamvid live browser")
        now = time.monotonic()
        self._camera_seconds = now
        self.source.put(LiveFrame(_fitted(pixels, self._size, self.options.max_height), self.source.count, now))

    def leave_camera(self) -> None:
        """Go back to the session's own source."""
        self._camera_seconds = None

    def _camera_is_on(self) -> bool:
        since = self._camera_seconds
        return since is not None and time.monotonic() - since < _CAMERA_SECONDS

    def _take(self, frame: LiveFrame) -> None:
        """Take a frame of the session's own source."""
        if not self._camera_is_on():
            self.source.put(frame)

    def watch_stop(self, asked: Callable[[], bool]) -> None:
        """Stop when this function says so: signals only set what it returns."""
        self._stop_asked = asked

    # --- the loop

    def run(self) -> None:
        """Dream until `stop` is set, or no sink is left. Raises DreamvidError for what cannot begin."""
        with ExitStack() as stack:
            stack.callback(self.output.close)
            stack.callback(self.source.close)
            for sink in self._sinks:
                stack.callback(sink.close)
                sink.start(self.output)
            self._listen(stack)
            if isinstance(self._input, FfmpegInput):
                self._receiver = stack.enter_context(
                    Receiver(
                        self._input,
                        self._take,
                        max_height=self.options.max_height,
                        size=self._size,
                        sound=self._hear_source,
                        wants_sound=self.options.audio_in == "source" or self.options.record_to is not None,
                        say=self._tell,
                    )
                )
            elif isinstance(self._input, PushedInput):
                self._tell("waiting for a browser's camera: open the page and press its camera button")
            outlet = stack.enter_context(Outlet(self.output))
            self._publish()
            dream = self._load()
            stack.callback(dream.close)
            self.controls.check_objective = dream.check_objective
            stack.callback(self._recordings.close)
            if self.options.record_to is not None:
                self._record(self.options.record_to)
            self._loop(dream, outlet)

    def _load(self) -> LiveDream:
        settings = self.controls.settings(0.0)
        if not isinstance(self._input, StartInput):
            return FootageDream(settings, steady_seconds=_STEADY_SECONDS)
        default = DEFAULT_ANIMATION_FORMAT.size_pixels()
        assert default is not None
        self._size = self._size or default
        return AnimationDream(settings, self._size, self._input.start)

    def _loop(self, dream: LiveDream, outlet: Outlet) -> None:
        pace, due = 1 / (self.options.fps or _MOST_FPS), 0.0
        last: LiveFrame | None = None
        while not self._stop_asked() and not self._all_finished():
            for action in self.controls.take():
                self._act(action, dream)
            now = time.monotonic()
            if now < due:
                self.stop.wait(min(due - now, _WAIT_SECONDS))
                continue
            frame = self._next(last, pace)
            if frame is not None:
                begin = time.monotonic()
                due, last = max(due + pace, begin), frame  # after a pause nothing is caught up with
                if self._frozen and self._image is not None:
                    self._send(outlet, LiveFrame(frame.pixels, frame.number, begin), self._image, 0, 1)
                else:
                    self._dream(dream, frame, outlet, begin)
            self._publish()

    def _all_finished(self) -> bool:
        """Tell whether nobody watches any more."""
        return bool(self._sinks) and all(sink.finished for sink in self._sinks) and not self._recordings.running

    def _next(self, last: LiveFrame | None, pace_seconds: float) -> LiveFrame | None:
        """Return the next frame to dream: the newest one, or the last one again while the source gives none."""
        if isinstance(self._input, StartInput):  # a frame only says when
            assert self._size is not None
            blank = np.zeros((self._size.height, self._size.width, 3), np.uint8) if last is None else last.pixels
            return LiveFrame(blank, self._index, time.monotonic())
        receiver = self._receiver
        if receiver is not None:
            receiver.watch()
            if receiver.failure is not None and last is None:
                raise receiver.failure
        silent = last is not None and self._source_state().status in ("stalled", "reconnecting", "ended")
        frame = self._reader.get(pace_seconds if silent else _WAIT_SECONDS)
        if frame is not None or last is None or not silent:
            return frame
        return LiveFrame(last.pixels, last.number, time.monotonic())

    def _dream(self, dream: LiveDream, frame: LiveFrame, outlet: Outlet, begin: float) -> None:
        """Dream a frame with the settings of this moment, at the quality that there is time for."""
        moment = Moment(self._index, begin - self._began, self._signals(begin))
        wanted = self.controls.settings(moment.time_seconds, moment.index, moment.signals)
        self._size = Size(*frame.pixels.shape[:2])
        controller = self._controller_for(wanted, self._size)
        try:
            dream.update(controller.limit(wanted), controller.rung.thrift)
        except DreamvidError as error:
            self._count("settings refused", str(error))
        made = list(dream.dream(frame, moment))
        self._index += 1
        for place, (shown, pixels) in enumerate(made):
            self._send(outlet, shown, pixels, place, len(made))
        self._spent.append(time.monotonic() - begin)
        if len(self._spent) < controller.rung.cadence:
            return  # a keyframe takes long and the frames before it do not: their mean counts
        first_look = not controller.has_looked
        changed = controller.measure(time.monotonic() - self._began, sum(self._spent) / len(self._spent))
        self._spent.clear()
        if changed:
            self._tell_quality(controller)
            if first_look:  # the first frames only measured the machine: begin in the size that fits
                dream.reset()
                controller.skip_next()

    def _controller_for(self, wanted: Settings, size: Size) -> QualityController:
        """Return the quality controller, with the rungs that these settings have on frames of this size."""
        dream, kind = wanted.dream, self.controls.kind
        steps = wanted.coherence.warm_iterations, wanted.camera.frame_iterations
        shape = size, dream.dream_height, dream.octaves, dream.octave_scale, steps
        if self._controller is None or shape != self._shape:
            rungs = ladder(wanted, size, kind=kind, interpolate=self.options.interpolate)
            self._shape = shape
            if self._controller is None:
                self._controller = QualityController(rungs, self.options.budget_seconds, kind=kind)
            else:
                self._controller.replace_ladder(rungs)
        return self._controller

    def _send(self, outlet: Outlet, shown: LiveFrame, pixels: npt.NDArray[np.uint8], at: int, count: int) -> None:
        self._image = pixels
        if self._blackout:
            pixels = np.zeros_like(pixels)
        now = time.monotonic()
        if self._sent_seconds is not None:
            interval = (now - self._sent_seconds) / count if at == 0 else 0.0
            if interval > 0:
                rate = 1 / interval
                self._fps_out += _SMOOTHING * (rate - self._fps_out) if self._fps_out else rate
        if at == count - 1:
            self._sent_seconds = now
        outlet.send(LiveFrame(pixels, shown.number, shown.arrived_seconds), at, count)
        delay = 1000 * (now - shown.arrived_seconds)
        self._delay_ms += _SMOOTHING * (delay - self._delay_ms) if self._delay_ms else delay

    # --- sound

    def _listen(self, stack: ExitStack) -> None:
        text = self.options.audio_in
        if text is not None and text != "source":
            stack.enter_context(SoundDevice(text, self._hear, self._tell))

    def _hear(self, samples: Samples, arrived_seconds: float) -> None:
        """Take sound of the device that drives schedules."""
        if self._sound is not None:
            self._sound.hear(samples, arrived_seconds)

    def _hear_source(self, samples: Samples, arrived_seconds: float) -> None:
        """Take the source's own sound."""
        if self.options.audio_in == "source":
            self._hear(samples, arrived_seconds)
        self._recordings.hear(samples, arrived_seconds)

    def _signals(self, now_seconds: float) -> dict[str, float]:
        return {} if self._sound is None else self._sound.at(now_seconds)

    # --- actions

    def _act(self, action: Action, dream: LiveDream) -> None:
        def switched(before: bool) -> bool:
            return not before if action.on is None else action.on

        if action.name == "freeze":
            self._frozen = switched(self._frozen)
        elif action.name == "blackout":
            self._blackout = switched(self._blackout)
        elif action.name == "reset":
            dream.reset()
            if self._controller is not None:
                self._controller.skip_next()
        elif action.name == "snapshot":
            self._snapshot()
        elif action.name == "record":
            on = switched(self._recordings.running)
            if not on:
                self._recordings.stop()
            elif not self._recordings.running:
                try:
                    self._record(str(self.options.folder / default_recording_name()))
                except DreamvidError as error:
                    self._count("recordings refused", str(error))

    def _snapshot(self) -> None:
        shown = self.output.latest()
        if shown is None:
            return
        path = self.options.folder / time.strftime(f"snapshot-%Y%m%d-%H%M%S-{self._index}.png")
        try:
            iio.imwrite(path, shown.pixels)
        except OSError as error:
            self._count("snapshots lost", f"cannot write {path}: {error.strerror or error}")
        else:
            self._tell(f"saved {path}")

    def _record(self, output: str) -> None:
        """Start recording. Raises OutputError."""
        if self._receiver is not None:
            self._receiver.want_sound()
        self._recordings.start(output, with_sound=self._receiver is not None and self._receiver.may_have_sound)

    def _recipe(self, begin_seconds: float, end_seconds: float, path: Path) -> Recipe:
        """Make the recipe of what was recorded between two times of the clock `time.monotonic`."""
        provenance = {"output": path.name, "source": without_passwords(self._input.text)}
        begin, end = begin_seconds - self._began, end_seconds - self._began
        return self.controls.log.recipe(begin, end, self.options.output_fps, provenance)

    # --- state

    def _tell(self, message: str) -> None:
        self._message = message
        self._say(message)

    def _tell_quality(self, controller: QualityController) -> None:
        """Tell the quality when it changes, now and then."""
        now = time.monotonic()
        if now - self._told_seconds > _TELL_SECONDS:
            self._told_seconds = now
            self._say(f"quality: {controller.state().doing or 'full'}")

    def _count(self, event: str, message: str) -> None:
        if not self._events[event]:
            self._tell(message)
        self._events[event] += 1

    def _source_state(self) -> SourceState:
        size = self._size or Size(0, 0)
        if self._camera_is_on():
            state = SourceState("browser", "connected", frames=self.source.count)
        elif self._receiver is not None:
            return self._receiver.state()
        elif isinstance(self._input, StartInput):
            state = SourceState(self._input.text, "connected", frames=self._index)
        elif self.source.count:
            state = SourceState(self._input.text, "stalled", "the browser's camera is off", frames=self.source.count)
        else:
            state = SourceState(self._input.text, "connecting", "waiting for a browser's camera")
        return replace(state, width=size.width, height=size.height)

    def _publish(self) -> None:
        """Let hosts see the state, some times a second."""
        now = time.monotonic()
        if now - self._published_seconds < _PUBLISH_SECONDS:
            return
        self._published_seconds = now
        source = self._source_state()
        state = LiveState(
            time_seconds=round(now - self._began, 3),
            fps_in=round(self._receiver.fps if self._receiver is not None else 0.0, 2),
            fps_out=round(self._fps_out, 2),
            delay_ms=round(self._delay_ms, 1),
            dropped=self._reader.dropped,
            dreamed=self._index,
            frozen=self._frozen,
            blackout=self._blackout,
            source=source,
            sinks=tuple(sink.state() for sink in self._sinks),
            recording=self._recordings.state(),
            signals=self._signals(now),
            events=dict(self._events),
            message=self._message,
        )
        if self._controller is not None:
            state = replace(state, quality=self._controller.state())
        self.controls.publish(state)


def _fitted(pixels: npt.NDArray[np.uint8], size: Size | None, max_height: int) -> npt.NDArray[np.uint8]:
    """Fit a frame into the session's size, with black bars; before that is known, into the largest height."""
    import cv2

    height, width = pixels.shape[:2]
    if size is None:
        scale = min(1.0, max_height / height)
        size = Size(2 * round(height * scale / 2), 2 * round(width * scale / 2))
    if (height, width) == size:
        return pixels
    scale = min(size.height / height, size.width / width)
    inner = Size(max(1, round(height * scale)), max(1, round(width * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    result = np.zeros((size.height, size.width, 3), np.uint8)
    top, left = (size.height - inner.height) // 2, (size.width - inner.width) // 2
    result[top : top + inner.height, left : left + inner.width] = cv2.resize(
        pixels, (inner.width, inner.height), interpolation=method
    )
    return result
