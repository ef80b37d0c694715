"""The registry of commands, and the one place where errors become messages and exit codes."""

import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, UnusedCliTokensError

from dreamvid import __version__
from dreamvid.errors import DreamvidError, Interrupted, nearest
from dreamvid.runtime.process import tune_process
from dreamvid.ui import console

_LAYERS = (
    "List the layers of a network that can be dreamed on, or draw them (--graph).\n\n"
    "Stride: pixels of the image from one position of the layer to the next. Receptive field: side in "
    "pixels of what one position sees. Both tell the size of a layer's patterns."
)
# Name, where it is, what it does. A command is imported only when it is called: `--help` stays fast.
_COMMANDS = (
    ("run", "dreamvid.cli.run:run", "Dream on a video."),
    ("zoom", "dreamvid.cli.zoom:zoom", "Make a film from one image, or from noise: the camera moves on."),
    ("image", "dreamvid.cli.image:image", "Dream on a single image."),
    ("presets", "dreamvid.cli.presets:presets", "List the presets; `presets show NAME` prints one in full."),
    ("models", "dreamvid.cli.models:models", "List the networks that can dream, and which need a download."),
    ("layers", "dreamvid.cli.layers:layers", _LAYERS),
    ("sheet", "dreamvid.cli.sheet:sheet", "Compare layers, channels, presets or networks on a frame of yours."),
    ("score", "dreamvid.cli.score:score", "Measure a dream against its source: flicker, strength, drift."),
    ("features", "dreamvid.cli.features:features", "Show what the features of a network look for."),
    ("doctor", "dreamvid.cli.doctor:doctor", "Say what is installed here, and what works."),
)

_PURPOSE = """\
Dream on video: a network's patterns grow out of it, ride on what moves, and never flicker.

Begin with:  dreamvid run clip.mp4 -o dream.mp4

Without a clip:  dreamvid run demo -o dream.mp4

All flags of a command:  dreamvid run --help
"""


def build_app() -> App:
    """Put the commands together."""
    app = App(
        "dreamvid",
        _PURPOSE,
        version=f"dreamvid {__version__}",
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for order, (name, place, purpose) in enumerate(_COMMANDS):
        app.command(place, name=name, help=purpose, sort_key=order)
    return app


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command line (`tokens`: the words behind the program's name; None: those it was started with).

    Returns the exit code: 0 done, 2 the user's mistake, 1 any other failure, 130 stopped by Ctrl-C, 143 stopped by
    SIGTERM. Never raises for bad input; its message goes to stderr.
    """
    tune_process()
    words = [_current_flag(word) for word in (sys.argv[1:] if tokens is None else tokens)]
    return guarded(lambda: build_app()(words, exit_on_error=False, print_error=False))


def _current_flag(word: str) -> str:
    """Return a flag by its present name; an old one is told once, as a warning."""
    if not word.startswith("--") or word in ("--help", "--version"):
        return word
    from dreamvid.settings.renamed import RENAMED  # with pydantic, which the first screen does without

    flag, equals, value = word.partition("=")
    for old, new in {"fresh": "restart", **RENAMED}.items():
        old, new = old.replace("_", "-"), new.replace("_", "-")
        for before, now in ((f"--{old}", f"--{new}"), (f"--no-{old}", f"--no-{new}")):
            if flag == before:
                console.warning(f"{before} is called {now} now.")
                return now + equals + value
    return word


def guarded(call: Callable[[], object]) -> int:
    """Call; turn what is raised into a message and an exit code, and warnings into lines on stderr.

    A number that is returned is the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    with warnings.catch_warnings():
        _show_warnings_once()
        try:
            result = call()
            sys.stdout.flush()  # a reader that is gone is noticed here, not while Python shuts down
        except CycloptsError as error:
            place = " ".join(["dreamvid", *(error.command_chain or ())])
            console.error(f"{_explain(error)} See: {place} --help")
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
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 0
        except Exception as error:  # what is left is a mistake of the program's
            _report_bug(error)
            return 1
    return result if isinstance(result, int) else 0


def _explain(error: CycloptsError) -> str:
    if not isinstance(error, UnusedCliTokensError) or not error.unused_tokens:
        return str(error)
    word = error.unused_tokens[0]
    commands = [name for name in error.app or () if not name.startswith("-")]
    allowed = f" Allowed here: {', '.join(commands)}." if commands else ""
    return f"{word!r} is one word too many.{nearest(word, commands)}{allowed}"


def _show_warnings_once() -> None:
    """Turn Python's warnings into plain lines, each text once."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in shown and not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            shown.add(text)
            console.warning(text)

    warnings.showwarning = show


def _report_bug(error: Exception) -> None:
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
