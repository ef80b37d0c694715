"""Where the command line speaks: results on stdout, everything else on stderr."""

import functools
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.text import Text

_UNBOUNDED = 4096  # columns of what is no terminal: nothing is cut off or wrapped there


def stdout() -> Console:
    """A console for results."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_UNBOUNDED)


@functools.cache
def stderr() -> Console:
    """The console for errors, warnings and progress: one for all, so that no line is written across a bar."""
    return Console(stderr=True, highlight=False)


def say(message: str, label: str = "", style: str = "") -> None:
    """Write a message for the user to stderr, as it is: no markup is read, no line broken."""
    head = (f"{label}: ", f"bold {style}") if label else ""
    stderr().print(Text.assemble(head, message), soft_wrap=True)


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
) -> None:
    """Write rows under headings to stdout; `wrap_last` lets the last column break on a terminal."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, (title, justify) in enumerate(columns):
        wraps = wrap_last and index == len(columns) - 1
        table.add_column(title, justify=justify, no_wrap=not wraps, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    stdout().print(table)


def result(line: str) -> None:
    """Write one line to stdout, as it is."""
    stdout().print(Text(line), soft_wrap=True)
