"""Find and run ffmpeg: which program, what it can do, and one small class around a running one.

A running ffmpeg never stalls on its own log and never outlives its owner.
"""

import contextlib
import functools
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from dreamvid.errors import FfmpegError, InputError

_logger = logging.getLogger(__name__)

# Local files only: nothing inside a source must be able to open a connection.
PROTOCOL_WHITELIST = ("-protocol_whitelist", "file,pipe,crypto")
# Playlists and scripts: ffmpeg opens what they name, whoever wrote them.
_READS_OTHER_FILES = frozenset(
    {"applehttp", "avisynth", "concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth", "vobsub"}
    | {"webm_dash_manifest"}
)
REFUSED_FORMAT = "Format not on whitelist"  # ffmpeg's words for it

ENVIRONMENT_VARIABLE = "IMAGEIO_FFMPEG_EXE"
"""The environment variable by which a user names another ffmpeg than the bundled one."""

Feature = Literal["decoder", "demuxer", "filter"]
# Lists of ffmpeg 4.2 have two columns of letters, later ones have three; devices are left out.
_LISTED: dict[Feature, re.Pattern[str]] = {
    "decoder": re.compile(r"^ [VAS][F.][S.][X.][B.][D.] (\w\S*) ", re.MULTILINE),
    "demuxer": re.compile(r"^ D[ E] {1,2}(\S+) ", re.MULTILINE),
    "filter": re.compile(r"^ [T.][S.][C.]? (\S+) +\S*->\S* ", re.MULTILINE),
}
# Without these options no video can be read (ffmpeg 6.0 has them, 5.1 lacks the first).
_ESSENTIAL_OPTIONS = ("-stats_enc_pre", "-fps_mode")
OPTIONAL_FEATURES: tuple[tuple[Feature, str, str], ...] = (
    ("filter", "bwdif", "interlaced video"),
    ("filter", "zscale", "video in YCgCo, ICtCp and other rare color spaces"),
    ("filter", "perlin", "the source `demo`"),
    ("demuxer", "webp_anim", "animated WebP"),
    ("decoder", "libvpx", "transparent VP8 video"),
    ("decoder", "libvpx-vp9", "transparent VP9 video"),
)
"""What the bundled ffmpeg has and another one may lack: kind, name, and what it is needed for."""


class DiskFullError(FfmpegError):
    """There was no room for ffmpeg's output: no other way of writing it can help."""


class UnusableFfmpegError(FfmpegError, InputError):
    """The ffmpeg that the user named cannot be run, is another program, or lacks what is needed."""


_LOG_LINES = 400
_LINE_CHARACTERS = 1000  # showinfo prints whole user-data blobs on one line
_PREFIX = re.compile(r"^(?:\[[^\]]* @ [^\]]*\] ?)*\[(panic|fatal|error|warning|info|verbose|debug)\] ?(.*)$")
_NOISY_LINES = re.compile(
    r"Task finished|Terminating thread|Conversion failed|Error parsing options for output file"
    r"|Error opening output files|Error opening input files|Failed to set value|Nothing was written"
    r"|Error submitting|Error while opening encoder|Error muxing a packet|Error writing trailer"
    r"|Could not open encoder before EOF|Error closing file"
)
# Logged of the discarded output when a stream's times jump.
_IGNORED_ERRORS = re.compile(r"Application provided invalid, non monotonically increasing dts")
_DISK_FULL = re.compile(r"No space left on device|not enough space on the disk", re.IGNORECASE)
_DISK_FULL_CODES = {228, -28 & 0xFFFFFFFF}


@functools.cache
def ffmpeg_path() -> Path:
    """Find the ffmpeg program that every command here runs: the bundled one, or the one that the user names.

    Raises:
        FfmpegError: imageio-ffmpeg brought no program for this platform and none is installed.
        UnusableFfmpegError: the environment variable IMAGEIO_FFMPEG_EXE names something else, or an ffmpeg too old.
    """
    import imageio_ffmpeg

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        text = named or imageio_ffmpeg.get_ffmpeg_exe()  # type: ignore[attr-defined, no-untyped-call]
    except RuntimeError as error:
        raise FfmpegError(
            "no ffmpeg was found: the package imageio-ffmpeg brings none for this platform. "
            f"Install ffmpeg, or name it in the environment variable {ENVIRONMENT_VARIABLE}."
        ) from error
    path = Path(text).expanduser()
    if named or not path.is_relative_to(Path(imageio_ffmpeg.__file__).parent):
        return _checked(path, f"{ENVIRONMENT_VARIABLE} names {text!r}, " if named else f"the ffmpeg at {path} ")
    return path


def _checked(path: Path, subject: str) -> Path:
    """Make sure that a program which was not bundled is an ffmpeg that can do the work."""
    remedy = f"Give the path of an ffmpeg program, or unset {ENVIRONMENT_VARIABLE} to use the bundled one."
    found = shutil.which(path)
    if found is None:
        if path.is_dir():
            reason = "which is a folder"
        elif path.exists():
            reason = "which is not a program that can be run"
        else:
            reason = "which does not exist"
        raise UnusableFfmpegError(f"{subject}{reason}. {remedy}")
    version = _output([found, "-version"])
    if not version.startswith("ffmpeg version"):
        printed = version.strip().partition("\n")[0][:80]
        reason = f"which is another program: it prints {printed!r}" if printed else "which is not ffmpeg"
        raise UnusableFfmpegError(f"{subject}{reason}. {remedy}")
    options = _output([found, "-hide_banner", "-h", "long"])
    missing = [option for option in _ESSENTIAL_OPTIONS if option not in options]
    if missing:
        number = version.split()[2]
        raise UnusableFfmpegError(
            f"{subject}which is too old (version {number}): it lacks {' and '.join(missing)}. "
            f"Give ffmpeg 6.0 or newer, or unset {ENVIRONMENT_VARIABLE} to use the bundled one."
        )
    return Path(found)


