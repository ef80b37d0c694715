"""Analyze sound while it plays: the same values as those of a file, from what has been heard so far.

What counts as full is not known beforehand, so it follows the loudest of the last seconds. A stroke is told as soon as
the flux falls again after its peak. The delay is that of half a window and a hop, about 30 ms.
"""

import math
import threading
from collections import deque

import numpy as np
import numpy.typing as npt

from dreamvid.audio.analysis import (
    BANDS,
    BEAT_HALF_LIFE_SECONDS,
    COMPRESSION,
    FAINT,
    GAP_SECONDS,
    HOP_SECONDS,
    LEAST_FLUX,
    NEIGHBORHOOD_SECONDS,
    RELEASE_SECONDS,
    STAND_OUT,
    WINDOW_SECONDS,
)
from dreamvid.settings.schedule import SIGNALS

_FORGET_SECONDS = 10.0  # half-life of what counts as full
_SILENCE = 1e-4  # -80 dB: nothing below is amplified
_STRONG = 0.3  # of the strongest excess of the last seconds: a stroke
_WAITED_SECONDS = 0.1  # without sound: the values fall


class LiveSound:
    """Follows a sound. `hear` and `at` may be called from different threads.

    rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._hop = max(1, round(rate * HOP_SECONDS))
        self._window = max(2, 2 * round(rate * WINDOW_SECONDS / 2))
        self._shape = (np.hanning(self._window + 1)[:-1] / (self._window / 4)).astype(np.float32)
        frequencies = np.fft.rfftfreq(self._window, 1 / rate)
        self._bands = {name: (frequencies >= low) & (frequencies < high) for name, (low, high) in BANDS.items()}
        self._bands["rms"] = frequencies > 0
        self._lag = max(1, round(self._window / 2 / self._hop))
        self._heard: npt.NDArray[np.float32] = np.zeros((self._window, 1), np.float32)
        self._logs: deque[npt.NDArray[np.floating]] = deque(maxlen=self._lag)
        self._fluxes: deque[float] = deque(maxlen=max(3, round(NEIGHBORHOOD_SECONDS / HOP_SECONDS)))
        self._excesses: deque[float] = deque([0.0, 0.0, 0.0], maxlen=3)
        self._pending = 0
        self._full = dict.fromkeys(self._bands, 0.0)
        self._loudest = self._most_flux = self._most_excess = 0.0
        self._values = dict.fromkeys(SIGNALS, 0.0)
        self._beat_seconds = -math.inf
        self._last_seconds = -math.inf
        self._lock = threading.Lock()

    def hear(self, samples: npt.NDArray[np.float32], arrived_seconds: float) -> None:
        """Take in samples (n, channels) that follow those before; the last one arrived at a time of any clock."""
        if not len(samples):
            return
        if self._heard.shape[1] != samples.shape[1]:
            self._heard = np.zeros((self._window, samples.shape[1]), np.float32)
        with self._lock:
            position = self._hop - self._pending  # samples up to the next hop
            joined = np.concatenate([self._heard, samples])
            while position <= len(samples):
                late = (len(samples) - position) / self._rate
                self._measure(joined[position : position + self._window], arrived_seconds - late)
                position += self._hop
            self._pending = self._hop - (position - len(samples))
            self._heard = joined[-self._window :]
            self._last_seconds = arrived_seconds

    def at(self, now_seconds: float) -> dict[str, float]:
        """Return the values now, each from 0 to 1, by the names that schedules use."""
        with self._lock:
            values = dict(self._values)
            silent = now_seconds - self._last_seconds - _WAITED_SECONDS
            fall = 0.5 ** (silent / RELEASE_SECONDS) if silent > 0 else 1.0
            beat = now_seconds - self._beat_seconds
        values = {name: value * fall for name, value in values.items()}
        values["beat"] = 0.5 ** (max(0.0, beat) / BEAT_HALF_LIFE_SECONDS) if math.isfinite(beat) else 0.0
        return values

    def _measure(self, window: npt.NDArray[np.float32], now_seconds: float) -> None:
        spectra = np.abs(np.fft.rfft(window * self._shape[:, None], axis=0))
        sizes = np.sqrt(np.square(spectra).mean(axis=1))
        forget, release = 0.5 ** (HOP_SECONDS / _FORGET_SECONDS), 0.5 ** (HOP_SECONDS / RELEASE_SECONDS)
        levels = {name: math.sqrt(float(np.square(sizes[band]).sum())) for name, band in self._bands.items()}
        for name, level in levels.items():
            self._full[name] = max(level, forget * self._full[name], _SILENCE)
        for name, level in levels.items():
            full = max(self._full[name], FAINT * self._full["rms"])
            self._values[name] = max(min(level / full, 1.0), release * self._values[name])
        self._loudest = max(float(np.abs(window).max()), forget * self._loudest, _SILENCE)
        logs = np.log1p(COMPRESSION / self._loudest * sizes)
        flux = float(np.maximum(logs - self._logs[0], 0).mean()) if len(self._logs) == self._lag else 0.0
        self._logs.append(logs)
        self._strike(flux, forget, release, now_seconds)

    def _strike(self, flux: float, forget: float, release: float, now_seconds: float) -> None:
        """Find what of the flux stands out, and tell a stroke just after its peak."""
        self._most_flux = max(flux, forget * self._most_flux)
        around = sum(self._fluxes) / len(self._fluxes) if self._fluxes else 0.0
        self._fluxes.append(flux)
        excess = max(0.0, flux - max(STAND_OUT * around, LEAST_FLUX * self._most_flux + 1e-6))
        self._most_excess = max(excess, forget * self._most_excess)
        self._excesses.append(excess)
        unit = excess / self._most_excess if self._most_excess > 0 else 0.0
        self._values["onset"] = max(unit, release * self._values["onset"])
        before, peak, after = self._excesses
        known = 2 * len(self._fluxes) >= (self._fluxes.maxlen or 0)  # that sound begins at all is no stroke
        strong = known and peak > 0 and peak >= _STRONG * self._most_excess
        if strong and before <= peak > after and now_seconds - self._beat_seconds > GAP_SECONDS:
            self._beat_seconds = now_seconds
