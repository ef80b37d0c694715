"""Points that lead a camera's center, from a small text file."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamvid.errors import SettingsError

_EXAMPLE = "Each line is 'x y t', such as '0.5 0.3 2.5': x and y from 0 to 1, t in seconds and rising."


@dataclass(frozen=True)
class GuidePath:
    """Places (x, y), each from 0 to 1, at rising times."""

    times_seconds: tuple[float, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, time_seconds: float) -> tuple[float, float]:
        """Where the center is: on the line between two points; before the first and behind the last it stays."""
        x = np.interp(time_seconds, self.times_seconds, self.x)
        y = np.interp(time_seconds, self.times_seconds, self.y)
        return float(x), float(y)


def read_path(path: Path) -> GuidePath:
    """Read a file of lines `x y t`; empty lines and what follows a # are left out.

    Raises SettingsError naming the line.
    """
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"The path {path} cannot be read: {said}. {_EXAMPLE}") from None
    points: list[tuple[float, float, float]] = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        place = f"{path}, line {number} ({line.strip()!r})"
        try:
            x, y, time = map(float, words)
        except ValueError:
            raise SettingsError(f"{place} is not understood. {_EXAMPLE}") from None
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 <= time < math.inf):
            raise SettingsError(f"{place} is out of range. {_EXAMPLE}")
        if points and time <= points[-1][2]:
            raise SettingsError(f"{place} has to be later than {points[-1][2]:g} s, the point before. {_EXAMPLE}")
        points.append((x, y, time))
    if not points:
        raise SettingsError(f"The path {path} has no points. {_EXAMPLE}")
    x_all, y_all, times = zip(*points, strict=True)
    return GuidePath(times, x_all, y_all)
