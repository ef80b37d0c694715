"""The one family of errors: what was got, what is allowed, what to type next."""

import difflib
from collections.abc import Iterable


class DreamvidError(Exception):
    """Base of every error that dreamvid raises on purpose; its text is a message for the user.

    `exit_code` is what the command line returns: 2 for the user's mistakes, 1 for everything else.
    """

    exit_code = 1


class InputError(DreamvidError):
    """Something that the user gave is wrong: a path, a name, a value, a combination."""

    exit_code = 2


class SettingsError(InputError):
    """A setting, preset or recipe is unknown, malformed or out of range."""


class SourceError(InputError):
    """The source cannot be read as an image or a video."""


class OutputError(InputError):
    """The result cannot be written where, or in the way, that was asked for."""


class NetworkError(InputError):
    """A network, its weights or one of its layers cannot be had."""


class ObjectiveError(InputError):
    """An objective's text does not parse or names what the network lacks."""


class JobError(InputError):
    """A render cannot start or go on beside what is already on disk."""


class DeviceError(InputError):
    """The compute device is missing or too small for the work."""


class FfmpegError(DreamvidError):
    """ffmpeg failed; the message carries the last lines of its own words."""


class Interrupted(DreamvidError):
    """The work was stopped from outside; the message says what is kept and how to go on.

    exit_code: 128 plus the signal, as shells count: 130 after Ctrl-C (SIGINT) or a host's cancel event, 143 after
    SIGTERM.
    """

    def __init__(self, message: str, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(got: str, allowed: Iterable[str], count: int = 3) -> str:
    """Name the allowed words closest to `got`, as a sentence to append to a message ('' if none is close)."""
    close = difflib.get_close_matches(got.lower(), list(allowed), n=count, cutoff=0.4)
    return f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
