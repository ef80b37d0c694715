"""Say which key does what, in the window and on the page."""

from collections.abc import Mapping
from types import MappingProxyType

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "space": "freeze",
        "n": "reset",
        "s": "snapshot",
        "b": "blackout",
        "r": "record",
        "t": "tap",
        "f": "full screen",
        "q": "quit",
        "escape": "quit",
    }
)
"""The action of each key; `full screen` and `quit` are the window's own. 1 to 9 choose the presets in their order."""


def key_names(action: str) -> str:
    """Name the first key of an action; "" if it has none."""
    return next((key for key, done in KEYS.items() if done == action), "")
