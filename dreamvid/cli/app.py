"""The list of commands, and the one place where errors become messages and exit codes."""

import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError, UnusedCliTokensError
from cyclopts.help import DefaultFormatter

from dreamvid import __version__
from dreamvid.errors import DreamvidError, Interrupted, RenamedWarning, nearest
from dreamvid.runtime.process import tune_process
from dreamvid.ui import console

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

_LAYERS = (
    "List the layers of a network that can be dreamed on, or draw them (--graph).\n\n"
    "Stride: pixels of the image from one position of the layer to the next. Receptive field: side in "
    "pixels of what one position sees. Both tell the size of a layer's patterns."
)
# Name, where it is, what it does. A command is imported only when it is called: `--help` stays fast.
_COMMANDS = (
    ("run", "dreamvid.cli.commands.run:run", "Dream on a video."),
    ("live", "dreamvid.cli.commands.live:live", "Dream on a camera, a stream or a video while it plays."),
    ("zoom", "dreamvid.cli.commands.zoom:zoom", "Make a video from one image, or from noise, with a moving camera."),
    ("image", "dreamvid.cli.commands.image:image", "Dream on a single image."),
    ("plan", "dreamvid.cli.commands.farm:plan", "Plan a render for several machines."),
    (
        "segment",
        "dreamvid.cli.commands.farm:segment",
        "Render one segment of a plan, or list what is left.",
    ),
    ("join", "dreamvid.cli.commands.farm:join", "Check the segments of a plan and join them."),
    ("presets", "dreamvid.cli.commands.presets:presets", "List the presets; `presets show NAME` prints one in full."),
    ("models", "dreamvid.cli.commands.models:models", "List the networks that can dream, and which need a download."),
    ("layers", "dreamvid.cli.commands.layers:layers", _LAYERS),
    ("sheet", "dreamvid.cli.commands.sheet:sheet", "Compare layers, channels, presets or networks on one frame."),
    ("score", "dreamvid.cli.commands.score:score", "Measure a dream against its source: flicker, strength, drift."),
    ("features", "dreamvid.cli.commands.features:features", "Show what the features of a network look for."),
    ("bench", "dreamvid.cli.commands.bench:bench", "Measure how fast this machine dreams."),
    (
        "studio",
        "dreamvid.cli.commands.studio:studio",
        "Open a web page to tune dreams and to queue videos.",
    ),
    ("doctor", "dreamvid.cli.commands.doctor:doctor", "Show what is installed and what works on this machine."),
)

_PURPOSE = """\
Dream on video: a network's patterns grow out of it, move with what is in it, and do not flicker.

Begin with:  dreamvid run clip.mp4 -o dream.mp4

Without a clip:  dreamvid run demo -o dream.mp4

The main flags of a command:  dreamvid run --help

All of its flags:  dreamvid run --help-all
"""
_HELP_ALL = "--help-all"
_WITH_SETTINGS = ("run", "live", "zoom", "image", "plan", "sheet", "features")  # more flags than fit a screen
# Panels of a help page that `--help` shows; `--help-all` shows the others too.
_FIRST_PANELS = ("Commands", "Parameters", "Arguments", "Main flags", "Live")


