"""Reads the path of a camera's center from a small text file."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamvid.errors import SettingsError

_EXAMPLE = "Each line is 'x y t', such as '0.5 0.3 2.5': x and y from 0 to 1, t in seconds and increasing."


@dataclass(frozen=True)
class CameraPath:
    """Positions (x, y), each from 0 to 1, at increasing times."""

    times_seconds: tuple[float, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, time_seconds: float) -> tuple[float, float]:
        """Interpolate the center linearly between two points; it rests before the first and after the last."""
        x = np.interp(time_seconds, self.times_seconds, self.x)
        y = np.interp(time_seconds, self.times_seconds, self.y)
        return float(x), float(y)


def read_path(path: Path) -> CameraPath:
    """Read a file of lines `x y t`; empty lines and comments behind # are ignored.

    Raises SettingsError naming the line.
    """
    try:
        lines = path.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SettingsError(f"The path {path} cannot be read: {reason}. {_EXAMPLE}") from None
    points: list[tuple[float, float, float]] = []
    for number, line in enumerate(lines, 1):
        values = line.split("#")[0].replace(",", " ").split()
        if not values:
            continue
        where = f"{path}, line {number} ({line.strip()!r})"
        try:
            x, y, time = map(float, values)
        except ValueError:
            raise SettingsError(f"{where} is not understood. {_EXAMPLE}") from None
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 <= time < math.inf):
            raise SettingsError(f"{where} is out of range. {_EXAMPLE}")
        if points and time <= points[-1][2]:
            raise SettingsError(
                f"{where} has to be later than {points[-1][2]:g} s, the time of the point before. {_EXAMPLE}"
            )
        points.append((x, y, time))
    if not points:
        raise SettingsError(f"The path {path} has no points. {_EXAMPLE}")
    x_all, y_all, times = zip(*points, strict=True)
    return CameraPath(times, x_all, y_all)
