"""Presets' thumbnails: dreamed in another process on the newest frame, only when asked."""

import os
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from live_sessions import children
from small_live import SmallLive

from dreamvid.ui.live.thumbnails import Thumbnails, thumbnail_settings


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thumbnail_shows_the_frame_dreamed_and_the_process_ends() -> None:
    before = children()
    with SmallLive(fps=10) as host:
        thumbnails = Thumbnails(host)
        assert children() == before, "nothing runs before somebody asks"
        thumbnails.make(["../plants", "animals", "plants"])
        deadline = time.monotonic() + 60
        while not thumbnails.numbers() and time.monotonic() < deadline:
            time.sleep(0.05)
        [worker] = children() - before
        assert os.getpriority(os.PRIO_PROCESS, worker) > os.getpriority(os.PRIO_PROCESS, 0), "the dream goes before"
        assert list(thumbnails.numbers()) == ["animals"]
        data = thumbnails.picture("animals")
        assert data is not None
        thumbnail = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        frame = host.source.latest()
        assert frame is not None
        assert thumbnail.shape == frame.pixels.shape
        difference = np.abs(thumbnail.astype(int) - frame.pixels)[40:].mean()
        assert 3 < difference < 60, "dreamed on, and still the same picture"
        assert thumbnails.picture("no such preset") is None
        thumbnails.close()
        assert children() == before
        thumbnails.make(["plants"])
        assert children() == before, "nothing begins after the end"
    assert not [thread for thread in threading.enumerate() if thread.name == "live thumbnails"]


def test_a_thumbnail_keeps_the_sessions_network() -> None:
    from dreamvid.settings import load_settings

    session = load_settings(None, model="squeezenet1_1", weights="random", objective="features.3", seed=7)
    settings = thumbnail_settings("plants", session)
    assert (settings.network.model, settings.network.weights, settings.render.seed) == ("squeezenet1_1", "random", 7)
    assert settings.render.device == "cpu"
    assert settings.dream.iterations == 14
