"""Objectives that the dream travels through in turn, with cross-fades.

blocks.3.2 | blocks.4.1 @ 5s | class:peacock @ 10s
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.schedule import EASINGS

_TIME = re.compile(r"@\s*(\d+\.?\d*|\.\d+)\s*s(?:\s+([a-z-]+))?\s*$", re.ASCII)
_EXAMPLE = "For example: blocks.3.2 | blocks.4.1 @ 5s | class:peacock @ 10s"


@dataclass(frozen=True)
class ObjectiveKeyframe:
    """An objective's text and when the dream is wholly there; `easing` is that of the way to it."""

    objective: str
    time_seconds: float
    easing: str = "ease-in-out"

    def __str__(self) -> str:
        easing = "" if self.easing == "ease-in-out" else f" {self.easing}"
        return f"{self.objective} @ {self.time_seconds:.15g}s{easing}"


@dataclass(frozen=True)
class ObjectiveTimeline:
    """ObjectiveTimeline in the order of their times, at least one; `str()` gives text that parses to the same."""

    stations: tuple[ObjectiveKeyframe, ...]

    def __str__(self) -> str:
        first, *others = self.stations
        start = first.objective if first.time_seconds == 0 and first.easing == "ease-in-out" else str(first)
        return " | ".join((start, *map(str, others)))

    @property
    def objectives(self) -> tuple[str, ...]:
        """The different objectives, in the order of their first station."""
        return tuple(dict.fromkeys(station.objective for station in self.stations))

    def at(self, time_seconds: float) -> list[tuple[str, float]]:
        """Say what is dreamed at a time: one or two objectives with weights above 0 whose sum is 1.

        At a station's time it is that one alone; between two, their cross-fade. Before the first station and
        behind the last it stays.
        """
        after = bisect_right([station.time_seconds for station in self.stations], time_seconds)
        if after == 0:
            return [(self.stations[0].objective, 1.0)]
        here = self.stations[after - 1]
        if after == len(self.stations):
            return [(here.objective, 1.0)]
        there = self.stations[after]
        way = (time_seconds - here.time_seconds) / (there.time_seconds - here.time_seconds)
        weight = min(max(EASINGS[there.easing](way), 0.0), 1.0)
        if here.objective == there.objective or weight == 0:
            return [(here.objective, 1.0)]
        if weight == 1:
            return [(there.objective, 1.0)]
        return [(here.objective, 1 - weight), (there.objective, weight)]


def parse_timeline(source: str | Sequence[str]) -> ObjectiveTimeline:
    """Read stations: a list, or text with `|` or `;` between them; one objective alone is one station.

    A station is `OBJECTIVE [@ TIMEs [EASING]]`, such as `blocks.4.1 @ 5s` or `blocks.4.1 @ 5s hold`; the
    first is at 0 s where it does not say. Cross-fades ease in and out; the easings are those of schedules.
    Whether the network has such an objective is not looked at. Raises SettingsError naming the station.
    """
    texts = _split(source) if isinstance(source, str) else list(source)
    if not texts:
        raise SettingsError(f"A list of objectives needs at least one. {_EXAMPLE}")
    stations = tuple(_station(text, number) for number, text in enumerate(texts, 1))
    for before, after in pairwise(stations):
        if after.time_seconds <= before.time_seconds:
            raise SettingsError(
                f"The objective {after.objective!r} at {after.time_seconds:g}s comes after "
                f"{before.objective!r} at {before.time_seconds:g}s: "
                "each station's time has to be above that of the one before."
            )
    return ObjectiveTimeline(stations)


def _split(text: str) -> list[str]:
    """Cut at | and ; outside of double quotes."""
    return re.findall(r'(?:^|[|;])((?:"[^"]*"?|[^"|;])*)', text)


def _station(text: object, number: int) -> ObjectiveKeyframe:
    if not isinstance(text, str):
        raise SettingsError(f"Objective {number} of the list has to be text, got {text!r}. {_EXAMPLE}")
    match = _TIME.search(text)
    objective = (text[: match.start()] if match else text).strip()
    if not objective:
        raise SettingsError(f"Objective {number} of the list is empty. {_EXAMPLE}")
    if match is None and re.search(r"@\s*[\d.]*\s*\w*\s*$", text) and not re.search(r"\)\s*@", text):
        raise SettingsError(
            f"The time of objective {number} ({text.strip()!r}) is not understood: it is given in seconds, "
            f"such as '@ 5s'. {_EXAMPLE}"
        )
    if match is None and number > 1:
        raise SettingsError(f"Objective {number} ({objective!r}) needs its time: '{objective} @ 5s'. {_EXAMPLE}")
    easing = (match and match[2]) or "ease-in-out"
    if easing not in EASINGS:
        raise SettingsError(
            f"There is no easing {easing!r} (objective {number}).{nearest(easing, EASINGS)} "
            f"Allowed: {', '.join(EASINGS)}."
        )
    return ObjectiveKeyframe(objective, float(match[1]) if match else 0.0, easing)
