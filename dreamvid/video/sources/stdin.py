"""A video on stdin as a source: `-`. It is copied to a temporary file first, as it is decoded more than once."""

import atexit
import contextlib
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from dreamvid.errors import SourceError
from dreamvid.runtime.files import hold
from dreamvid.video.source import SourceOptions
from dreamvid.video.sources.file import FileSource

_MIB = 1 << 20
_SPOOL, _SPOOLED, _SPOOL_SECONDS = "dreamvid-stdin-", "stdin.y4m", 60


class _Stdin:
    form = "- for y4m on stdin"

    def claims(self, text: str) -> bool:
        return text == "-"

    def open(self, text: str, options: SourceOptions) -> FileSource:
        return FileSource(kind="stdin", text=text, paths=(_spool_stdin(),), stream=options.stream)


PLUGIN = _Stdin()


def _spool_stdin() -> Path:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("'-' reads y4m from stdin, and nothing is piped in. Give a file instead.")
    _remove_abandoned_spools()
    folder = Path(tempfile.mkdtemp(prefix=_SPOOL))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / _SPOOLED
    try:
        with path.open("wb") as file:
            hold(path)
            shutil.copyfileobj(sys.stdin.buffer, file, _MIB)
    except OSError as error:
        raise SourceError(f"cannot keep stdin's video in {folder}: {error.strerror or error}") from error
    if path.stat().st_size == 0:
        raise SourceError("nothing came in on stdin: the program before the pipe gave no video")
    return path


def _remove_abandoned_spools() -> None:
    """Remove what programs that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SPOOL}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            new = time.time() - status.st_mtime < _SPOOL_SECONDS  # its video may not be locked yet
            if stat.S_ISDIR(status.st_mode) and not new and hold(folder / _SPOOLED):
                shutil.rmtree(folder, ignore_errors=True)
