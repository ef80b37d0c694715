"""The one-slot mailbox: the newest frame only, and nobody waits for a slow reader."""

import threading
import time

import numpy as np

from dreamvid.render.live.slot import LatestFrame, LiveFrame


def frame(number: int) -> LiveFrame:
    return LiveFrame(np.zeros((2, 2, 3), np.uint8), number, float(number))


def test_a_reader_gets_the_newest_frame_and_counts_those_it_missed() -> None:
    slot = LatestFrame()
    reader = slot.subscribe()
    for number in range(5):
        slot.put(frame(number))
    got = reader.get(0.1)
    assert got is not None
    assert (got.number, reader.dropped) == (4, 4)
    assert reader.get(0.01) is None
    slot.put(frame(5))
    assert (got := reader.get(0.1)) is not None
    assert (got.number, reader.dropped) == (5, 4)


def test_every_reader_has_its_own_place() -> None:
    slot = LatestFrame()
    fast, slow = slot.subscribe(), slot.subscribe()
    for number in range(3):
        slot.put(frame(number))
        assert fast.get(0.1) is not None
    assert slow.get(0.1) is not None
    assert (fast.dropped, slow.dropped) == (0, 2)


def test_a_late_reader_begins_with_the_present_frame() -> None:
    slot = LatestFrame()
    for number in range(3):
        slot.put(frame(number))
    late = slot.subscribe()
    assert (got := late.get(0.1)) is not None
    assert (got.number, late.dropped) == (2, 0)


def test_a_waiting_reader_wakes_when_a_frame_comes_and_when_the_slot_closes() -> None:
    slot = LatestFrame()
    reader = slot.subscribe()
    threading.Timer(0.05, lambda: slot.put(frame(7))).start()
    assert (got := reader.get(0.2)) is not None
    assert got.number == 7
    threading.Timer(0.02, slot.close).start()
    start = time.monotonic()
    assert reader.get(0.2) is None
    assert time.monotonic() - start < 0.15
    assert reader.closed
    slot.put(frame(8))
    assert reader.get(0.0) is None
