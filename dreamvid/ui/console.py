"""Write what the command line says: results to stdout, everything else to stderr."""

import functools
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, RenderableType
from rich.text import Text

from dreamvid.errors import DreamvidError

_UNBOUNDED = 4096  # columns where the output is not a terminal: nothing is cut off or wrapped there
_PARAMETER = re.compile(r"`([a-z]+(?:_[a-z]+)*)(?:=([^`]*))?`")


@dataclass(frozen=True)
class _Voice:
    """How messages are written while a command runs. Outside of a command no parameter has a flag."""

    flags: Callable[[], Mapping[str, str]] = dict
    as_json: bool = False


_voice = _Voice()


@contextmanager
def speaking(flags: Callable[[], Mapping[str, str]], *, as_json: bool = False) -> Iterator[None]:
    """Write messages for one run of a command.

    flags: gives the flag of each of the command's parameters, by name; it is called when the first message needs it.
    Where a message names a parameter, such as `half_life_seconds`, its flag is shown. as_json: write every message as
    a JSON object on a line of its own.
    """
    global _voice
    before, _voice = _voice, _Voice(functools.cache(flags), as_json)
    try:
        yield
    finally:
        _voice = before


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """Replace parameters in backticks by flags: `half_life_seconds` → --half-life, `tile=512` → --tile 512.

    A parameter without a flag stays as it is.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in flags:
            return match[0]
        if value == "False":
            return f"--no-{flags[name].removeprefix('--')}"
        if value in (None, "True"):
            return flags[name]
        return f"{flags[name]} {shlex.quote(value.strip(chr(39) + chr(34)))}"

    return _PARAMETER.sub(flag, message)


def stdout() -> Console:
    """Make a console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNBOUNDED)


@functools.cache
def stderr() -> Console:
    """Return the console for errors, warnings and progress: one for all, so that no line is written across a bar."""
    return Console(stderr=True, highlight=False)


def say(message: str, label: str = "", style: str = "") -> None:
    """Write a message for the user to stderr, as it is: no markup is read, no line broken."""
    message = translated(message)
    if _voice.as_json:
        write_json(label or "message", message)
        return
    head = (f"{label}: ", f"bold {style}") if label else ""
    _print(Text.assemble(head, message))


def translated(message: str) -> str:
    """Show the flags of the running command where a message names its parameters."""
    return with_flags(message, _voice.flags()) if "`" in message else message


def flag_of(parameter: str) -> str:
    """Return the running command's flag of a parameter."""
    return _voice.flags().get(parameter, "--" + parameter.replace("_", "-"))


def write_json(stage: str, message: str = "", frame: int | None = None, source: str | None = None) -> None:
    """Write a JSON object that is not a state of progress to stderr; it has the keys of `Progress.to_json`."""
    from dreamvid.render.progress import JSON_VERSION  # the first screen of help does without

    known: dict[str, object] = {"version": JSON_VERSION, "stage": stage, "frame": frame, "message": message}
    unknown: dict[str, object] = {"total": None, "fps": 0.0, "seconds_left": None, "bottleneck": None}
    write_line(json.dumps({**known, **unknown, "source": source, "workers": []}))


def write_line(line: str) -> None:
    """Write a line to stderr, as it is."""
    _print(Text(line))


def error(message: str) -> None:
    """Say what went wrong."""
    say(message, "error", "red")


def warning(message: str) -> None:
    """Say what the user should know of a render that goes on."""
    say(message, "warning", "yellow")


def print_table(
    columns: Sequence[tuple[str, Literal["left", "right"]]],
    rows: Iterable[Sequence[str]],
    wrap_last: bool = False,
    to_stderr: bool = False,
) -> None:
    """Write rows under headings to stdout, or to stderr; `wrap_last` lets the last column break on a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, (title, justify) in enumerate(columns):
        wraps = wrap_last and index == len(columns) - 1
        table.add_column(title, justify=justify, no_wrap=not wraps, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if to_stderr:
        terminal = stderr()
        with suppress(OSError, ValueError):  # it is full or closed
            wide = terminal if terminal.is_terminal else Console(stderr=True, highlight=False, width=_UNBOUNDED)
            wide.print(table)
    else:
        _write(table)


def result(line: str) -> None:
    """Write one line to stdout, as it is."""
    _write(Text(line))


def result_file(path: object) -> None:
    """Write the path of a finished file to stdout. Only warn if stdout is closed or full: the file is there."""
    try:
        result(str(path))
    except DreamvidError as error:
        warning(f"{error} The result is finished: {path}")


def _write(content: RenderableType) -> None:
    """Write to stdout, at once. Raises DreamvidError where it is closed or full, BrokenPipeError without a reader."""
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        stdout().print(content, soft_wrap=isinstance(content, Text))
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        raise
    except (OSError, ValueError) as error:  # ValueError: I/O operation on closed file
        discard_stdout()
        raise DreamvidError(f"cannot write to stdout: {getattr(error, 'strerror', None) or error}.") from None


def discard_stdout() -> None:
    """Send to nowhere what is still to be written to stdout, so that Python does not try again when it ends."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or it is not a file of the system
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _print(text: Text) -> None:
    """Write to stderr. A render does not end because nobody listens any more."""
    with suppress(OSError, ValueError):  # it is full or closed
        stderr().print(text, soft_wrap=True)
