"""Mount the page of a live session in a program that is an ASGI application, such as one of FastAPI.

    application.mount("/live", live_application(page))

The application asks nobody who they are: it is for programs that check `Host`, `Origin` and logins themselves, for all
of their addresses. `server.py` is the server that does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from dreamvid.ui.live.message import Request, Response, refusal
from dreamvid.ui.live.page import MOST_VIEWERS, SECURITY_HEADERS, LivePage

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_THREADS = MOST_VIEWERS + 16  # each stream waits for its next picture in one


def live_application(page: LivePage) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Make an ASGI application of a page. Close the page at the end: all streams end with it."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="live page")

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"
        body = await _body(receive, page.longest_body(path))
        loop = asyncio.get_running_loop()
        if body is None:
            await _send(refusal(413, f"The body may have {page.longest_body(path)} bytes."), receive, send, threads)
            return
        head = scope["method"] == "HEAD"
        request = Request(
            "GET" if head else scope["method"],
            path,
            dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            body,
            (scope.get("client") or ("",))[0],
        )
        response = await loop.run_in_executor(threads, page.respond, request)
        await _send(response, receive, send, threads, with_body=not head)

    return application


async def _body(receive: Receive, most: int) -> bytes | None:
    """Read a request's body; None where it is longer than it may be."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return body


async def _send(
    response: Response, receive: Receive, send: Send, threads: ThreadPoolExecutor, *, with_body: bool = True
) -> None:
    headers = {"Content-Type": response.kind, "Cache-Control": "no-store", **SECURITY_HEADERS, **response.headers}
    if isinstance(response.body, bytes):
        headers["Content-Length"] = str(len(response.body))
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    if isinstance(response.body, bytes):
        await send({"type": "http.response.body", "body": response.body if with_body else b""})
        return
    if with_body:
        await _send_parts(response.body, receive, send, threads)
    await send({"type": "http.response.body", "body": b""})


async def _send_parts(parts: Iterator[bytes], receive: Receive, send: Send, threads: ThreadPoolExecutor) -> None:
    """Send parts until there are no more, or the client is gone."""
    loop = asyncio.get_running_loop()
    gone = asyncio.ensure_future(_gone(receive))
    try:
        while not gone.done():
            part = await loop.run_in_executor(threads, next, parts, None)
            if part is None:
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
    finally:
        gone.cancel()
        close = getattr(parts, "close", None)
        if close is not None:
            with suppress(ValueError):  # a part is being made: the iterator ends when it is thrown away
                await loop.run_in_executor(threads, close)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
