"""Bind the knobs and pads of MIDI devices to settings, actions and presets: learned, and kept in a TOML file.

    ["nanoKONTROL2"]
    "channel 1 control 74" = "step_size"
    "channel 10 note 36" = "tap"
    "channel 10 note 37" = "preset plants"

This file needs no MIDI library: `midi.py` gives it messages.
"""

import os
import sys
import threading
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import tomli_w

from dreamvid.errors import DreamvidError, SettingsError, nearest
from dreamvid.render.live.controls import ACTIONS, Controls
from dreamvid.render.live.keys import PRESET_FADE_SECONDS
from dreamvid.runtime.files import part_path, replace_atomically

HIGHEST = 127
_PRESET = "preset "
_MOST_BINDINGS = 4096
_PRESSED = 64


def midi_map_path() -> Path:
    """Return the path of the map in the user's config folder; the variable DREAMVID_MIDI_MAP names another one."""
    if own := os.environ.get("DREAMVID_MIDI_MAP"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA", "~/AppData/Roaming"))
    elif sys.platform == "darwin":
        folder = Path("~/Library/Application Support")
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return folder.expanduser() / "dreamvid" / "midi.toml"


class Learning:
    """Does what a moved knob or a struck pad stands for. Any thread may call.

    path: the file of the map, which need not be there. report: told what could not be done. Raises SettingsError for a
    file that is not a map.
    """

    def __init__(
        self,
        controls: Controls,
        path: Path,
        *,
        fade_seconds: float = PRESET_FADE_SECONDS,
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._controls, self._path, self._fade, self._report = controls, path, fade_seconds, report
        self._lock = threading.Lock()
        self._map = _read(path)
        self._wanted: str | None = None
        self._pressed: dict[tuple[str, str], bool] = {}
        self.ports: tuple[str, ...] = ()

    def learn(self, target: str | None) -> None:
        """Bind the next knob that is moved, or pad that is struck, to a target; None to stop waiting.

        target: a setting's name, an action's, or `preset NAME`. Raises SettingsError for anything else.
        """
        checked = None if target is None else self._target(target)
        with self._lock:
            self._wanted = checked

    def state(self) -> dict[str, object]:
        """Return what is learned now, the bindings by their target, and the devices."""
        with self._lock:
            bound: dict[str, list[str]] = {}
            for port, table in self._map.items():
                for message, target in table.items():
                    bound.setdefault(target, []).append(f"{port}: {message}")
            return {"learning": self._wanted, "bindings": bound, "ports": list(self.ports), "map": str(self._path)}

    def control_changed(self, port: str, channel: int, control: int, value: int) -> None:
        """Take a control change, channel from 1."""
        self._take(port, f"channel {channel} control {control}", value, momentary=False)

    def note_struck(self, port: str, channel: int, note: int, velocity: int) -> None:
        """Take a note, channel from 1; velocity 0 where it ends."""
        self._take(port, f"channel {channel} note {note}", velocity, momentary=True)

    def _take(self, port: str, message: str, value: int, *, momentary: bool) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, None if value or not momentary else self._wanted
            if wanted is not None and (value or not momentary):
                self._map.setdefault(port, {})[message] = wanted
                self._save()
            target = self._map.get(port, {}).get(message)
            rises = value >= _PRESSED or (momentary and value > 0)
            struck = rises and not self._pressed.get((port, message), False)
            if len(self._pressed) < _MOST_BINDINGS:
                self._pressed[port, message] = rises
        if target is None:
            return
        try:
            self._do(target, value, struck, momentary)
        except DreamvidError as error:
            self._report(f"MIDI {message} ({target}): {error}")

    def _do(self, target: str, value: int, struck: bool, momentary: bool) -> None:
        if target in ACTIONS:
            if struck:
                self._controls.action(target)
            return
        if target.startswith(_PRESET):
            if struck:
                self._controls.preset(target.removeprefix(_PRESET), self._fade)
            return
        control = self._controls.control(target)
        share = value / HIGHEST
        if control.kind == "switch":
            if momentary and struck:
                self._controls.set(target, not self._controls.values()[target])
            elif not momentary:
                self._controls.set(target, value >= _PRESSED)
        elif control.kind == "choice":
            chosen = min(int(share * len(control.choices)), len(control.choices) - 1)
            self._controls.set(target, control.choices[chosen])
        elif value or not momentary:
            self._controls.set(target, control.at(share))

    def _target(self, text: str) -> str:
        if text in ACTIONS:
            return text
        if text.startswith(_PRESET):
            names = [one.name for one in self._controls.presets()]
            name = text.removeprefix(_PRESET)
            if name not in names:
                raise SettingsError(f"There is no preset {name!r}.{nearest(name, names)} Allowed: {', '.join(names)}.")
            return text
        control = self._controls.control(text)
        if control.kind == "text":
            raise SettingsError(f"`{control.name}` is text, which a MIDI knob cannot set.")
        return control.name

    def _save(self) -> None:
        part = part_path(self._path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(tomli_w.dumps(self._map), encoding="utf-8")
            replace_atomically(part, self._path)
        except OSError as error:
            self._report(f"The MIDI map {self._path} cannot be written: {error.strerror}. It holds until the end.")
        finally:
            with suppress(OSError):  # there may not even be a folder
                part.unlink()


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"The MIDI map {str(path)!r} cannot be read: {error}. Correct it or remove it.") from None
    for port, table in tables.items():
        if not isinstance(table, dict) or not all(isinstance(target, str) for target in table.values()):
            raise SettingsError(
                f"The MIDI map {str(path)!r} is not understood at {port!r}: a table of texts such as "
                '"channel 1 control 74" = "step_size" is allowed. Correct it or remove it.'
            )
    return tables
