"""Decide, between two steps of ascent, what happens to a preview: coarse while something moves, fine when it rests.

A dream grows from coarse to fine by itself, octave by octave. So a preview is the dream, shown before it is finished:
the first picture as soon as an octave of at least 160 lines is done, then one for each further octave, and the last one
is the frame that a render would start with. A new value stops the dream before its next step.
"""

import time
from collections.abc import Callable
from enum import Enum

LEAST_LINES = 160
"""A coarser octave is not worth showing, unless the frame has no finer one."""

# If steps are slow or many, a picture is shown before its octave is done.
_FIRST_SECONDS, _NEXT_SECONDS = 0.7, 1.5
# Values that come faster than pictures can: one dream in a while is let go on until its first picture.
_BLIND_SECONDS = 0.8


class Verdict(Enum):
    """What to do after a step."""

    GO_ON = "go on"
    SHOW = "show"
    STOP = "stop"


class PreviewMachine:
    """The state of one page's preview. Used by the thread that dreams.

    clock: seconds that never go back; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown_at = self._begun_at = -float("inf")
        self._shown = 0
        self._octave = -1

    @property
    def is_coarse(self) -> bool:
        """Tell whether nothing of the present dream was shown yet."""
        return self._shown == 0

    def begin(self) -> None:
        """Begin the dream of new values."""
        now = self._clock()
        if self._begun_at == -float("inf"):
            self._shown_at = now  # the page has just come
        self._begun_at, self._shown, self._octave = now, 0, -1

    def after_step(self, lines: int, octave: int, octaves: int, done: int, steps: int, *, moved: bool) -> Verdict:
        """Judge after a step. Arguments: those of `DreamStep`; moved: newer values are there.

        The last step of all is left to whoever finishes the dream.
        """
        now = self._clock()
        octave_done, last = done == steps, octave == octaves - 1
        if moved and not (self.is_coarse and now - self._shown_at > _BLIND_SECONDS):
            return Verdict.STOP
        if octave_done and last:
            return Verdict.GO_ON
        waited = now - (self._begun_at if self.is_coarse else self._shown_at)
        enough = lines >= LEAST_LINES or last or waited > 2 * _FIRST_SECONDS
        slow = waited > (_FIRST_SECONDS if self.is_coarse else _NEXT_SECONDS)
        if enough and (octave_done or slow):
            return Verdict.SHOW
        return Verdict.GO_ON

    def shown(self) -> None:
        """Note that a picture was shown."""
        self._shown += 1
        self._shown_at = self._clock()
