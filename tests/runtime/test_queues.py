"""A channel holds no more than it should, and neither side waits for one that has gone."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from dreamvid.runtime.queues import BoundedQueue, Closed, Worker


def test_keeps_the_order_and_the_bound() -> None:
    channel: BoundedQueue[int] = BoundedQueue(2)
    waiting: list[int] = []
    sent = 0

    def send() -> None:
        nonlocal sent
        for number in range(20):
            channel.put(number)
            sent = number + 1
        channel.finish()

    with Worker("send", send):
        got = []
        for item in channel:
            time.sleep(0.001)
            waiting.append(sent - len(got))
            got.append(item)
    assert got == list(range(20))
    assert max(waiting) <= 4  # two wait, one is held here, one has just been counted


def test_a_failure_comes_after_what_was_sent_before_it() -> None:
    channel: BoundedQueue[int] = BoundedQueue(4)
    channel.put(1)
    channel.finish(ZeroDivisionError("in the thread"))
    items = iter(channel)
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        next(items)


def test_filling_sends_all_and_then_the_failure() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise ZeroDivisionError("in the thread")

    channel: BoundedQueue[int] = BoundedQueue(2)
    with Worker("fill", lambda: channel.fill(items())):
        received = iter(channel)
        assert [next(received) for _ in range(5)] == list(range(5))
        with pytest.raises(ZeroDivisionError, match="in the thread"):
            next(received)


def test_filling_ends_when_nobody_listens() -> None:
    channel: BoundedQueue[int] = BoundedQueue(1)
    with Worker("fill", lambda: channel.fill(itertools.count())):
        channel.close()


def test_closing_frees_both_sides() -> None:
    channel: BoundedQueue[int] = BoundedQueue(1)
    channel.put(0)
    ended = []

    def send() -> None:
        try:
            channel.put(1)
        except Closed:
            ended.append("sender")

    with Worker("send", send):
        time.sleep(0.05)
        channel.close()
    assert ended == ["sender"]
    assert list(channel) == []
    empty: BoundedQueue[int] = BoundedQueue(1)
    receiver = threading.Thread(target=lambda: ended.append(str(list(empty))))
    receiver.start()
    empty.close()
    receiver.join(5)
    assert ended == ["sender", "[]"]
