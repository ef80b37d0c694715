"""Write files that are whole or absent, lock files for the life of a process, and check an output's name."""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dreamvid.errors import OutputError

LOCK_NAME = "lock"
_PATIENCE = 1.0
"""Seconds that a lock may outlive its holder: an ffmpeg that it was starting when killed has the lock until it runs."""


def acquire(folder: Path) -> int | None:
    """Make the folder if it is missing and lock it; None if another process or thread holds it.

    Returns an open file descriptor: closing it, or the end of the process, frees the lock. Raises OSError.
    """
    path = folder / LOCK_NAME
    deadline = time.monotonic() + _PATIENCE
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        except FileNotFoundError:
            if folder.parent.is_dir():
                continue  # its holder has just finished and removed it
            raise
        try:
            while not _lock(descriptor):
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    return None
                time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # a lock on a file that was removed meanwhile protects nothing


def _lock(descriptor: int) -> bool:
    """Lock an open file for its process; return False if another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def part_path(path: Path) -> Path:
    """Return a new hidden name next to `path`. It is unique, as an orphaned process may still write an older one."""
    return path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.part")


def replace_atomically(part: Path, path: Path) -> None:
    """Sync the finished `part` to the disk and give it its final name; both survive a power cut. Raises OSError."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can do that (not Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def hold(path: Path) -> bool:
    """Lock a file until this process ends, in whatever way; return if it was free. On Windows nothing is locked."""
    if sys.platform == "win32":
        return False
    descriptor = os.open(path, os.O_RDWR)
    with contextlib.suppress(OSError):  # some network drives have no locks
        if _lock(descriptor):
            return True  # left open: closing it would free the lock
    os.close(descriptor)
    return False


def check_output_file(
    target: Path, suffixes: Sequence[str], *, overwrite: bool = False, source: Path | None = None
) -> None:
    """Raise OutputError, before the work, for a file that could not be written after it.

    target: the file's path. suffixes: those that are allowed, lower case, with their dots. overwrite: whether it may be
    replaced. source: the file that is read, which is never replaced.
    """
    allowed = ", ".join(suffixes)
    if target.suffix.lower() not in suffixes:
        got = target.suffix or "(none)"
        raise OutputError(f"cannot write a file with the suffix {got!r}: {target}. Allowed: {allowed}.")
    if not target.parent.is_dir():
        raise OutputError(
            f"the folder for the output does not exist: {target.parent}. Make it first: mkdir -p {target.parent}"
        )
    if target.is_dir():
        name = target / f"dream{suffixes[0]}"
        raise OutputError(f"the output {target} is a folder; give the name of a file in it: {name}")
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"the output is the source itself: {source}. Give another `output`.")
    if target.exists() and not overwrite:
        raise OutputError(f"the output exists: {target}. Add `overwrite=True` to replace it, or give another `output`.")
