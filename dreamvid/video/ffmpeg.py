"""One small class around one running ffmpeg: it never stalls on its own words, never outlives its owner."""

import contextlib
import functools
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dreamvid.errors import FfmpegError

# Local files only: nothing inside a source must be able to open a connection.
PROTOCOL_WHITELIST = ("-protocol_whitelist", "file,pipe,crypto")
# Playlists and scripts: what they name is opened in their stead, whoever wrote them.
_READS_OTHER_FILES = frozenset(
    {"applehttp", "avisynth", "concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth", "vobsub"}
    | {"webm_dash_manifest"}
)
_DEMUXER = re.compile(r"^ D[ E]  (\S+) ", re.MULTILINE)
REFUSED_FORMAT = "Format not on whitelist"  # how ffmpeg says it


class DiskFullError(FfmpegError):
    """There was no room for ffmpeg's output: no other way of writing it can help."""


_LOG_LINES = 400
_LINE_CHARACTERS = 1000  # showinfo prints whole user-data blobs on one line
_PREFIX = re.compile(r"^(?:\[[^\]]* @ [^\]]*\] ?)*\[(panic|fatal|error|warning|info|verbose|debug)\] ?(.*)$")
_NOISY_LINES = re.compile(
    r"Task finished|Terminating thread|Conversion failed|Error parsing options for output file"
    r"|Error opening output files|Error opening input files|Failed to set value|Nothing was written"
    r"|Error submitting|Error while opening encoder|Error muxing a packet|Error writing trailer"
    r"|Could not open encoder before EOF|Error closing file"
)
# Said of the discarded output when a stream's times jump.
_IGNORED_ERRORS = re.compile(r"Application provided invalid, non monotonically increasing dts")
_DISK_FULL = re.compile(r"No space left on device|not enough space on the disk", re.IGNORECASE)
_DISK_FULL_CODES = {228, -28 & 0xFFFFFFFF}


@functools.cache
def ffmpeg_path() -> Path:
    """Where the ffmpeg binary is that every command here runs.

    Raises:
        FfmpegError: imageio-ffmpeg brought no binary for this platform and none is installed.
    """
    from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[attr-defined]

    try:
        return Path(get_ffmpeg_exe())  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise FfmpegError(
            "no ffmpeg was found: the package imageio-ffmpeg brings none for this platform. "
            "Install ffmpeg, or name it in the environment variable IMAGEIO_FFMPEG_EXE."
        ) from error


@functools.cache
def ffmpeg_version() -> str:
    """The first line of `ffmpeg -version`, for a render's record: frames depend on it."""
    return capture_ffmpeg(["-version"]).partition("\n")[0].strip() or "unknown"


@functools.cache
def file_args() -> tuple[str, ...]:
    """Input options for a file of the user's: it is read alone, whatever it names, and no connection is opened."""
    formats = [name for name in _DEMUXER.findall(capture_ffmpeg(["-demuxers"])) if name not in _READS_OTHER_FILES]
    return (*PROTOCOL_WHITELIST, "-format_whitelist", ",".join(formats))


def capture_ffmpeg(args: Sequence[str]) -> str:
    """What ffmpeg prints on stdout when asked about itself."""
    command = [str(ffmpeg_path()), "-hide_banner", *args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace")


def level_and_text(line: str) -> tuple[str, str]:
    """Split a line of ffmpeg's log (`-v level+...`) into its level ('' if it has none) and its words."""
    match = _PREFIX.match(line)
    return (match[1], match[2].strip()) if match else ("", line.strip())


class Ffmpeg:
    """A running ffmpeg whose stderr a thread drains, and which is killed and reaped on leaving the context.

    Args:
        args: everything after the program's name, without log options.
        stdin, stdout: whether to open a pipe there; both are closed to the child otherwise.
        progress: count the frames of its first output into `frames_written` (takes its stdout for that).
        level: how much it says (`warning`, or `info` where its description of the input is read).
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        progress: bool = False,
        level: str = "warning",
    ) -> None:
        command = [str(ffmpeg_path()), "-hide_banner", "-nostdin", "-nostats", "-v", f"level+{level}", "-y"]
        if progress:
            command += ["-progress", "pipe:1", "-stats_period", "60"]
        self.error_count = 0
        self._first_errors: list[str] = []
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._disk_full = False
        # A session of its own: Ctrl-C reaches dreamvid, which then lets the encoder finish or stops it.
        self.process = subprocess.Popen(
            [*command, *args],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout or progress else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._drain = threading.Thread(target=self._read_log, name="ffmpeg-log", daemon=True)
        self._drain.start()
        self.frames_written = 0
        self._progress: threading.Thread | None = None
        if progress:
            self._progress = threading.Thread(target=self._read_progress, name="ffmpeg-progress", daemon=True)
            self._progress.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe into ffmpeg."""
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """The pipe out of ffmpeg."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def log(self) -> list[str]:
        """The last lines of its own words, with level and component."""
        return list(self._log)

    @property
    def first_errors(self) -> list[str]:
        """The first of its `[error]` and `[fatal]` lines, cleaned of addresses."""
        return list(self._first_errors)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()[:_LINE_CHARACTERS]
            self._log.append(line)
            level, text = level_and_text(line)
            if level in ("error", "fatal", "panic") and not _IGNORED_ERRORS.search(text):
                self._disk_full = self._disk_full or bool(_DISK_FULL.search(text))
                self.error_count += 1
                if len(self._first_errors) < 8 and not _NOISY_LINES.search(text):
                    self._first_errors.append(text)

    def _read_progress(self) -> None:
        for raw in self.stdout:
            if raw.startswith(b"frame="):
                self.frames_written = int(raw[6:])

    def _join_threads(self) -> None:
        self._drain.join()
        if self._progress is not None:
            self._progress.join()

    def wait(self) -> int:
        """Close its stdin, wait for the end, give its exit status (negative: the signal that ended it)."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        code = self.process.wait()
        self._join_threads()
        return code

    def failure(self, doing: str) -> FfmpegError:
        """The error to raise after a bad end; waits for that end first, so that its last words are in."""
        code = self.wait()
        if self._disk_full or code in _DISK_FULL_CODES:
            return DiskFullError(
                f"the disk is full: no space left on device while {doing}. "
                "Free some space, then run the same command again."
            )
        if os.name == "posix" and code == -signal.SIGXFSZ:
            return DiskFullError(
                f"the limit on file sizes was reached while {doing}; raise it (ulimit -f) and run again."
            )
        words = self._first_errors[:2] or [text for _, text in map(level_and_text, self._log) if text][-2:]
        ending = f"was ended by signal {-code}" if code < 0 else f"exit status {code}"
        said = " / ".join(words) or "it said nothing"
        return FfmpegError(f"ffmpeg failed while {doing} ({ending}): {said}")

    def finish(self, doing: str) -> None:
        """Wait for the end.

        Raises:
            FfmpegError: its exit status is not 0.
        """
        if self.wait() != 0:
            raise self.failure(doing)

    def close(self) -> None:
        """Kill it if it still runs, reap it, close every pipe. Safe to call again."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._join_threads()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what is buffered for a dead child has nowhere to go
                    pipe.close()


def run_ffmpeg(args: Sequence[str], doing: str, *, level: str = "warning") -> list[str]:
    """Run ffmpeg to its end and return the last lines of its log.

    Raises:
        FfmpegError: its exit status is not 0; the message says what it was `doing` and its own first words.
    """
    with Ffmpeg(args, level=level) as process:
        process.finish(doing)
        return process.log
