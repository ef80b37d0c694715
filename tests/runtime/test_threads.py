"""The number of threads follows what calls take: few beside a busy process, all on a quiet machine."""

import pytest
import torch

from dreamvid.runtime import process, threads
from dreamvid.runtime.threads import ThreadChoice, measured_threads


class Machine:
    """Two cores; with another process on one of them, a call on two threads takes five times longer."""

    def __init__(self) -> None:
        self.busy = False
        self.set_to: list[int] = []
        self.seconds = 0.0
        self.choice = ThreadChoice(2, self.set_to.append)

    def run(self, calls: int) -> float:
        """Call; return the seconds per call."""
        total = 0.0
        for call in range(calls):
            small = call % 3 == 0
            alone = 0.5 if small else 1.0
            if self.choice.threads == 1:
                wall = running = 1.4 * alone
            else:
                wall, running = (5 * alone, 0.9 * alone) if self.busy else (alone, 0.95 * alone)
            self.choice.add("small" if small else "large", wall, running)
            total += wall
        return total / calls


def test_a_quiet_machine_keeps_all_threads() -> None:
    machine = Machine()
    machine.run(500)
    assert machine.set_to == []


def test_beside_a_busy_process_a_call_takes_little_more_than_on_one_thread() -> None:
    machine = Machine()
    machine.busy = True
    machine.run(20)
    assert machine.choice.threads == 1
    alone = 1.4 * (0.5 + 2 * 1.0) / 3
    assert machine.run(1000) <= 1.15 * alone  # more threads are tried now and then


def test_all_threads_come_back_when_the_other_process_ends() -> None:
    machine = Machine()
    machine.busy = True
    machine.run(1000)
    machine.busy = False
    machine.run(400)
    assert machine.choice.threads == 2


def test_a_thread_that_spins_while_it_waits_is_noticed_by_what_calls_took_before() -> None:
    """Spinning counts as running; and a trial that has just failed does not put the next one off."""
    numbers: list[int] = []
    choice = ThreadChoice(2, numbers.append)
    for _ in range(60):
        choice.add("work", 1.0, 1.0)
    assert numbers == []
    choice.add("work", 1.0, 0.1)  # something that passes
    for _ in range(8):
        choice.add("work", 1.0 if choice.threads == 2 else 1.4, 0.7)
    assert numbers == [1, 2]
    for _ in range(12):
        choice.add("work", 5.0 if choice.threads == 2 else 1.4, 1.4)
    assert numbers == [1, 2, 1]


def test_waiting_alone_does_not_take_a_thread_away() -> None:
    """Another process that takes both cores: one thread is no better, so two stay."""
    numbers: list[int] = []
    choice = ThreadChoice(2, numbers.append)
    for _ in range(100):
        choice.add("work", 2.0 if choice.threads == 2 else 2.8, 1.0)
    assert choice.threads == 2
    assert len(numbers) <= 6


def test_the_process_is_left_alone_unless_it_was_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_tuned", False)
    before = torch.get_num_threads()
    for _ in range(30):
        with measured_threads("work", torch.device("cpu"), any_number=True):
            pass
    assert torch.get_num_threads() == before
    assert not hasattr(threads._of_thread, "choice") or threads._of_thread.choice.most >= before
