"""Tap a tempo: the signal `beat` from taps of a finger."""

from collections import deque

from dreamvid.audio.analysis import BEAT_HALF_LIFE_SECONDS

_MOST_TAPS = 8
_PAUSE_SECONDS = 2.0  # taps further apart begin a new tempo; so the slowest one is 30 beats per minute
_SHORTEST_SECONDS = 0.2  # 300 beats per minute


class TapTempo:
    """A steady beat that follows the last taps. Times are those of any clock, in seconds."""

    def __init__(self) -> None:
        self._taps: deque[float] = deque(maxlen=_MOST_TAPS)

    def tap(self, seconds: float) -> None:
        """Take a tap. One long after the last one begins a new tempo; a second tap sets it."""
        if self._taps:
            gap = seconds - self._taps[-1]
            if gap < _SHORTEST_SECONDS:
                return
            if gap > _PAUSE_SECONDS:
                self._taps.clear()
        self._taps.append(seconds)

    @property
    def beats_per_minute(self) -> float | None:
        """The tempo; None before the second tap."""
        period = self._period
        return None if period is None else 60 / period

    @property
    def _period(self) -> float | None:
        if len(self._taps) < 2:
            return None
        return (self._taps[-1] - self._taps[0]) / (len(self._taps) - 1)

    def beat(self, seconds: float) -> float | None:
        """Return the pulse at a time: 1 at each stroke, then fading as `beat` of a sound does; None without tempo."""
        period = self._period
        if period is None:
            return None
        since = (seconds - self._taps[-1]) % period
        return float(0.5 ** (since / BEAT_HALF_LIFE_SECONDS))
