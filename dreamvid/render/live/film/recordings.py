"""Start and stop recordings of a session: of the dream, of its source if that is wanted, and of what was changed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dreamvid.errors import DreamvidError
from dreamvid.render.live.capture.sound import Samples
from dreamvid.render.live.film.recorder import Recorder
from dreamvid.render.live.slot import LatestFrame
from dreamvid.render.live.state import RecordingState
from dreamvid.settings import Settings
from dreamvid.settings.recipe import Recipe, write_recipe


@dataclass(frozen=True)
class _Recording:
    dream: Recorder
    source: Recorder | None
    begin_seconds: float

    @property
    def parts(self) -> list[Recorder]:
        return [self.dream] if self.source is None else [self.source, self.dream]


class Recordings:
    """The recordings of a session, one at a time. Start and stop belong to one thread, `hear` may come from another.

    output: the dreamed frames. source: the source's, None if they are not recorded. fps: the rate of the videos.
    make_recipe: makes the recipe of what happened between two times of the clock `time.monotonic`. say: takes messages.
    """

    def __init__(
        self,
        output: LatestFrame,
        source: LatestFrame | None,
        settings: Settings,
        *,
        fps: float,
        overwrite: bool,
        make_recipe: Callable[[float, float, Path], Recipe],
        say: Callable[[str], None],
    ) -> None:
        self._output, self._source, self._settings = output, source, settings
        self._fps, self._overwrite = Fraction(fps).limit_denominator(1001), overwrite
        self._make_recipe, self._say = make_recipe, say
        self._now: _Recording | None = None
        self._finishing: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Tell whether something is being recorded."""
        return self._now is not None

    def state(self) -> RecordingState | None:
        """Describe what is being recorded."""
        return None if self._now is None else self._now.dream.state()

    def hear(self, samples: Samples, arrived_seconds: float) -> None:
        """Take the source's sound."""
        now = self._now
        for recorder in now.parts if now is not None else ():
            recorder.hear(samples, arrived_seconds)

    def start(self, output: str, *, with_sound: bool) -> None:
        """Record to a video file from now on. Raises OutputError."""
        begin, path = time.monotonic(), Path(output)
        dream = self._record(output, self._output, begin, with_sound)
        source = None
        if self._source is not None:
            try:
                name = path.with_name(f"{path.stem}.source{path.suffix}")
                source = self._record(str(name), self._source, begin, with_sound)
            except DreamvidError:
                dream.close()
                raise
        self._now = _Recording(dream, source, begin)
        self._say(f"recording to {output}")

    def _record(self, output: str, frames: LatestFrame, begin_seconds: float, with_sound: bool) -> Recorder:
        return Recorder(
            output,
            frames,
            self._settings,
            fps=self._fps,
            begin_seconds=begin_seconds,
            with_sound=with_sound,
            overwrite=self._overwrite,
            say=self._say,
        )

    def stop(self) -> None:
        """Stop; the files are finished in a thread of their own, as joining a long recording takes a while."""
        recording, self._now = self._now, None
        if recording is None:
            return
        thread = threading.Thread(target=self._finish, args=(recording, time.monotonic()), name="finish recording")
        thread.start()
        self._finishing.append(thread)

    def close(self) -> None:
        """Stop, and wait until all files are finished."""
        self.stop()
        for thread in self._finishing:
            thread.join()

    def _finish(self, recording: _Recording, end_seconds: float) -> None:
        if recording.source is not None and recording.source.close():
            self._say(f"recorded the source: {recording.source.path}")
        dream = recording.dream
        if not dream.close():
            return
        try:
            write_recipe(self._make_recipe(recording.begin_seconds, end_seconds, dream.path), dream.recipe)
        except OSError as error:
            self._say(f"cannot write {dream.recipe}: {error.strerror or error}")
        self._say(f"recorded {dream.state().seconds:.1f} s: {dream.path}")
