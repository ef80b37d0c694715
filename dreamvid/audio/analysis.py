"""Analyze sound into curves that drive schedules: how loud it is, in which bands, and when it strikes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dreamvid.errors import InputError

Curve = npt.NDArray[np.float32]

BANDS = {"bass": (20.0, 250.0), "mid": (250.0, 4000.0), "treble": (4000.0, math.inf)}
HOP_SECONDS = 0.005
# Long enough to tell 200 from 250 Hz, and not to take the swing of a deep tone for strokes; strokes are still found to
# within 5 ms.
WINDOW_SECONDS = 0.046
_CHUNK = 4096  # spectra at once, to bound the memory

_FULL_PERCENTILE = 99.0  # what counts as full level: a single bang does not make all the rest silent
FAINT = 0.03  # a band this far below the loudest one is faint, not full
RELEASE_SECONDS = 0.12  # half-life of the levels' fall; their rise is immediate
BEAT_HALF_LIFE_SECONDS = 0.12  # half-life of a beat's pulse

COMPRESSION = 100.0
NEIGHBORHOOD_SECONDS = 0.5  # in which an onset has to stand out
STAND_OUT = 1.5  # times the neighborhood's mean
LEAST_FLUX = 0.08  # of the strongest ones: below is the hiss between them
GAP_SECONDS = 0.1  # strokes that follow sooner are one


@dataclass(frozen=True)
class SoundCurves:
    """Per-frame curves of a sound, each float32 (n,) from 0 to 1.

    values: rms, bass, mid, treble, onset, beat. beats_seconds: when the sound strikes.
    """

    fps: Fraction
    values: Mapping[str, Curve]
    beats_seconds: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values["rms"])

    def at(self, frame: int) -> dict[str, float]:
        """Give the signals of a frame for schedules, by name; before the start and after the end all are 0."""
        if not 0 <= frame < len(self):
            return dict.fromkeys(self.values, 0.0)
        return {name: float(curve[frame]) for name, curve in self.values.items()}


def analyse_sound(
    samples: npt.NDArray[np.float32], rate: int, fps: Fraction | float, frames: int | None = None
) -> SoundCurves:
    """Analyse samples (n,) or (n, channels) at `rate` per second; frame i of the curves is at i / fps seconds.

    Channels count by their energy, so that sound in antiphase, which a mix to mono cancels, is heard.

    frames: how many to give; without it, as many as the sound lasts. Levels are the share of the sound's own full
    level, rise at once and fall with a half-life of 0.12 s. `onset` is the spectral flux above its neighborhood (Bello
    et al. 2005, with logarithmic compression), `beat` a pulse that is 1 at the frame nearest to each onset's peak and
    then halves every 0.12 s. Raises InputError for no samples.
    """
    if samples.ndim not in (1, 2) or not samples.size:
        raise InputError(
            f"A sound to analyze is an array of mono samples (n,) or of channels (n, channels); got {samples.shape}."
        )
    fps = Fraction(fps).limit_denominator(1001)
    count = frames if frames is not None else max(1, math.ceil(Fraction(len(samples), rate) * fps))
    hop = max(1, round(rate * HOP_SECONDS))
    step = hop / rate
    levels, flux = _measure(samples, rate, hop)
    excess = _excess(flux, step)
    strokes = _peaks(excess, flux, step)
    values = {name: _mean_per_frame(level, step, fps, count) for name, level in levels.items()}
    values = {name: _release(curve, fps) for name, curve in values.items()}
    values["onset"] = _release(_most_per_frame(_unit(excess), step, fps, count), fps)
    # Sound that is cut off at its end makes a click there, which is not a stroke.
    end = len(samples) / rate - WINDOW_SECONDS / 2
    beats = tuple(stroke * step for stroke in strokes if stroke * step < end)
    values["beat"] = _pulses(beats, fps, count)
    return SoundCurves(fps, values, beats)


def _measure(samples: npt.NDArray[np.float32], rate: int, hop: int) -> tuple[dict[str, Curve], Curve]:
    """Compute levels from 0 to 1, and spectral flux, at 0, hop, 2 hop, …: one pass of Hann-windowed spectra."""
    window = max(2, 2 * round(rate * WINDOW_SECONDS / 2))
    channels = [samples] if samples.ndim == 1 else list(samples.T)
    views = [
        np.lib.stride_tricks.sliding_window_view(np.pad(channel, (window // 2, window)), window)[: channel.size : hop]
        for channel in channels
    ]
    shape = (np.hanning(window + 1)[:-1] / (window / 4)).astype(np.float32)
    loudest = max(float(np.abs(samples).max()), 1e-9)
    frequencies = np.fft.rfftfreq(window, 1 / rate)
    bands = {name: (frequencies >= low) & (frequencies < high) for name, (low, high) in BANDS.items()}
    bands["rms"] = frequencies > 0
    power: dict[str, list[npt.NDArray[np.floating]]] = {name: [] for name in bands}
    flux: list[npt.NDArray[np.floating]] = []
    before = np.zeros((max(1, round(window / 2 / hop)), frequencies.size))
    for start in range(0, len(views[0]), _CHUNK):
        spectra = [np.abs(np.fft.rfft(view[start : start + _CHUNK] * shape, axis=1)) for view in views]
        sizes = spectra[0] if len(spectra) == 1 else np.sqrt(np.mean(np.square(spectra), axis=0))
        for name, band in bands.items():
            power[name].append(np.square(sizes[:, band]).sum(axis=1))
        # How much louder all frequencies together became within half a window.
        logs = np.concatenate([before, np.log1p(COMPRESSION / loudest * sizes)])
        flux.append(np.maximum(logs[len(before) :] - logs[: -len(before)], 0).mean(axis=1))
        before = logs[-len(before) :]
    levels = {name: np.sqrt(np.concatenate(parts)) for name, parts in power.items()}
    full = {name: float(np.percentile(level, _FULL_PERCENTILE)) for name, level in levels.items()}
    faint = max(FAINT * full["rms"], 1e-9)
    units = {name: np.minimum(level / max(full[name], faint), 1).astype(np.float32) for name, level in levels.items()}
    return units, np.concatenate(flux).astype(np.float32)


def _mean_around(curve: Curve, reach: int) -> Curve:
    kernel = np.ones(2 * reach + 1, np.float32)
    inside = np.convolve(np.ones_like(curve), kernel, mode="full")[reach : reach + curve.size]
    return (np.convolve(curve, kernel, mode="full")[reach : reach + curve.size] / inside).astype(np.float32)


def _excess(flux: Curve, step: float) -> Curve:
    """Compute what of the flux stands out of its neighborhood and of the hiss."""
    threshold = STAND_OUT * _mean_around(flux, round(NEIGHBORHOOD_SECONDS / step))
    least = LEAST_FLUX * float(np.percentile(flux, 99.5)) + 1e-6
    excess: Curve = np.maximum(flux - np.maximum(threshold, least), 0).astype(np.float32)
    return excess


def _unit(curve: Curve) -> Curve:
    peaks = curve[curve > 0]
    if not peaks.size:
        return curve
    unit: Curve = np.minimum(curve / np.percentile(peaks, 90), 1).astype(np.float32)
    return unit


def _peaks(excess: Curve, flux: Curve, step: float) -> list[float]:
    """Find the positions of the strongest flux, none close to a stronger one; in hops, also between two."""
    gap = round(GAP_SECONDS / step)
    found: list[float] = []
    taken = np.zeros(excess.size, bool)
    for peak in np.argsort(-excess, kind="stable"):
        if excess[peak] <= 0:
            break
        if taken[max(0, peak - gap) : peak + gap + 1].any():
            continue
        taken[peak] = True
        # The flux rises over the lag and falls again: the middle of what is near the top is steadier than the top.
        near = slice(max(0, peak - 3), peak + 4)
        weight = flux[near] - 0.5 * flux[peak]
        weight = np.maximum(weight, 0)
        found.append(float((weight * np.arange(near.start, near.start + weight.size)).sum() / weight.sum()))
    return sorted(found)


def _edges(step: float, fps: Fraction, count: int) -> npt.NDArray[np.float64]:
    """Compute where each frame's time begins and the last one's ends, half a frame before and after it, in hops."""
    return np.asarray((np.arange(count + 1) - 0.5) / float(fps) / step + 0.5)


def _mean_per_frame(curve: Curve, step: float, fps: Fraction, count: int) -> Curve:
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    edges = np.clip(_edges(step, fps, count), 0, curve.size)
    widths = np.diff(edges)
    totals = np.diff(np.interp(edges, np.arange(curve.size + 1), sums))
    return np.where(widths > 1e-9, totals / np.maximum(widths, 1e-9), 0).astype(np.float32)


def _most_per_frame(curve: Curve, step: float, fps: Fraction, count: int) -> Curve:
    edges = np.clip(np.floor(_edges(step, fps, count)).astype(int), 0, curve.size)
    most = [curve[start : max(start + 1, stop)].max(initial=0) for start, stop in pairwise(edges.tolist())]
    return np.array(most, np.float32)


def _release(curve: Curve, fps: Fraction) -> Curve:
    """Let a curve rise at once and fall with the half-life."""
    kept = 0.5 ** (1 / float(fps) / RELEASE_SECONDS)
    held = np.empty_like(curve)
    last = 0.0
    for index, value in enumerate(curve.tolist()):
        last = max(value, last * kept)
        held[index] = last
    return held


def _pulses(times_seconds: tuple[float, ...], fps: Fraction, count: int) -> Curve:
    pulses = np.zeros(count, np.float32)
    for time in times_seconds:
        frame = math.floor(time * float(fps) + 0.5)
        if frame < count:
            pulses[frame] = 1.0
    kept = 0.5 ** (1 / float(fps) / BEAT_HALF_LIFE_SECONDS)
    for index in range(1, count):
        pulses[index] = max(pulses[index], pulses[index - 1] * kept)
    return pulses