def build_app(*, all_help: bool = False) -> App:
    """Put the commands together; `all_help` makes their help pages show every flag."""
    app = App(
        "dreamvid",
        _PURPOSE,
        version=f"dreamvid {__version__}",
        help_format="plaintext",
        help_formatter=None if all_help else _FirstPanels(),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for order, (name, location, purpose) in enumerate(_COMMANDS):
        pointer = {"help_epilogue": f"All flags, by groups:  dreamvid {name} {_HELP_ALL}"}
        shows_more = name in _WITH_SETTINGS and not all_help
        app.command(location, name=name, help=purpose, sort_key=order, **(pointer if shows_more else {}))
    return app


class _FirstPanels(DefaultFormatter):
    """Prints only the first panels of a help page."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        if panel.title in _FIRST_PANELS:
            super().__call__(console, options, panel)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line.

    tokens: the words that follow the program's name; None for those that the program was started with. Returns the exit
    code: 0 done, 2 the user's mistake, 1 any other failure, 130 stopped by Ctrl-C, 143 stopped by SIGTERM. Never raises
    for bad input: its message goes to stderr.
    """
    tune_process()
    given = list(sys.argv[1:] if tokens is None else tokens)
    app = build_app(all_help=_HELP_ALL in given)
    arguments = ["--help" if argument == _HELP_ALL else argument for argument in given]
    quiet = "--quiet" in arguments or "-q" in arguments  # also before the command knows
    with console.speaking(lambda: _flags(app, arguments), as_json=_asks_for_json(arguments)), _log_lines():
        return guarded(lambda: app(_current(arguments, quiet), exit_on_error=False, print_error=False), quiet=quiet)


@contextmanager
def _log_lines() -> Iterator[None]:
    """Show what is logged at the level in the variable DREAMVID_LOG (debug, info) or above, as lines on stderr."""
    level = os.environ.get("DREAMVID_LOG", "").upper()
    if not level:
        yield
        return
    logger, handler = logging.getLogger("dreamvid"), _LogLines()
    if level not in logging.getLevelNamesMapping():
        console.warning(f"DREAMVID_LOG is {level.lower()!r}: allowed is debug or info.")
        level = "WARNING"
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _LogLines(logging.Handler):
    """Writes each record as a line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        console.say(f"{record.levelname.lower()}: {self.format(record)}")


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether `--progress json` is among the arguments."""
    return "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)


def _flags(app: App, arguments: Sequence[str]) -> Mapping[str, str]:
    """Map each parameter of the command that was called to its flag."""
    _, apps, _ = app.parse_commands(arguments)
    if apps[-1].default_command is None:
        return {}
    return {
        argument.field_info.name: next(name for name in argument.names if name.startswith("--"))
        for argument in apps[-1].assemble_argument_collection()
        if any(name.startswith("--") for name in argument.names)
    }


def _current(arguments: Sequence[str], quiet: bool) -> list[str]:
    """Replace flags of version 0.1 by their present names; each is told once, as a warning."""
    current = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        new = _current_flag(flag)
        if new != flag and not quiet:
            console.warning(f"{flag} is called {new} now.")
        current.append(new + equals + value)
    return current


def _current_flag(flag: str) -> str:
    if not flag.startswith("--") or flag in ("--help", "--version"):
        return flag
    from dreamvid.settings.renamed import RENAMED, RENAMED_FLAGS  # imports pydantic, which the first screen needs not

    for old, new in {**RENAMED, **RENAMED_FLAGS}.items():
        for prefix in ("--", "--no-"):
            if flag == prefix + old.replace("_", "-"):
                return prefix + new.replace("_", "-")
    return flag


def guarded(call: Callable[[], object], *, quiet: bool = False) -> int:
    """Call; turn what is raised into a message and an exit code, and warnings into lines on stderr.

    A number that is returned is the exit code. quiet: leave the warnings out.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        else:
            _show_warnings_once()
        try:
            result = call()
            if sys.stdout is not None:
                sys.stdout.flush()  # a reader that is gone is noticed here, not while Python shuts down
        except CycloptsError as error:
            command = " ".join(["dreamvid", *(error.command_chain or ())])
            console.error(f"{_explain(error)} See: {command} --help")
            return 2
        except DreamvidError as error:
            if isinstance(error, Interrupted):
                console.say(str(error))
            else:
                console.error(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            console.say("Interrupted.")
            return 130
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
            console.discard_stdout()
            return 0
        except OSError as error:
            if error.errno != errno.ENOSPC:
                report_bug(error)
                return 1
            console.discard_stdout()
            console.error(f"cannot write: {error.strerror}.")
            return 1
        except Exception as error:  # anything else is a mistake in dreamvid
            report_bug(error)
            return 1
    return result if isinstance(result, int) else 0


def _explain(error: CycloptsError) -> str:
    if not isinstance(error, UnusedCliTokensError) or not error.unused_tokens:
        return str(error)
    argument = error.unused_tokens[0]
    commands = [name for name in error.app or () if not name.startswith("-")]
    allowed = f" Allowed here: {', '.join(commands)}." if commands else ""
    return f"Unexpected argument {argument!r}.{nearest(argument, commands)}{allowed}"


def _show_warnings_once() -> None:
    """Turn Python's warnings into plain lines, each text once. Of those for developers, only renamed settings."""
    warnings.simplefilter("always", RenamedWarning)
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if text in shown or (
            issubclass(category, DeprecationWarning | PendingDeprecationWarning)
            and not issubclass(category, RenamedWarning)
        ):
            return
        shown.add(text)
        console.warning(text)

    warnings.showwarning = show


def report_bug(error: Exception) -> None:
    """Write a log file about a mistake in dreamvid, and say where it is."""
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    number, name = tempfile.mkstemp(prefix="dreamvid-", suffix=".log", text=True)
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"dreamvid {__version__}, Python {sys.version}\n{sys.argv}\n{text}")
    console.error(
        f"this is a bug in dreamvid ({type(error).__name__}: {error}). "
        f"Please report it with what you typed and the file {Path(name)}."
    )
