"""Registries: what a name stands for, in this package and in installed plugins.

A registry has one folder of this package, in which each module defines one `PLUGIN` and gives it its name, and one
entry-point group, by which any installed distribution adds more. Names are known without importing a module.
"""

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from dreamvid.errors import InputError, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """Maps names to plugins of one kind.

    kind: what one is called in messages, such as "flow estimator". package: the folder of the built-in modules, each of
    which defines `PLUGIN`. group: the entry-point group of other distributions. A built-in name wins over a plugin's.
    """

    kind: str
    package: str
    group: str

    def names(self) -> tuple[str, ...]:
        """List all names: the built-in ones, then those of plugins, each in alphabetical order."""
        built_in = _modules(self.package)
        return (*built_in, *sorted(set(self._entries()) - set(built_in)))

    def __contains__(self, name: str) -> bool:
        return name in _modules(self.package) or name in self._entries()

    def unknown(self, name: str) -> str:
        """Say that there is no such name: the nearest ones and all of them, as sentences."""
        allowed = ", ".join(self.names())
        return f"There is no {self.kind} {name!r}.{nearest(name, self.names())} Allowed: {allowed}."

    def load(self, name: str) -> T:
        """Import the plugin of a name. Raises InputError for an unknown name or a plugin that cannot be imported."""
        modules = _modules(self.package)
        if name in modules:
            return cast(T, importlib.import_module(modules[name]).PLUGIN)
        entry = self._entries().get(name)
        if entry is None:
            raise InputError(self.unknown(name))
        try:
            return cast(T, entry.load())
        except Exception as error:  # whatever another distribution raises when it is imported
            raise InputError(
                f"The {self.kind} {name!r} of {_origin(entry)} cannot be loaded ({type(error).__name__}: {error}). "
                "Update that package or uninstall it."
            ) from error

    def origin(self, name: str) -> str:
        """Name the distribution and version that a plugin comes from; "" for a built-in one."""
        entry = self._entries().get(name)
        return "" if name in _modules(self.package) or entry is None else _origin(entry)

    def _entries(self) -> dict[str, EntryPoint]:
        return _entry_points(self.group)


@functools.cache
def _modules(package: str) -> dict[str, str]:
    """Names and modules of a folder; a trailing underscore (`class_`) keeps a module's name from being a keyword."""
    folder = importlib.import_module(package).__path__
    found = sorted(module.name for module in pkgutil.iter_modules(folder))
    return {name.rstrip("_"): f"{package}.{name}" for name in found}


@functools.cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _origin(entry: EntryPoint) -> str:
    return entry.value if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


# A registry that a setting or the help reads stands here, below the settings.
FLOW_ESTIMATORS: Registry[Any] = Registry("flow estimator", "dreamvid.motion.estimators", "dreamvid.flow_estimators")
SINKS: Registry[Any] = Registry("output format", "dreamvid.video.sinks", "dreamvid.sinks")
