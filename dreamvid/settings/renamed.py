"""Accept settings and arguments by their names of version 0.1; the present name is told once."""

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from dreamvid.errors import InputError, RenamedWarning, SettingsError

P = ParamSpec("P")
R = TypeVar("R")

RENAMED: Mapping[str, str] = {
    "measure": "reduction",
    "step": "step_size",
    "levels": "laplacian_levels",
    "normalize": "gradient_norm",
    "space": "color_space",
    "clip": "clamp",
    "carry": "octave_carry",
    "reveal_iterations": "disocclusion_iterations",
    "centre_x": "center_x",
    "centre_y": "center_y",
    "follow": "track_objective",
    "path": "camera_path",
    "growth": "dream_rate",
}
"""Names of settings before version 0.2, and what they are called since."""

RENAMED_VALUES: Mapping[tuple[str, object], object] = {("octave_carry", "picture"): "image"}
"""Values of settings before version 0.2, by the setting's present name, and what they are called since."""

RENAMED_FLAGS: Mapping[str, str] = {"fresh": "restart"}
"""Flags of the command line that are not settings, before version 0.2, and what they are called since."""

MOVED: Mapping[tuple[str, str], str] = {("camera", "audio"): "video"}
"""Settings that were in another table, by that table and their name, and the table that they are in since."""

_told: set[str] = set()


def current_name(name: str) -> str:
    """Return the present name of a setting; an old one is told once as a RenamedWarning."""
    if name not in RENAMED:
        return name
    tell_once(f"The setting {name!r} is called {RENAMED[name]!r} now.")
    return RENAMED[name]


def current_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """Give a table of settings its present names and values. Raises SettingsError for a setting that is there twice."""
    renamed: dict[str, Any] = {}
    for name, value in table.items():
        now = current_name(name)
        if now in renamed:
            raise SettingsError(f"The setting {now!r} is given twice, also by its old name. Keep {now!r} alone.")
        renamed[now] = RENAMED_VALUES.get((now, value), value) if isinstance(value, str) else value
    return renamed


def in_present_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Put settings into the tables that they are in now; an old place is told once as a DeprecationWarning."""
    moved = dict(tables)
    for (before, name), now in MOVED.items():
        table = moved.get(before)
        if isinstance(table, Mapping) and name in table:
            tell_once(f"The setting {name!r} is in the table [{now}] now, no longer in [{before}].")
            moved[before] = {key: value for key, value in table.items() if key != name}
            moved[now] = {name: table[name], **moved.get(now, {})}
    return moved


def accept_old_arguments(**old_to_new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take keyword arguments by their old names too; each is told once as a RenamedWarning."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in old_to_new.keys() & kwargs.keys():
                new = old_to_new[old]
                if new in kwargs:
                    raise InputError(f"{function.__qualname__} got {new!r} twice, also by its old name {old!r}.")
                tell_once(f"The argument {old!r} of {function.__qualname__} is called {new!r} now.")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def tell_once(message: str) -> None:
    """Warn of an old name, once in a process, at the line outside of dreamvid that used it."""
    if message in _told:
        return
    _told.add(message)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "dreamvid":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RenamedWarning, stacklevel=level)
