"""A lock on a folder that ends with the process that holds it, however that ends."""

import contextlib
import os
import sys
import time
from pathlib import Path

LOCK_NAME = "lock"
_PATIENCE = 1.0
"""Seconds that a lock may outlive its holder: an ffmpeg it was starting when killed has the lock until it runs."""


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
        os.close(descriptor)  # a file that was removed while we opened it locks nothing


def _lock(descriptor: int) -> bool:
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
