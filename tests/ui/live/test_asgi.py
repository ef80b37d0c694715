"""The page below an address of another program, which is an ASGI application."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from small_live import SmallLive

from dreamvid.ui.live.asgi import live_application
from dreamvid.ui.live.page import LivePage


@pytest.fixture
def host() -> Iterator[SmallLive]:
    with SmallLive(fps=60) as host:
        yield host


@pytest.fixture
def page(host: SmallLive) -> Iterator[LivePage]:
    page = LivePage(host)
    yield page
    page.close()


Sent = list[dict[str, Any]]


async def ask(page: LivePage, method: str, path: str, body: bytes = b"", most_parts: int = 10**9) -> Sent:
    """Send a request as a server does, mounted at /live; hang up after a number of parts."""
    sent: Sent = []
    enough = asyncio.Event()
    # The body comes in two pieces.
    pieces = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:], "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        if pieces:
            return pieces.pop(0)
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))
        if len(sent) > most_parts:
            enough.set()

    scope = {
        "type": "http",
        "method": method,
        "path": f"/live{path}",
        "root_path": "/live",
        "query_string": b"n=1",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    await asyncio.wait_for(live_application(page)(scope, receive, send), 30)
    return sent


def test_pages_states_and_changes(page: LivePage, host: SmallLive) -> None:
    start, end = asyncio.run(ask(page, "GET", "/"))
    assert start["status"] == 200
    assert (b"x-content-type-options", b"nosniff") in start["headers"]
    assert b"<title>dreamvid live</title>" in end["body"]
    body = json.dumps({"name": "step_size", "value": 0.05}).encode()
    _, end = asyncio.run(ask(page, "POST", "/api/set", body))
    assert json.loads(end["body"]) == {"value": 0.05}
    assert host.controls.values()["step_size"] == 0.05
    start, _ = asyncio.run(ask(page, "POST", "/api/set", b"x" * 100_000))
    assert start["status"] == 413
    _, end = asyncio.run(ask(page, "HEAD", "/"))
    assert end["body"] == b""


def test_a_stream_ends_when_the_viewer_is_gone_and_when_the_page_is_closed(page: LivePage) -> None:
    sent = asyncio.run(ask(page, "GET", "/stream", most_parts=8))
    assert sent[0]["status"] == 200
    assert sum(b"image/jpeg" in part.get("body", b"") for part in sent[1:]) >= 5
    assert page.jpeg.viewers == 0

    async def closed_meanwhile() -> Sent:
        asyncio.get_running_loop().call_later(0.5, page.jpeg.close)
        return await ask(page, "GET", "/stream")

    sent = asyncio.run(closed_meanwhile())
    assert sent[-1] == {"type": "http.response.body", "body": b""}
