"""Tune the whole process for dreaming, and end it: what a program may do, and what a library must not do by itself."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

_tuned = False

# glibc's names for mallopt (malloc.h), and the highest threshold it takes for memory maps.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_LARGEST_TRIM_THRESHOLD = 2**31 - 1
# Smaller blocks than this, in bytes, are never worth a memory map.
_LEAST_MAPPED = 128 * 2**10
_mallopt: Callable[[int, int], int] | None = None  # once it was used


def tune_process() -> None:
    """Tune the environment, the memory allocator and PyTorch's flags of this process; dreams get faster, not different.

    The command line does this. Importing dreamvid does not, as the process may belong to another program. Call it
    before torch is imported, in a program that mainly dreams:

    - The variable GOMP_SPINCOUNT is set, unless it or OMP_WAIT_POLICY is set already. Threads of OpenMP that wait for
      one another then sleep after some microseconds. By default they spin for milliseconds, on cores that decoding,
      motion and encoding need. It has no effect once torch is imported.
    - When the CPU dreams, glibc keeps freed memory for the next step (`mallopt`).
    - Beside other busy processes the dreaming thread takes fewer threads than it had (`torch.set_num_threads`).
    - When a CUDA device dreams, matrix products may round factors to TF32 (`torch.backends.cuda.matmul.allow_tf32`),
      as PyTorch lets convolutions do by itself.
    """
    global _tuned
    _tuned = True
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def process_is_tuned() -> bool:
    """Tell if `tune_process` was called."""
    return _tuned


def tune_malloc() -> None:
    """Let the process keep the memory of freed activations for the next step; nothing where that is not possible.

    By default glibc returns image-sized blocks to the system as soon as they are freed. The system then has to clear
    and map every page again at the next step: a quarter of the time of a gradient at 640 x 480. Blocks above 32 MiB are
    still returned.
    """
    if sys.platform != "linux":
        return
    import ctypes

    global _mallopt
    _mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if _mallopt is None:
        return
    _mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    _mallopt(_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)
    _mallopt(_TOP_PAD, _LARGEST_MMAP_THRESHOLD)


@contextmanager
def mapped_memory() -> Iterator[None]:
    """Map larger blocks for which there is no place within the context; do not extend what `tune_malloc` keeps by them.

    For the first runs of operators on images of a size, which also allocate what is kept for later runs. In one heap
    with the images it would divide what they leave into pieces that fit no larger image. Nothing without `tune_malloc`.
    """
    if _mallopt is None:
        yield
        return
    _mallopt(_MMAP_THRESHOLD, _LEAST_MAPPED)
    try:
        yield
    finally:
        _mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)


def peak_memory() -> int:
    """Return the largest amount of memory that this program has held so far, in bytes; 0 on Windows.

    On Linux from /proc: what `getrusage` says there begins with the memory of the process that has started this one.
    """
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def exit_process(code: int) -> NoReturn:
    """End the process with an exit code, without taking its memory apart.

    Python frees every object at exit, a network's thousands among them, which takes half a second or more; the system
    frees all of it at once. What programs rely on is done first: other threads end (those that are no daemons), what
    was registered with `atexit` is called, stdout and stderr are flushed.
    """
    # What Python itself calls first: it wakes the idle threads of pools, which would be waited for without an end.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # a reader that is gone, a closed stream, no console
            stream.flush()
    os._exit(code)
