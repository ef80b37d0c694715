"""How the CPU's memory is given back and taken again between the steps of the ascent."""

import ctypes
import sys

# glibc's names for mallopt (malloc.h), and the highest threshold it takes for memory maps.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_LARGEST_TRIM_THRESHOLD = 2**31 - 1


def keep_freed_memory() -> None:
    """Let the process keep the memory of freed activations for the next step; a wish, nothing where it has no effect.

    By default glibc gives picture-sized blocks back to the system as soon as they are free, which then has to clear and
    map every page anew at the next step: a quarter of the time of a gradient at 640 x 480. Blocks above 32 MiB are
    still given back.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)
    mallopt(_TOP_PAD, _LARGEST_MMAP_THRESHOLD)
