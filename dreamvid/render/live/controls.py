"""Take new settings and actions from any thread while a live dream runs, and give the loop the settings of each frame.

    controls = Controls(settings, "run")
    controls.set("step_size", 0.02)                      # from the page, OSC, MIDI, a key
    controls.set("step_size", "0.01 + 0.02*beat", 4)     # an expression, reached in 4 seconds
    controls.preset("plants", 6)                         # a cross-fade

    while True:                                          # the loop, between two frames
        for action in controls.take():                   # freeze, reset, snapshot, blackout, record
            ...
        settings = controls.settings(now_seconds, index, signals)

What the loop gets has no schedules: every number is that of the frame, within its bounds. Only the objective can be a
timeline, while one objective fades into another; its times are those of the live clock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from dreamvid.dream.objectives.layers import IgnoreTerm, LayerTerm, SelectionTerm
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.term import TERMS
from dreamvid.errors import ObjectiveError, SettingsError, nearest
from dreamvid.render.live.change_log import ChangeLog
from dreamvid.render.live.inventory import SIZES, Control, Value, find_control, inventory
from dreamvid.render.live.state import LiveState
from dreamvid.render.live.tempo import TapTempo
from dreamvid.settings import Preset, Settings, list_presets, load_settings, merge
from dreamvid.settings.merge import expand_coherence
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.schedule import EASINGS, SIGNALS, Schedule, is_number, parse_schedule

SILENCE: Mapping[str, float] = MappingProxyType(dict.fromkeys(SIGNALS, 0.0))

ACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "freeze": "Hold the picture, or go on.",
        "reset": "Forget the dream; the next frame starts anew.",
        "snapshot": "Save the picture as a PNG file.",
        "blackout": "Show black, or the picture again.",
        "record": "Start recording, or stop.",
        "tap": "Tap the tempo, which gives `beat`.",
    }
)
SWITCHED = ("freeze", "blackout", "record")
"""The actions that stay on until they are taken back; the others happen once."""

# Terms that read neither a file nor weights of their own. All others, those of plugins too, are refused: what comes
# from a page or by OSC is data of strangers.
_HARMLESS_TERMS = ("class",)
_LONGEST_TEXT = 2000
_LONGEST_FADE_SECONDS = 600.0
_LARGEST = 1e300  # also for whole numbers that no float can hold
_MOST_ACTIONS = 64


class Action(NamedTuple):
    """An action that is to be done before the next frame.

    on: for one of SWITCHED, whether it is to be on; None to change it. None for the others.
    """

    name: str
    on: bool | None = None


@dataclass(frozen=True)
class _Number:
    """Where a number is going: from `start` at `begin_seconds` to `target` in `fade_seconds`."""

    target: float | Schedule
    start: float = 0.0
    begin_seconds: float = 0.0
    fade_seconds: float = 0.0
    at_once: bool = False

    def at(self, now: float, frame: int, signals: Mapping[str, float], seed: int) -> float:
        """Evaluate. Raises SettingsError for a schedule without a finite value."""
        target = self.target.at(now, frame, signals, seed=seed) if isinstance(self.target, Schedule) else self.target
        weight = self._weight(now)
        return target if weight >= 1 else self.start + weight * (target - self.start)

    def _weight(self, now: float) -> float:
        if self.fade_seconds <= 0 or now >= self.begin_seconds + self.fade_seconds:
            return 1.0
        share = max(0.0, (now - self.begin_seconds) / self.fade_seconds)
        return float(share >= 0.5) if self.at_once else EASINGS["ease-in-out"](share)

    def moving(self, now: float) -> bool:
        """Return whether the number changes from frame to frame other than by an expression of its own."""
        return self._weight(now) < 1

    @property
    def shown(self) -> float | str:
        """The number or the text of the schedule that it is going to."""
        return self.target.text if isinstance(self.target, Schedule) else self.target


@dataclass(frozen=True)
class _Objective:
    """The objective, and the one that it fades from."""

    text: str
    before: str = ""
    begin_seconds: float = 0.0
    fade_seconds: float = 0.0

    def at(self, now: float) -> str:
        """Return its text for the settings: a timeline during a cross-fade."""
        stop = self.begin_seconds + self.fade_seconds
        if not self.before or now >= stop:
            return self.text
        return f"{self.before} @ {self.begin_seconds:.3f}s | {self.text} @ {stop:.3f}s"


class _Change(NamedTuple):
    value: Value
    fade_seconds: float


class Controls:
    """The settings of a live dream, which any thread may change. All methods are safe to call from any thread.

    settings: those that the session begins with. kind: "run" for a video, "zoom" for an animation. check_objective:
    raises for an objective that the network does not have; the loop sets it when its network is loaded.
    """

    def __init__(
        self, settings: Settings, kind: str = "run", *, check_objective: Callable[[str], object] | None = None
    ) -> None:
        self.kind = kind
        self.check_objective = check_objective
        self.tempo = TapTempo()
        self._lock = threading.Lock()
        self._start = settings
        self._inventory = inventory(settings, kind)
        self.log = ChangeLog(settings, kind, self._inventory)
        self._presets = tuple(
            one for one in list_presets(kind) if load_settings(one.name).network.model == settings.network.model
        )
        self._queue: dict[str, _Change] = {}
        self._actions: deque[Action] = deque(maxlen=_MOST_ACTIONS)
        self._numbers: dict[str, _Number] = {}
        self._others: dict[str, Value] = {}
        self._objective = _Objective(settings.dream.objective)
        self._dial: float | None = settings.coherence.coherence
        self._used: dict[str, float] = {}
        self._moving: set[str] = set()
        self._problems: dict[str, str] = {}
        self._preset: str | None = None
        self._now = 0.0
        self._state: LiveState | None = None
        self._version = 0
        for name, control in self._inventory.items():
            value = getattr(getattr(settings, control.group), name)
            if name in ("objective", "coherence"):
                continue
            if control.kind in ("number", "integer"):
                text = settings.schedules.get(name)
                self._numbers[name] = _Number(parse_schedule(text) if text else value)
                self._used[name] = value
            else:
                self._others[name] = value

    # --- what can be changed

    def inventory(self) -> list[Control]:
        """List what can be changed, in the order of the help."""
        return list(self._inventory.values())

    def control(self, name: str) -> Control:
        """Find a control by its setting's name or its flag's. Raises SettingsError with the nearest names."""
        return find_control(name, self._inventory)

    def presets(self) -> list[Preset]:
        """List the shipped presets that this session can change to: those of its kind and of its network."""
        return list(self._presets)

    def values(self) -> dict[str, Value | None]:
        """Return what each setting is, or is going to be when the next frame is dreamed: a value or a schedule."""
        with self._lock:
            shown: dict[str, Value | None] = {}
            for name in self._inventory:
                if name in self._numbers:
                    shown[name] = self._numbers[name].shown
                elif name == "objective":
                    shown[name] = self._objective.text
                elif name == "coherence":
                    shown[name] = self._dial
                else:
                    shown[name] = self._others[name]
            shown.update({name: change.value for name, change in self._queue.items()})
            return shown

    def used(self) -> dict[str, float]:
        """Return the numbers of the newest frame, with cross-fades and expressions evaluated."""
        with self._lock:
            return dict(self._used)

    def problems(self) -> dict[str, str]:
        """Return what is wrong with schedules that run: a setting's name and a message."""
        with self._lock:
            return dict(self._problems)

    @property
    def version(self) -> int:
        """A number that grows with every change, so that a page knows when to ask again."""
        return self._version

    @property
    def preset_name(self) -> str | None:
        """The preset that was chosen last; None before the first."""
        return self._preset

    # --- changes, from any thread

    def set(self, name: str, value: Value, seconds: float = 0.0) -> Value:
        """Change a setting before the next frame; a number reaches its value in some seconds. Return the value.

        name: a setting's, or its flag's (half_life). value: text for a number is read as one, and is a schedule or an
        expression otherwise, whose `t` is the live clock. An integer is rounded. Raises SettingsError naming the bounds
        or the nearest name, and for an objective that reads a file.
        """
        control = self.control(name)
        fade = self._fade(seconds)
        checked = self._checked(control, value)
        with self._lock:
            self._put(control.name, checked, fade)
        return checked

    def preset(self, name: str, seconds: float = 0.0) -> None:
        """Change to a shipped preset, with a cross-fade over some seconds. Raises SettingsError."""
        fade = self._fade(seconds)
        names = [one.name for one in self.presets()]
        if name not in names:
            known = [one.name for one in list_presets()]
            reason = (
                f"The preset {name!r} needs another kind of source or another network."
                if name in known
                else f"There is no preset {name!r}.{nearest(str(name), names)}"
            )
            raise SettingsError(f"{reason} Allowed: {', '.join(names)}.")
        target = load_settings(name)
        with self._lock:
            self._queue.pop("coherence", None)
            self._dial = target.coherence.coherence
            for control in self._inventory.values():
                if control.name != "coherence":
                    value = getattr(getattr(target, control.group), control.name)
                    self._put(control.name, target.schedules.get(control.name, value), fade)
            self._preset = name

    def action(self, name: str, on: bool | None = None) -> None:
        """Do an action before the next frame; `tap` counts at once. Raises SettingsError for an unknown one."""
        if name not in ACTIONS:
            raise SettingsError(
                f"There is no action {name!r}.{nearest(str(name), ACTIONS)} Allowed: {', '.join(ACTIONS)}."
            )
        with self._lock:
            if name == "tap":
                self.tempo.tap(time.monotonic())
            else:
                self._actions.append(Action(name, on if name in SWITCHED else None))
            self._version += 1

    def _put(self, name: str, value: Value, fade: float) -> None:
        if name == "coherence":
            self._queue.pop("coherence", None)
            self._dial = float(value)
            for setting, number in expand_coherence({"coherence": value}).items():
                if setting in self._numbers:
                    self._queue[setting] = _Change(number, fade)
        else:
            if name in ("half_life_seconds", "warm_iterations"):
                self._dial = None
            self._queue[name] = _Change(value, fade)
        self._version += 1

    @staticmethod
    def _fade(seconds: float) -> float:
        if not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_FADE_SECONDS:
            raise SettingsError(
                f"The seconds of a cross-fade must be from 0 to {_LONGEST_FADE_SECONDS:g}, got {_shown(seconds)}."
            )
        return float(seconds)

    def _checked(self, control: Control, value: Value) -> Value:
        """Check a value and give it its type. Raises SettingsError."""
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise SettingsError(f"`{control.name}` takes at most {_LONGEST_TEXT} characters, got {len(value)}.")
        if control.kind in ("number", "integer"):
            return self._checked_number(control, value)
        if (
            control.kind in ("choice", "text") and value == control.default
        ):  # given on the command line, whatever it names
            return value
        if control.choices and value not in control.choices:
            raise SettingsError(
                f"`{control.name}` must be one of {', '.join(control.choices)}; got {value!r}."
                f"{nearest(str(value), control.choices)}"
            )
        settings = merge({control.group: {control.name: value}})
        checked: Value = getattr(getattr(settings, control.group), control.name)
        if control.name == "objective":
            self._check_objective(str(checked))
        return checked

    @staticmethod
    def _checked_number(control: Control, value: Value) -> Value:
        name = control.name
        if isinstance(value, str):
            if not is_number(value):
                if not control.scheduled:
                    raise SettingsError(
                        f"`{name}` must be a number {control.limits}, got {value!r}. It cannot be an expression."
                    )
                parse_schedule(value)
                return value
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
            raise SettingsError(f"`{name}` must be a number {control.limits}, got {_shown(value)}.")
        if control.kind == "integer":
            value = round(value)
        settings = merge({control.group: {name: value}})
        number: float = getattr(getattr(settings, control.group), name)
        return number

    def _check_objective(self, text: str) -> None:
        """Refuse what a stranger must not name: files and weights; and what the network does not have."""
        for objective in parse_timeline(text).objectives:
            for _, term in parse_objective(objective).terms:
                harmless = tuple(TERMS.load(name) for name in _HARMLESS_TERMS)
                if not isinstance(term, (LayerTerm, SelectionTerm, IgnoreTerm, *harmless)):
                    raise ObjectiveError(
                        f"The term {str(term)!r} cannot be set while a live dream runs: it may read a file. "
                        "Give it on the command line with `objective`. Allowed here: layers, channels and classes."
                    )
            if self.check_objective is not None:
                self.check_objective(objective)

    # --- for the loop

    def take(self) -> list[Action]:
        """Take the actions since the last call, in their order."""
        with self._lock:
            actions, self._actions = list(self._actions), deque(maxlen=_MOST_ACTIONS)
            for action in actions:
                self.log.note(self._now, action.name if action.on is None else f"{action.name} {action.on}")
            return actions

    def settings(self, now_seconds: float, frame: int = 0, signals: Mapping[str, float] = SILENCE) -> Settings:
        """Apply what was changed since the last call; return the settings of the frame at this time.

        now_seconds: time of the frame on the live clock, which never goes back. frame: its number. signals: what the
        sound does; a tapped tempo replaces its `beat`. The result has no schedules. A schedule that leaves its bounds
        is brought back to them; one without a value leaves its setting as it was. `problems` tells both.
        """
        signals = self._with_beat(signals)
        with self._lock:
            self._now = now_seconds
            queue, self._queue = self._queue, {}
            for name, change in queue.items():
                self._apply(name, change, now_seconds)
            tables: dict[str, dict[str, Value]] = {}
            for name, number in self._numbers.items():
                value = self._evaluate(name, number, now_seconds, frame, signals)
                tables.setdefault(self._inventory[name].group, {})[name] = value
                if number.moving(now_seconds) or _is_timed(number):
                    self._moving.add(name)
                    self.log.sample(name, now_seconds, value)
                elif name in self._moving:
                    self._moving.remove(name)
                    self.log.step(name, now_seconds, number.shown)
            for name, other in self._others.items():
                tables.setdefault(self._inventory[name].group, {})[name] = other
            tables["dream"]["objective"] = self._objective.at(now_seconds)
        groups = {group: getattr(self._start, group).model_copy(update=table) for group, table in tables.items()}
        return self._start.model_copy(update={**groups, "schedules": {}})

    def _with_beat(self, signals: Mapping[str, float]) -> Mapping[str, float]:
        beat = self.tempo.beat(time.monotonic())
        return {**SILENCE, **signals} if beat is None else {**SILENCE, **signals, "beat": beat}

    def _apply(self, name: str, change: _Change, now: float) -> None:
        value, fade = change
        if name == "objective":
            before = self._objective
            if str(value) == before.text:
                return
            leaving = max(parse_timeline(before.at(now)).at(now), key=lambda pair: pair[1])[0]
            single = len(parse_timeline(str(value)).keyframes) == 1
            self._objective = _Objective(str(value), leaving, now, fade if single else 0.0)
            self.log.objective(now, leaving, str(value), fade if single else 0.0)
        elif name in self._numbers:
            target = parse_schedule(value) if isinstance(value, str) else float(value)
            if target == self._numbers[name].target:
                return
            start = self._used[name]
            self._numbers[name] = _Number(target, start, now, fade, at_once=name in SIZES)
            self._problems.pop(name, None)
            if not fade:
                self.log.step(name, now, value)
        elif value != self._others[name]:
            self._others[name] = value
            self.log.other(name, now, value)

    def _evaluate(self, name: str, number: _Number, now: float, frame: int, signals: Mapping[str, float]) -> float:
        control = self._inventory[name]
        try:
            value = number.at(now, frame, signals, self._start.render.seed)
        except SettingsError as error:
            self._problem(name, str(error))
            return self._used[name]
        held = control.within(value)
        if held != value and control.kind != "integer":
            self._problem(name, f"`{name}`: the schedule gives {value:g}; it is held within {control.limits}.")
        self._used[name] = held
        return held

    def _problem(self, name: str, message: str) -> None:
        if name not in self._problems:
            self._version += 1
        self._problems[name] = message

    # --- the state of the session

    def publish(self, state: LiveState) -> None:
        """Store the state of the session, for whoever shows it."""
        self._state = state

    def state(self) -> LiveState | None:
        """Return the state that was published last; None before the first frame."""
        return self._state


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, float) else f"a {type(value).__name__}"
    return repr(value) if isinstance(value, str | bool) else text


def _is_timed(number: _Number) -> bool:
    """Return whether a number follows keyframes, whose text cannot be a part of another schedule."""
    return isinstance(number.target, Schedule) and ":" in number.target.text
