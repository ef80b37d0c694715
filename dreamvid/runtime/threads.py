"""Choose the number of threads of PyTorch's operators on a CPU while they run.

Each operator ends when its slowest thread does. If another process is busy on one of two cores, every operator waits
for the thread that shares that core, and two threads are several times slower than one. So the time that a thread waits
is measured, and how much longer calls take than the same ones have taken (a thread that spins while it waits seems to
run); when either is long, fewer threads are tried, and now and then more of them again.

That may change no result, so it is only for work that adds in one order for any number of threads. Matrix products of
MKL do not.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch

from dreamvid.runtime.process import process_is_tuned

# Of the wall time, the share during which the calling thread did not run, from which on fewer threads are tried.
_MUCH_WAITING = 0.2
# How many times as long as at its quickest a call takes from which on fewer threads are tried, even soon after a trial.
_SLOWED = 1.5
# A trial has to take this part of the time before it, or less, for its number of threads to be kept.
_FASTER = 0.92
# Calls between two decisions, and in a trial.
_ROUND, _TRIAL = 6, 3
# Calls from a failed trial to the next one; doubled at each failure.
_FIRST_PAUSE, _LONGEST_PAUSE = 48, 384


class ThreadChoice:
    """Chooses a number of threads from 1 to `most` by what calls take; `use` is called with each new number.

    Not for use by several threads.
    """

    def __init__(self, most: int, use: Callable[[int], object]) -> None:
        self.most = most
        self.threads = most
        self._use = use
        self._seconds: dict[tuple[Hashable, int], float] = {}  # of the latest calls, by the work and the threads
        self._tried: set[Hashable] = set()  # works that the present trial has measured
        self._before: int | None = None  # threads before the present trial
        self._quickest: dict[tuple[Hashable, int], float] = {}  # seconds of the quickest call so far, likewise
        self._calls = 0  # since the latest decision
        self._wall = self._running = 0.0
        self._at_best = 0.0  # what these calls took at their quickest
        self._insisted = False  # whether a trial was begun although the one before had failed shortly before
        self._pause, self._resting = _FIRST_PAUSE, 0

    def add(self, work: Hashable, wall_seconds: float, running_seconds: float) -> None:
        """Take in a call; work: what makes calls comparable. running_seconds: CPU time of the calling thread."""
        self._calls += 1
        self._resting = max(0, self._resting - 1)
        self._wall += wall_seconds
        self._running += running_seconds
        quickest = self._quickest.get((work, self.threads), wall_seconds)
        self._quickest[work, self.threads] = min(quickest, wall_seconds)
        self._at_best += quickest
        known = self._seconds.get((work, self.threads))
        if self._before is not None:  # the quickest of a trial counts: the first call with new threads is slower
            seconds = min(known, wall_seconds) if known is not None and work in self._tried else wall_seconds
        else:
            seconds = wall_seconds if known is None else (3 * known + wall_seconds) / 4
        self._seconds[work, self.threads] = seconds
        self._tried.add(work)
        if self._calls >= (_ROUND if self._before is None else _TRIAL):
            self._decide()

    def use_all(self) -> None:
        """Go back to all threads, and forget the present trial."""
        self._before = None
        if self.threads != self.most:
            self._set(self.most)

    def _decide(self) -> None:
        waiting = 1 - self._running / self._wall if self._wall > 0 else 0.0
        slowed = self._wall > _SLOWED * self._at_best
        fewer = slowed and not self._insisted if self._resting else slowed or waiting > _MUCH_WAITING
        if self._before is not None:
            self._judge_trial(self._before)
        elif self.threads > 1 and fewer:
            self._insisted = self._resting > 0
            self._try(self.threads - 1)
        elif not self._resting and self.threads < self.most:
            self._try(self.threads + 1)
        self._calls, self._wall, self._running, self._at_best = 0, 0.0, 0.0, 0.0

    def _try(self, threads: int) -> None:
        self._before = self.threads
        self._tried.clear()
        self._set(threads)

    def _judge_trial(self, before: int) -> None:
        pairs = [
            (self._seconds[work, self.threads], self._seconds[work, before])
            for work in self._tried
            if (work, before) in self._seconds
        ]
        if not pairs:
            return  # goes on until something comparable has run
        self._before = None
        if sum(now for now, _ in pairs) <= _FASTER * sum(earlier for _, earlier in pairs):
            self._pause, self._resting = _FIRST_PAUSE, _FIRST_PAUSE
        else:
            self._resting = self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._set(before)

    def _set(self, threads: int) -> None:
        self.threads = threads
        self._use(threads)


_of_thread = threading.local()  # as PyTorch's number of threads is
_most: int | None = None  # of the process: a new thread begins with the number that another one has set
_kept = False


def keep_threads() -> None:
    """Leave the number of threads alone from now on, in the whole process: for work whose results depend on it."""
    global _kept
    _kept = True


def most_threads() -> int:
    """Return the number of threads that this process may use, however many it uses now."""
    return _most or torch.get_num_threads()


@contextmanager
def measured_threads(work: Hashable, device: torch.device, *, any_number: bool) -> Iterator[None]:
    """Run some hundred operators with as many threads as turn out to be best.

    work: what makes calls comparable. any_number: the results are the same for any number of threads; if not, all
    threads are used. Does nothing but in a process that `tune_process` has tuned, on a CPU, with more than one thread
    allowed (by OMP_NUM_THREADS or by the number of cores).
    """
    global _most
    if device.type != "cpu" or not process_is_tuned():
        yield
        return
    choice: ThreadChoice | None = getattr(_of_thread, "choice", None)
    if choice is None:
        _most = most_threads()
        if torch.get_num_threads() != _most:
            torch.set_num_threads(_most)
        choice = _of_thread.choice = ThreadChoice(_most, torch.set_num_threads)
    if choice.most == 1 or torch.get_num_threads() != choice.threads:  # somebody else has set it
        yield
        return
    if _kept or not any_number:
        choice.use_all()
        yield
        return
    wall, running = time.perf_counter(), time.thread_time()
    yield
    choice.add(work, time.perf_counter() - wall, time.thread_time() - running)
