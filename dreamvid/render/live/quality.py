"""Hold the frame rate: lower the quality where frames take longer than there is time, and raise it again.

Input frames are dropped in any case. Then, one after the other: no steps of its own for what comes into view, which
then grows over several frames; fewer warm steps; a lower dream height; a longer cadence, whose other frames the dream
is only carried to (or which are interpolated, one frame behind). The ladder of these rungs is sorted by work, and the
time that a rung takes is predicted from its work and the time that the present one takes. So a step goes to the rung
that fits, at most once a second; and what turns out too slow after a step up is not tried again soon.

This is logic only: times come from outside.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dreamvid.coherence.disocclusion import COARSER_STEPS
from dreamvid.dream.octaves import enlarged_size, octave_sizes
from dreamvid.render.live.dream import Thrift
from dreamvid.render.live.state import QualityState
from dreamvid.settings import Settings
from dreamvid.settings.size import Size

# Below this part of the height a dream loses its strength; there, frames that are only carried come first.
_STRONG_PART = 0.65
_LEAST_HEIGHT = 96  # of the finest octave; below, a network sees too little
_HEIGHT_RATIO = 1.19  # from rung to rung: half of an octave at the default scale of 1.4
_LEAST_GAIN = 0.92  # a rung takes at most this part of the work of the one above
_LONGEST_CADENCE = 3
# What a frame takes, in steps on a pixel: for each step what its operators take to begin; motion and warps at the
# dream's size, and what they take to begin (motion in both directions takes more); composing it at its own size.
# Measured on a CPU.
_STEP_WORK, _MOTION_WORK, _FRAME_WORK, _BOTH_WAYS, _COMPOSE_WORK = 25_000, 1.6, 50_000, 1.3, 0.075

_TOO_SLOW, _FAST_ENOUGH = 1.05, 0.80  # of the budget
_AIM_DOWN, _AIM_UP = 0.90, 0.88
_BETWEEN_STEPS_SECONDS = 1.0
_BEFORE_UP_SECONDS, _LONGEST_BEFORE_UP_SECONDS = 2.0, 60.0
_REGRET_SECONDS = 10.0  # a step down so soon after one up: that was one too many
_MEASURED, _ENOUGH = 9, 4  # frames whose median counts, and the fewest


@dataclass(frozen=True)
class Rung:
    """One quality. work: what a frame takes, in steps of the network on a pixel.

    cadence: 2 where every second frame takes steps; to the others the dream is carried, or `interpolated`. spread: what
    comes into view grows over several frames, with no steps of its own.
    """

    warm_iterations: int
    dream_height: int
    octaves: int
    cadence: int
    work: float
    spread: bool = False
    interpolated: bool = False

    @property
    def thrift(self) -> Thrift:
        """What the dream does with less work."""
        return Thrift(self.spread, 0 if self.interpolated else self.cadence - 1)


def ladder(settings: Settings, size: Size, *, kind: str = "run", interpolate: bool = False) -> tuple[Rung, ...]:
    """List the qualities of settings on frames of a size, from the full one down.

    kind: "run" or "zoom"; an animation has no in-between frames, and its steps are `frame_iterations`. interpolate:
    interpolate the frames that are not dreamed, instead of carrying the dream to them.
    """
    dream = settings.dream
    footage = kind == "run"
    whole = settings.coherence.warm_iterations if footage else settings.camera.frame_iterations
    finest = min(dream.dream_height, max(size.height, enlarged_size(*size, dream_height=dream.dream_height).height))
    work = _Work(settings, size, footage=footage, interpolate=interpolate)
    octaves = dream.octaves
    found = [work.rung(whole, dream.dream_height, octaves, spread=False)]
    if footage:
        _append(found, work.rung(whole, dream.dream_height, octaves))
    fewest = whole
    for fewest in _fewer(whole):
        _append(found, work.rung(fewest, dream.dream_height, octaves))
    full, step, cadence = len(_sizes(settings, size, dream.dream_height, octaves)), 1, 1
    while (height := 8 * round(finest / _HEIGHT_RATIO**step / 8)) >= _LEAST_HEIGHT:
        if footage and cadence == 1 and height < _STRONG_PART * finest:
            last = found[-1]
            for cadence in range(2, _LONGEST_CADENCE + 1):
                _append(found, work.rung(fewest, last.dream_height, last.octaves, cadence))
        left_out = round(step * math.log(_HEIGHT_RATIO) / math.log(dream.octave_scale))
        _append(found, work.rung(fewest, height, max(min(2, full), full - left_out), cadence))
        step += 1
    if footage and cadence == 1:
        for cadence in range(2, _LONGEST_CADENCE + 1):
            _append(found, work.rung(fewest, found[-1].dream_height, found[-1].octaves, cadence))
    return tuple(found)


def _fewer(count: int) -> list[int]:
    """List smaller numbers of steps down to 1: each one less, or a third less."""
    found = []
    while count > 1:
        count = max(1, min(count - 1, math.floor(count * 2 / 3)))
        found.append(count)
    return found


def _append(found: list[Rung], rung: Rung) -> None:
    if rung.work <= _LEAST_GAIN * found[-1].work:
        found.append(rung)


def _sizes(settings: Settings, size: Size, height: int, octaves: int) -> list[Size]:
    working = enlarged_size(*size, dream_height=height)
    return octave_sizes(*working, dream_height=height, octaves=octaves, octave_scale=settings.dream.octave_scale)


@dataclass(frozen=True)
class _Work:
    """Makes rungs, each with its work."""

    settings: Settings
    size: Size
    footage: bool
    interpolate: bool

    def rung(self, count: int, height: int, octaves: int, cadence: int = 1, *, spread: bool = True) -> Rung:
        sizes = [one.height * one.width for one in _sizes(self.settings, self.size, height, octaves)]
        pixels = self.size.height * self.size.width
        steps = [one + _STEP_WORK for one in sizes]
        interpolated = self.interpolate and cadence > 1
        if not self.footage:
            full = [pixels + _STEP_WORK] if sizes[-1] < pixels and self.size.height <= height else []
            return Rung(
                count, height, octaves, cadence, sum([*steps, *full]) * count + pixels * (_MOTION_WORK + _COMPOSE_WORK)
            )
        # With steps of its own, what comes into view takes as many as would pay on the whole frame, at most.
        own = 0 if spread else self.settings.coherence.disocclusion_iterations
        finest, coarser = max(own, count), max(own, math.ceil(count * COARSER_STEPS))
        work = (steps[-1] * finest + sum(steps[:-1]) * coarser) / cadence
        work += (sizes[-1] * _MOTION_WORK + _FRAME_WORK) * (_BOTH_WAYS if interpolated else 1) + pixels * _COMPOSE_WORK
        return Rung(count, height, octaves, cadence, work, spread, interpolated)


class QualityController:
    """Chooses the rung of each frame. Belongs to one thread.

    budget_seconds: the time that there is for a frame. Begins on the lowest rung, so that a first frame does not take
    seconds, and goes up to the one that fits as soon as it has measured a few frames.
    """

    def __init__(self, rungs: Sequence[Rung], budget_seconds: float, *, kind: str = "run") -> None:
        self._rungs, self._kind = tuple(rungs), kind
        self._level = len(self._rungs) - 1
        self.budget_seconds = budget_seconds
        self._seconds: deque[float] = deque(maxlen=_MEASURED)
        self._skip = 1  # the first frame takes all steps; the first one of a new size makes its buffers
        self._changed_seconds: float | None = None
        self._went_up_seconds = -math.inf
        self._before_up_seconds = _BEFORE_UP_SECONDS
        self._down = self._up = 0

    @property
    def rung(self) -> Rung:
        """The quality of the next frame."""
        return self._rungs[self._level]

    @property
    def level(self) -> int:
        """Steps below the full quality."""
        return self._level

    @property
    def has_looked(self) -> bool:
        """Tell whether it has measured enough frames to choose a rung."""
        return self._changed_seconds is not None

    def replace_ladder(self, rungs: Sequence[Rung]) -> None:
        """Go on with other rungs, after the user changed the settings: with the one that takes as much time."""
        if tuple(rungs) == self._rungs:
            return
        work = self.rung.work
        self._rungs = tuple(rungs)
        self._level = next((n for n, rung in enumerate(rungs) if rung.work <= 1.02 * work), len(rungs) - 1)
        self._skip = 1
        self._seconds.clear()

    def skip_next(self) -> None:
        """Do not measure the next frame: it takes all the steps of a first one."""
        self._skip = max(self._skip, 1)

    def measure(self, now_seconds: float, frame_seconds: float) -> bool:
        """Take in how long a frame took, and when it was finished; return whether the quality is another one now."""
        if self._skip:
            self._skip -= 1
            return False
        self._seconds.append(frame_seconds)
        if len(self._seconds) < _ENOUGH:
            return False
        typical, waited = median(self._seconds), now_seconds - (self._changed_seconds or -math.inf)
        if self._changed_seconds is None:  # the first look: straight to what fits
            self._changed_seconds = now_seconds
            return self._go(self._fitting(typical, _AIM_UP), now_seconds)
        if waited < _BETWEEN_STEPS_SECONDS:
            return False
        if typical > _TOO_SLOW * self.budget_seconds:
            level = max(self._fitting(typical, _AIM_DOWN), min(self._level + 1, len(self._rungs) - 1))
            if level > self._level and now_seconds - self._went_up_seconds < _REGRET_SECONDS:
                self._before_up_seconds = min(2 * self._before_up_seconds, _LONGEST_BEFORE_UP_SECONDS)
            return self._go(level, now_seconds)
        if now_seconds - self._went_up_seconds > 3 * _REGRET_SECONDS:
            self._before_up_seconds = _BEFORE_UP_SECONDS
        if typical < _FAST_ENOUGH * self.budget_seconds and waited >= self._before_up_seconds:
            return self._go(min(self._level, self._fitting(typical, _AIM_UP)), now_seconds)
        return False

    def _fitting(self, typical: float, aim: float) -> int:
        """Return the best rung whose predicted time is within a part of the budget; the last one if none is."""
        per_work = typical / self.rung.work
        limit = aim * self.budget_seconds
        return next((n for n, rung in enumerate(self._rungs) if per_work * rung.work <= limit), len(self._rungs) - 1)

    def _go(self, level: int, now_seconds: float) -> bool:
        if level == self._level:
            return False
        if level > self._level:
            self._down += 1
        else:
            self._up += 1
            self._went_up_seconds = now_seconds
        self._level, self._changed_seconds, self._skip = level, now_seconds, 1
        self._seconds.clear()
        return True

    def limit(self, settings: Settings) -> Settings:
        """Lower settings to the present rung; return them as they are on the highest one."""
        rung = self.rung
        dream = {"dream_height": rung.dream_height, "octaves": rung.octaves}
        group = "coherence" if self._kind == "run" else "camera"
        steps: dict[str, object] = {"frame_iterations": rung.warm_iterations}
        if self._kind == "run":
            steps = {
                "warm_iterations": rung.warm_iterations,
                "cadence": rung.cadence if rung.interpolated else 1,
            }
        return settings.model_copy(
            update={
                "dream": settings.dream.model_copy(update=dream),
                group: getattr(settings, group).model_copy(update=steps),
            }
        )

    def state(self) -> QualityState:
        """Describe what is done."""
        rung, full = self.rung, self._rungs[0]
        words = []
        if rung.spread and rung.warm_iterations == full.warm_iterations:
            words.append("what comes into view grows over several frames")
        if rung.warm_iterations < full.warm_iterations:
            words.append(f"{rung.warm_iterations} of {full.warm_iterations} steps")
        if rung.dream_height < full.dream_height:
            words.append(f"dream height {rung.dream_height} of {full.dream_height}")
        if rung.cadence > 1:
            others = "interpolated" if rung.interpolated else "carried"
            words.append(f"every {('second', 'third')[rung.cadence - 2]} frame dreamed, the others {others}")
        frame = median(self._seconds) if self._seconds else 0.0
        return QualityState(
            level=self._level,
            doing=", ".join(words),
            steps_down=self._down,
            steps_up=self._up,
            warm_iterations=rung.warm_iterations,
            dream_height=rung.dream_height,
            cadence=rung.cadence,
            frame_ms=round(1000 * frame, 1),
            budget_ms=round(1000 * self.budget_seconds, 1),
        )
