"""Remember what a page shows: which moment, which preset, the values of its controls, what was kept as A and B."""

import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dreamvid.errors import DreamvidError, SettingsError
from dreamvid.runtime.files import part_path
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, Settings, load_settings
from dreamvid.settings.schedule import is_number
from dreamvid.ui.studio import copy_as
from dreamvid.ui.studio.controls import Control, controls, shown_value
from dreamvid.ui.studio.doors import kind_of_preset, preset_from_browser, settings_from_browser, source_from_browser
from dreamvid.ui.studio.dreaming.requests import Moment
from dreamvid.ui.studio.workspace import VIDEO_SUFFIXES, Workspace, WorkspaceError

Kind = Literal["run", "zoom"]
DEFAULT_PRESETS: Mapping[Kind, str] = {"run": DEFAULT_PRESET, "zoom": DEFAULT_ZOOM_PRESET}
OWN_SOUND = "source"
"""What `audio` says for the sound of the film itself."""
_PAGES_KEPT = 32


@dataclass
class Tuning:
    """One page's tuning of videos ("run") or animations ("zoom").

    overrides: settings that differ from the preset's, by name; schedules as their text. kept: the same for A and B.
    number: that of the newest request. error: what is wrong with the present values. revision: how many times the
    program has set all values. shown_schedule: the schedule's text that the page was given last. answering: held while
    an event of the page is answered.
    """

    workspace: Workspace
    kind: Kind
    session: str
    preset: str
    moment: Moment = field(default_factory=lambda: Moment(""))
    overrides: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    number: int = 0
    error: str = ""
    revision: int = 0
    shown_schedule: str = ""
    answering: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)
    _newest: dict[str, int] = field(default_factory=dict)

    def is_newest(self, event: str, number: object) -> bool:
        """Tell whether no later event of this name was taken. number: the page's; events may come in any order."""
        if isinstance(number, int) and number < self._newest.get(event, 0):
            return False
        self._newest[event] = number if isinstance(number, int) else 0
        return True

    def newest(self, event: str) -> int:
        """Return the page's number of the last event of this name that was taken; 0 for none."""
        return self._newest.get(event, 0)

    def base(self) -> Settings:
        """Return the settings of the preset alone."""
        return settings_from_browser(self.preset, {}, self.workspace)

    def settings(self) -> Settings:
        """Resolve what would be rendered. Raises DreamvidError."""
        return settings_from_browser(self.preset, self.overrides, self.workspace)

    def take(self, values: Mapping[str, Any]) -> None:
        """Take the values of the controls: what differs from the preset, or from its schedule, overrides it.

        A number that has a schedule keeps it.
        """
        base = self.base()
        for control in controls(self.kind):
            if control.name not in values or control.name in self.schedules():
                continue
            value = plain(values[control.name], control)
            if value == shown_value(base, control):
                self.overrides.pop(control.name, None)
            elif value != "":
                self.overrides[control.name] = value
            elif control.default is None and shown_value(base, control) == "":
                self.overrides.pop(control.name, None)
            else:
                self.overrides[control.name] = value

    def schedules(self) -> dict[str, str]:
        """Return the schedules in force, by the number's name."""
        found = {name: text for name, text in self.base().schedules.items() if name not in self.overrides}
        changing = {control.name for control in controls(self.kind) if control.can_change}
        for name, value in self.overrides.items():
            if name in changing and isinstance(value, str) and not is_number(value):
                found[name] = value
        return found

    def choose(self, preset: object) -> None:
        """Start from another preset: nothing is overridden. Raises WorkspaceError for one of the other kind, too."""
        chosen = preset_from_browser(preset, self.workspace)
        if kind_of_preset(chosen, self.workspace) != self.kind:
            other = "Animations" if self.kind == "run" else "Tune"
            raise WorkspaceError(f"the preset {chosen} is for the tab {other}.")
        settings_from_browser(chosen, {}, self.workspace)
        self.preset, self.overrides = chosen, {}

    def look_at(self, source: object, seconds: object) -> None:
        """Choose a source and a moment. Raises WorkspaceError."""
        name = source_from_browser(source, self.workspace, animation=self.kind == "zoom" and source == "noise")
        time = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else 0.0
        self.moment = Moment(name, time if 0 <= time < 1e6 else 0.0)

    def leave(self) -> None:
        """Choose no source."""
        self.moment = Moment("noise" if self.kind == "zoom" else "")

    @property
    def source(self) -> str:
        """What a render would be given as its source."""
        name = self.moment.source
        is_frame = self.kind == "zoom" and Path(name).suffix.lower() in VIDEO_SUFFIXES
        return f"{name}@{self.moment.seconds:.3f}" if is_frame else name

    def code(self) -> dict[str, str]:
        """Write the present render as a command and as Python; empty while something is wrong."""
        if not self.moment.source:
            return {"command": "", "python": ""}
        try:
            settings = self.settings()
            stem = Path(self.moment.source).stem
            output = self.workspace.unused("results", f"{stem}-{Path(self.preset).stem}.mp4")
            given = (self.kind, self.source, self.workspace.name(output), self.preset, settings, self.workspace)
            return {"command": copy_as.command(*given), "python": copy_as.python(*given)}
        except DreamvidError:
            return {"command": "", "python": ""}

    def shown(self) -> Settings:
        """Return the settings that the controls show: those in force; while something is wrong, the preset's."""
        try:
            return self.settings()
        except DreamvidError:
            return self.base()

    def save(self) -> None:
        """Remember this for the next page that is opened."""
        values = {
            "source": self.moment.source,
            "seconds": self.moment.seconds,
            "preset": self.preset,
            "overrides": self.overrides,
        }
        path = self.workspace.cache / f"last-{self.kind}.json"
        part = part_path(path)
        with contextlib.suppress(OSError, TypeError):
            part.write_text(json.dumps(values), encoding="utf-8")
            part.replace(path)

    def restore(self) -> None:
        """Take up what the last page showed, as far as it still exists."""
        try:
            values = json.loads((self.workspace.cache / f"last-{self.kind}.json").read_text(encoding="utf-8"))
            settings_from_browser(values["preset"], values["overrides"], self.workspace)
            self.preset, self.overrides = values["preset"], dict(values["overrides"])
            self.look_at(values["source"], values["seconds"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DreamvidError):
            pass


class Pages:
    """The tunings of the pages that are open, by Gradio's session; the ones unused for longest are forgotten."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._open: OrderedDict[tuple[str, Kind], Tuning] = OrderedDict()
        self._changing = threading.Lock()

    @contextlib.contextmanager
    def using(self, session: str | None, kind: Kind) -> Iterator[Tuning]:
        """Take a page's tuning for one event.

        Gradio answers events side by side. They wait for one another here: an event that has read the values before
        another one changed them would write them back.
        """
        tuning = self.get(session, kind)
        with tuning.answering:
            yield tuning

    def get(self, session: str | None, kind: Kind) -> Tuning:
        """Return the tuning of a page; one that was just opened takes up what the last one showed."""
        with self._changing:
            key = session or "", kind
            found = self._open.pop(key, None)
            if found is None:
                plain_session = "".join(letter for letter in key[0] if letter.isalnum())[:30]
                found = Tuning(self._workspace, kind, f"{plain_session}{kind}", DEFAULT_PRESETS[kind])
                found.restore()
                if kind == "zoom" and not found.moment.source:
                    found.moment = Moment("noise")
            self._open[key] = found
            while len(self._open) > _PAGES_KEPT:
                self._open.popitem(last=False)
            return found


def plain(value: Any, control: Control) -> Any:
    """Turn what a component gives into the kind of value that the control has."""
    if control.form == "whole number" and isinstance(value, float) and value.is_integer():
        return int(value)
    if control.form == "number" and isinstance(value, int | float):
        return round(float(value), 9)
    if control.form == "text":
        return "" if value is None else str(value).strip()
    return value


def numeric_default(preset: str, name: str, workspace: Workspace) -> float:
    """Return the number of a preset's setting at the start."""
    settings = load_settings(preset if "/" not in preset else workspace.root / preset)
    for group in settings.model_dump().values():
        if isinstance(group, dict) and name in group and isinstance(group[name], int | float):
            return float(group[name])
    raise SettingsError(f"{name!r} is not a number.")
