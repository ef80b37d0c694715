"""One dial for the settings of coherence, from rough to locked."""

from collections.abc import Mapping
from typing import Any

from dreamvid.settings.model import CoherenceSettings

# From the middle to either end the half-life changes this many times.
_REACH = 5.0
_MIDDLE = 0.5


def turn_dial(table: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what the dial of a [coherence] table means under what else the table says.

    0 carries nothing; above it the half-life grows from a fifth of the default to five times it at 1, and is the
    default in the middle. The rough quarter dreams every frame in one warm step, the locked one takes a step more
    than the default.
    A value that is no number from 0 to 1 is left for the check of the whole.
    """
    try:
        dial = float(table["coherence"])
    except (KeyError, TypeError, ValueError):
        return dict(table)
    if not 0 <= dial <= 1:
        return dict(table)
    middle = CoherenceSettings()
    half_life = middle.half_life_seconds * _REACH ** ((dial - _MIDDLE) / _MIDDLE) if dial > 0 else 0.0
    steps = 1 if dial < 0.25 else middle.warm_iterations + (dial > 0.75)
    cadence = 1 if dial < 0.25 else middle.cadence
    return {"half_life_seconds": half_life, "warm_iterations": int(steps), "cadence": cadence, **table}
