"""Read the time stamps of frames from ffmpeg, and mend them where a few are damaged.

A damaged time stamp is told by its neighbors: the frames around it go on as if it were not there. It is replaced by
interpolation. A gap that lasts is kept, as many videos have pauses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Literal

_REACH = 64  # so many damaged time stamps in a row are recognized
_DROP = 1.0  # cost of giving up a time stamp
_GAP = 0.5  # highest cost of a step that is longer or shorter than usual: less than giving one up, so gaps are kept
_STEPS_FULL = 20  # a step that is off by so many usual steps costs `_GAP`
_JUMP = _DROP * (_REACH + 1)  # cost of times that go back, or a day ahead, and stay there
_WRAP_SECONDS = 12 * 3600
_STRAY_SECONDS = 0.2  # at either end of a video a single frame this far away …
_STRAY_STEPS = 5  # … and this many steps is not shown for so long, where frames do not carry a duration


@dataclass(frozen=True)
class Mended:
    """Time stamps that rise strictly. pts: in units of the time base. damaged: numbers of the frames changed."""

    pts: tuple[int, ...]
    damaged: tuple[int, ...] = ()


def mend(stamps: Sequence[int | None], time_base: Fraction, *, strays: bool = False) -> Mended:
    """Replace damaged time stamps.

    stamps: as decoded, in the order of display; None where there is none. time_base: their unit, in seconds. strays:
    also replace a first or last time stamp that is far away from all others; only for formats whose frames carry
    no duration (MPEG streams), as elsewhere it is a pause.
    """
    if not stamps:
        return Mended(())
    known = [stamp for stamp in stamps if stamp is not None]
    step = _usual_step(known)
    longest = int(_WRAP_SECONDS / time_base)
    rising = len(known) == len(stamps) and all(0 < second - first < longest for first, second in pairwise(known))
    chains = [list(range(len(stamps)))] if rising else _chains(stamps, step, longest)
    if strays:
        chains = [_without_strays(chain, stamps, step, time_base) for chain in chains]
    pts = _joined(stamps, [chain for chain in chains if chain], step)
    damaged = tuple(index for index, stamp in enumerate(stamps) if stamp != pts[index])
    return Mended(tuple(pts), damaged)


def _usual_step(known: Sequence[int]) -> float:
    """Return the median step; over several frames, as some streams show the time of a pair of fields twice."""
    reach = max(1, min(8, len(known) // 2))
    steps = sorted(second - first for first, second in zip(known, known[reach:], strict=False) if second > first)
    return steps[len(steps) // 2] / reach if steps else 1.0


def _chains(stamps: Sequence[int | None], step: float, longest: int) -> list[list[int]]:
    """Choose the time stamps to keep, at the least cost; each list rises, and jumps lie between the lists."""
    count = len(stamps)
    near = _near_trouble(stamps, longest)
    costs: list[float] = [0.0] * count
    before: list[tuple[int, bool]] = [(-1, False)] * count
    for index, stamp in enumerate(stamps):
        if stamp is None:
            costs[index] = float("inf")
            continue
        costs[index] = index * _DROP
        for earlier in range(index - 1, max(-1, index - (_REACH if near[index] else 1) - 1), -1):
            other = stamps[earlier]
            if other is None:
                continue
            dropped = index - earlier - 1
            if 0 < stamp - other < longest:
                off = abs(stamp - other - (index - earlier) * step) / step
                cost = costs[earlier] + dropped * _DROP + min(off / _STEPS_FULL, 1.0) * _GAP
                jump = False
            else:
                cost, jump = costs[earlier] + dropped * _DROP + _JUMP, True
            if cost < costs[index]:
                costs[index], before[index] = cost, (earlier, jump)
    last = min(range(count), key=lambda index: costs[index] + (count - 1 - index) * _DROP)
    chains: list[list[int]] = [[last]]
    while before[last][0] >= 0:
        last, jump = before[last]
        if jump:
            chains.append([])
        chains[-1].append(last)
    return [chain[::-1] for chain in reversed(chains)]


def _near_trouble(stamps: Sequence[int | None], longest: int) -> list[bool]:
    """Mark the frames near a time stamp that does not follow from the one before it."""
    near = [False] * len(stamps)
    for index, (first, second) in enumerate(pairwise(stamps)):
        if first is None or second is None or not 0 < second - first < longest:
            for place in range(max(0, index - _REACH), min(len(stamps), index + _REACH + 2)):
                near[place] = True
    return near


def _without_strays(chain: list[int], stamps: Sequence[int | None], step: float, time_base: Fraction) -> list[int]:
    """Leave out a single first or last time stamp that is far from all others, which are regular."""

    def stray(index: int, neighbor: int) -> bool:
        gap = abs((stamps[neighbor] or 0) - (stamps[index] or 0)) - step * (abs(neighbor - index) - 1)
        return gap * time_base > _STRAY_SECONDS and gap > _STRAY_STEPS * step

    def regular(part: list[int]) -> bool:
        steps = [((stamps[b] or 0) - (stamps[a] or 0)) / (b - a) for a, b in pairwise(part)]
        return len(steps) > 3 and max(steps) < 3 * step

    if len(chain) > 5:
        if stray(chain[0], chain[1]) and regular(chain[1:]):
            return chain[1:]
        if stray(chain[-1], chain[-2]) and regular(chain[:-1]):
            return chain[:-1]
    return chain


def _joined(stamps: Sequence[int | None], chains: Sequence[Sequence[int]], step: float) -> list[int]:
    """Interpolate what is not in a chain, and let each chain follow the one before it."""
    anchors: list[tuple[int, int]] = []
    for chain in chains:
        first = stamps[chain[0]] or 0
        shift = 0
        if anchors:
            index, time = anchors[-1]
            shift = time + round((chain[0] - index) * step) - first
        anchors += [(index, (stamps[index] or 0) + shift) for index in chain]
    if not anchors:
        return [round(index * step) for index in range(len(stamps))]
    pts = [0] * len(stamps)
    (first_index, first_time), (last_index, last_time) = anchors[0], anchors[-1]
    mean = (last_time - first_time) / (last_index - first_index) if last_index > first_index else step
    outside = mean if abs(mean / step - 1) < 0.1 else step  # steps are rounded; the mean of a steady rate is exact
    for index in range(first_index):
        pts[index] = round(first_time - (first_index - index) * outside)
    after = (len(stamps), round(last_time + (len(stamps) - last_index) * outside))
    for (a, start), (b, end) in pairwise([*anchors, after]):
        for index in range(a, b):
            pts[index] = start + round(Fraction(end - start, b - a) * (index - a))
    for index in range(1, len(pts)):
        pts[index] = max(pts[index], pts[index - 1] + 1)
    return pts


def describe_damage(stamps: Sequence[int | None], mended: Mended, time_base: Fraction) -> str:
    """Say in a sentence which time stamps were damaged; "" for none."""
    if not mended.damaged:
        return ""
    first, count = mended.damaged[0], len(mended.damaged)
    stamp = stamps[first]
    got = "none" if stamp is None else f"{float(stamp * time_base):.3f} s"
    which = f"frame {first} has a wrong time stamp" if count == 1 else f"{count} frames have wrong time stamps"
    return (
        f"{which}: {'' if count == 1 else f'frame {first} has '}{got} in place of "
        f"{float(mended.pts[first] * time_base):.3f} s; the times of the frames around are used instead"
    )


def correction_filter(changes: Mapping[int, int]) -> str:
    """Write ffmpeg's filter that adds to the time stamps of frames what `changes` says, in ticks; "" for nothing."""
    if not changes:
        return ""
    terms = []
    indices = sorted(changes)
    for change, run in groupby(enumerate(indices), key=lambda item: (item[1] - item[0], changes[item[1]])):
        numbers = [index for _, index in run]
        terms.append(f"between(N\\,{numbers[0]}\\,{numbers[-1]})*{change[1]}")
    return "setpts=PTS+" + "+".join(terms)


class Clock:
    """Reads lines of ffmpeg's statistics file as times in units of `time_base`."""

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base

    def read(self, line: str) -> int | None:
        """Return the time of the next frame; None where it has none."""
        ticks, base = line.split()
        try:
            return round(int(ticks) * Fraction(base) / self._time_base)
        except (ValueError, ZeroDivisionError):
            return None


def timing_args(statistics: str, unit: Literal["demux", "filter"] = "demux") -> list[str]:
    """Output options that keep every frame's own time and write it, frame by frame, to `statistics`.

    `unit`: whether times are counted in the container's time base or in that of the last filter.
    """
    return [
        *("-fps_mode", "passthrough", "-enc_time_base", unit),
        *("-stats_enc_pre", statistics, "-stats_enc_pre_fmt", "{pts} {tb}"),
    ]
