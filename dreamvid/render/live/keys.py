"""Say which key does what, in the window and on the page."""

from collections.abc import Mapping
from types import MappingProxyType

from dreamvid.render.live.controls import ACTIONS, Controls

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
"""The action of each key. `full screen` and `quit` are the window's own. 1 to 9 choose the presets in their order."""
PRESET_FADE_SECONDS = 2.0
"""Cross-fade of a preset that is chosen by a key of the window or a MIDI pad, where no time can be given."""

_NAMES = {" ": "space", "\x1b": "escape"}


def key_name(code: int) -> str:
    """Return the name of a key, as in `KEYS`, by the code that OpenCV's `waitKey` gives; "" for other keys."""
    character = chr(code & 0xFF) if 0 <= code < 0x110000 and code & 0xFF < 0x7F and code >> 8 in (0, 0x1000) else ""
    return _NAMES.get(character, character.lower() if character.isalnum() else "")


def press_key(controls: Controls, name: str) -> str:
    """Do what a key stands for; return what is left to the window: "full screen", "quit" or ""."""
    if name.isdigit() and name != "0":
        presets = controls.presets()
        if int(name) <= len(presets):
            controls.preset(presets[int(name) - 1].name, PRESET_FADE_SECONDS)
        return ""
    action = KEYS.get(name, "")
    if action in ACTIONS:
        controls.action(action)
        return ""
    return action


def key_of(action: str) -> str:
    """Name the first key of an action; "" if it has none."""
    return next((key for key, done in KEYS.items() if done == action), "")