def _output(command: Sequence[str]) -> str:
    """Return what a program prints on stdout; "" for one that cannot be started or does not end."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")


@functools.cache
def ffmpeg_version() -> str:
    """Return the first line of `ffmpeg -version`, for a render's record: frames depend on it."""
    return capture_ffmpeg(["-version"]).partition("\n")[0].strip() or "unknown"


@functools.cache
def features(kind: Feature) -> frozenset[str]:
    """Name the decoders, demuxers or filters that this ffmpeg has."""
    return frozenset(parse_features(kind, capture_ffmpeg([f"-{kind}s"])))


def parse_features(kind: Feature, listing: str) -> list[str]:
    """Read the names out of what `ffmpeg -decoders`, `-demuxers` or `-filters` prints, of any version of ffmpeg."""
    return _LISTED[kind].findall(listing)


@functools.cache
def hwaccels() -> tuple[str, ...]:
    """Name the kinds of hardware with which this ffmpeg can decode, whether this machine has them or not."""
    _, _, listed = capture_ffmpeg(["-hwaccels"]).partition("\n")
    return tuple(listed.split())


def require_feature(kind: Feature, name: str, purpose: str) -> None:
    """Raise UnusableFfmpegError if this ffmpeg lacks a feature; purpose: what needs it, such as `demo`."""
    if name not in features(kind):
        raise UnusableFfmpegError(
            f"{purpose} needs the {kind} {name}, which this ffmpeg lacks: {ffmpeg_path()}. "
            f"Unset {ENVIRONMENT_VARIABLE} to use the bundled one, or install a newer ffmpeg."
        )


def missing_features() -> list[str]:
    """Say what this ffmpeg lacks that the bundled one has, each with what needs it."""
    return [f"{kind} {name} (for {purpose})" for kind, name, purpose in OPTIONAL_FEATURES if name not in features(kind)]


@functools.cache
def file_args() -> tuple[str, ...]:
    """Input options for a file of the user's: it is read alone, whatever it names, and no connection is opened."""
    listing = capture_ffmpeg(["-demuxers"])
    formats = [name for name in parse_features("demuxer", listing) if name not in _READS_OTHER_FILES]
    return (*PROTOCOL_WHITELIST, "-format_whitelist", ",".join(formats))


def capture_ffmpeg(args: Sequence[str]) -> str:
    """Return what ffmpeg prints on stdout when it is asked about itself."""
    command = [str(ffmpeg_path()), "-hide_banner", *args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace")


def level_and_text(line: str) -> tuple[str, str]:
    """Split a line of ffmpeg's log (`-v level+...`) into its level ('' if it has none) and its text."""
    match = _PREFIX.match(line)
    return (match[1], match[2].strip()) if match else ("", line.strip())


class Ffmpeg:
    """A running ffmpeg whose stderr a thread drains, and which is killed and reaped on leaving the context.

    Args:
        args: everything after the program's name, without log options.
        stdin, stdout: whether to open a pipe there; both are closed to the child otherwise.
        progress: count the frames of its first output into `frames_written` (takes its stdout for that).
        level: how much it logs (`warning`, or `info` where its description of the input is read).
        on_line: called in the draining thread with the level and the text of every line of its log.
    """

    def __init__(
        self,
        args: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = False,
        progress: bool = False,
        level: str = "warning",
        on_line: Callable[[str, str], None] | None = None,
    ) -> None:
        self._on_line = on_line
        command = [str(ffmpeg_path()), "-hide_banner", "-nostdin", "-nostats", "-v", f"level+{level}", "-y"]
        if progress:
            command += ["-progress", "pipe:1", "-stats_period", "60"]
        _logger.debug("%s", shlex.join([*command, *args]))
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
        """Return the pipe into ffmpeg."""
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Return the pipe out of ffmpeg."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def log(self) -> list[str]:
        """Return the last lines of its log, with level and component."""
        return list(self._log)

    @property
    def first_errors(self) -> list[str]:
        """Return the first of its `[error]` and `[fatal]` lines, cleaned of addresses."""
        return list(self._first_errors)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()[:_LINE_CHARACTERS]
            self._log.append(line)
            level, text = level_and_text(line)
            if self._on_line is not None:
                self._on_line(level, text)
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
        """Make the error to raise after a bad end; waits for that end first, so that its last lines are in."""
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
        lines = self._first_errors[:2] or [text for _, text in map(level_and_text, self._log) if text][-2:]
        ending = f"was ended by signal {-code}" if code < 0 else f"exit status {code}"
        reason = " / ".join(lines) or "it printed nothing"
        return FfmpegError(f"ffmpeg failed while {doing} ({ending}): {reason}")

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
        FfmpegError: its exit status is not 0; the message names what it was `doing` and quotes its first errors.
    """
    with Ffmpeg(args, level=level) as process:
        process.finish(doing)
        return process.log
