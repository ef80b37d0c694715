"""A real session behind the page: changes arrive, a browser's camera is dreamed on, and it ends while people watch."""

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any

import numpy as np
from live_sessions import live, wait_for

from dreamvid.ui.live.jpeg import encode_jpeg
from dreamvid.ui.live.remote import Remote

GRAPH = "lavfi:testsrc2=s=96x64:r=15"


def ask(remote: Remote, path: str, body: dict[str, Any] | bytes | None = None, kind: str = "application/json") -> Any:
    assert remote.server is not None
    connection = HTTPConnection("127.0.0.1", remote.server.port, timeout=10)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    try:
        connection.request("GET" if data is None else "POST", path, data, {"Content-Type": kind})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_changes_on_the_page_reach_the_dream_and_it_ends_while_somebody_watches() -> None:
    with live(GRAPH) as running, Remote(running.session, port=0, osc=False, midi=()) as remote:
        running.wait(lambda state: state.dreamed > 2)
        assert ask(remote, "/api/set", {"name": "step_size", "value": 0.05}) == {"value": 0.05}
        assert "blocks.77" in ask(remote, "/api/set", {"name": "objective", "value": "blocks.77"})["error"]
        ask(remote, "/api/set", {"name": "objective", "value": "blocks.2.0", "seconds": 0.3})
        count = running.state().dreamed
        running.wait(lambda state: state.dreamed > count + 8)
        state = ask(remote, "/api/state")
        assert state["used"]["step_size"] == 0.05
        assert state["values"]["objective"] == "blocks.2.0"
        assert state["state"]["events"] == {}
        assert state["state"]["source"]["status"] == "connected"
        ask(remote, "/api/action", {"name": "freeze", "on": True})
        running.wait(lambda state: state.frozen)
        assert remote.server is not None
        with socket.create_connection(("127.0.0.1", remote.server.port), timeout=10) as viewer:
            viewer.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{remote.server.port}\r\n\r\n".encode())
            data = b""
            while b"image/jpeg" not in data:
                part = viewer.recv(4096)
                assert part, data
                data += part
            running.session.stop.set()
            began = time.monotonic()
            remote.close()
            while viewer.recv(65536):  # the stream ends
                pass
            assert time.monotonic() - began < 3


def test_the_browsers_camera_is_dreamed_on_and_left_again() -> None:
    calm = {"iterations": 0, "warm_iterations": 0}
    with live(GRAPH, settings=calm) as running, Remote(running.session, port=0, osc=False, midi=()) as remote:
        running.wait(lambda state: state.dreamed > 2)
        green = encode_jpeg(np.full((100, 150, 3), (20, 200, 60), np.uint8))

        def mean_and_spread() -> tuple[np.ndarray, float]:
            frame = running.session.output.latest()
            assert frame is not None
            return frame.pixels.mean(axis=(0, 1)), float(frame.pixels.std())

        def is_green() -> bool:
            ask(remote, "/api/camera", green, "image/jpeg")
            return bool(np.abs(mean_and_spread()[0] - (20, 200, 60)).max() < 15)

        wait_for(is_green)
        wait_for(lambda: is_green() and ask(remote, "/api/state")["state"]["source"]["text"] == "browser")
        ask(remote, "/api/camera/leave", {})
        running.wait(lambda state: state.source.text == GRAPH)
        wait_for(lambda: np.abs(mean_and_spread()[0] - (20, 200, 60)).max() > 40)


def test_an_animation_takes_no_camera() -> None:
    with live("noise") as running, Remote(running.session, port=0, osc=False, midi=()) as remote:
        green = encode_jpeg(np.full((60, 80, 3), (20, 200, 60), np.uint8))
        assert "takes no camera" in ask(remote, "/api/camera", green, "image/jpeg")["error"]
        names = {one["name"] for one in ask(remote, "/api/inventory")["presets"]}
        assert {"infinite-zoom", "spiral"} <= names
        assert "plants" not in names
