"""Parse objective timelines: several objectives, one after another, with cross-fades.

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
    """An objective's text and the time at which it alone is dreamed; `easing` is that of the cross-fade to it."""

    objective: str
    time_seconds: float
    easing: str = "ease-in-out"

    def __str__(self) -> str:
        easing = "" if self.easing == "ease-in-out" else f" {self.easing}"
        return f"{self.objective} @ {self.time_seconds:.15g}s{easing}"


@dataclass(frozen=True)
class ObjectiveTimeline:
    """Objective keyframes in the order of their times, at least one; `str()` gives text that parses to the same."""

    keyframes: tuple[ObjectiveKeyframe, ...]

    def __str__(self) -> str:
        first, *others = self.keyframes
        start = first.objective if first.time_seconds == 0 and first.easing == "ease-in-out" else str(first)
        return " | ".join((start, *map(str, others)))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Return the different objectives, in the order of their first keyframe."""
        return tuple(dict.fromkeys(keyframe.objective for keyframe in self.keyframes))

    def at(self, time_seconds: float) -> list[tuple[str, float]]:
        """Return what is dreamed at a time: one or two objectives with weights above 0 whose sum is 1.

        At a keyframe's time it is that objective alone; between two keyframes, their cross-fade. Before the first
        keyframe and after the last one nothing changes.
        """
        after = bisect_right([keyframe.time_seconds for keyframe in self.keyframes], time_seconds)
        if after == 0:
            return [(self.keyframes[0].objective, 1.0)]
        start = self.keyframes[after - 1]
        if after == len(self.keyframes):
            return [(start.objective, 1.0)]
        stop = self.keyframes[after]
        share = (time_seconds - start.time_seconds) / (stop.time_seconds - start.time_seconds)
        weight = min(max(EASINGS[stop.easing](share), 0.0), 1.0)
        if start.objective == stop.objective or weight == 0:
            return [(start.objective, 1.0)]
        if weight == 1:
            return [(stop.objective, 1.0)]
        return [(start.objective, 1 - weight), (stop.objective, weight)]


def parse_timeline(source: str | Sequence[str]) -> ObjectiveTimeline:
    """Parse a timeline: a list of keyframes, or text with `|` or `;` between them; one objective is one keyframe.

    A keyframe is `OBJECTIVE [@ TIMEs [EASING]]`, such as `blocks.4.1 @ 5s` or `blocks.4.1 @ 5s hold`; the first one is
    at 0 s by default. Cross-fades ease in and out by default; the easings are those of schedules. Whether the network
    has such an objective is not checked. Raises SettingsError naming the keyframe.
    """
    texts = split_outside_quotes(source, "|;") if isinstance(source, str) else list(source)
    if not texts:
        raise SettingsError(f"A list of objectives needs at least one. {_EXAMPLE}")
    keyframes = tuple(_keyframe(text, number) for number, text in enumerate(texts, 1))
    for before, after in pairwise(keyframes):
        if after.time_seconds <= before.time_seconds:
            raise SettingsError(
                f"The objective {after.objective!r} at {after.time_seconds:g}s comes after "
                f"{before.objective!r} at {before.time_seconds:g}s: "
                "the times must rise."
            )
    return ObjectiveTimeline(keyframes)


def split_outside_quotes(text: str, separators: str) -> list[str]:
    """Split text at any of the characters in `separators` that is not inside double quotes."""
    marks = re.escape(separators)
    return re.findall(rf'(?:^|[{marks}])((?:"[^"]*"?|[^"{marks}])*)', text)


def _keyframe(text: object, number: int) -> ObjectiveKeyframe:
    if not isinstance(text, str):
        raise SettingsError(f"Objective {number} of the list must be text, got {text!r}. {_EXAMPLE}")
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
