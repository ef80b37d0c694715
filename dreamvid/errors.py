"""Define the one family of errors. A message says what was got, what is allowed and what to type next.

A message names a parameter or a setting in backticks, as Python knows it: `half_life_seconds`, or with a value
`overwrite=True`, `device='cpu'`. The command line shows the flag instead: `--half-life`, `--overwrite`, `--device cpu`.
"""

import difflib
from collections.abc import Iterable


class DreamvidError(Exception):
    """Base of every error that dreamvid raises on purpose; its text is a message for the user.

    `exit_code` is what the command line returns: 2 for the user's mistakes, 1 for everything else.
    """

    exit_code = 1


class InputError(DreamvidError):
    """Something that the user gave is wrong: a path, a name, a value or a combination of them."""

    exit_code = 2


class SettingsError(InputError):
    """A setting, preset or recipe is unknown, malformed or out of range."""


class SourceError(InputError):
    """The source cannot be read as an image or a video."""


class OutputError(InputError):
    """The result cannot be written to the place or in the format that was asked for."""


class NetworkError(InputError):
    """A network, its weights or one of its layers is missing or cannot be loaded."""


class ObjectiveError(InputError):
    """An objective's text does not parse, or names something that the network does not have."""


class JobError(InputError):
    """A render cannot start or resume because of what is already on disk."""


class DeviceError(InputError):
    """The compute device is missing or too small for the work."""


class OutOfMemoryError(DeviceError):
    """The device, or the machine, has no memory left for the work."""


class FfmpegError(DreamvidError):
    """ffmpeg failed; the message ends with the last lines of its output."""


class Interrupted(DreamvidError):
    """The work was stopped from outside; the message says what is kept and how to resume.


    exit_code: 128 plus the signal, as shells count: 130 after Ctrl-C (SIGINT) or a host's cancel event, 143 after
    SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RenamedWarning(DeprecationWarning):
    """A setting, an argument or a function is used by a name of an earlier version, which still works."""


def nearest(got: str, allowed: Iterable[str], count: int = 3) -> str:
    """Name the allowed words closest to `got`, as a sentence to append to a message ("" if none is close)."""
    close = difflib.get_close_matches(got.lower(), list(allowed), n=count, cutoff=0.4)
    return f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
