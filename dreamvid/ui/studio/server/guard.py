"""Let nobody in but the studio's own page: a guard in front of everything that the server answers.

- **DNS rebinding.** A foreign page can let its name lead to 127.0.0.1. Requests whose Host is not the studio's address
  are refused.
- **Requests of other pages** (CSRF). Whatever has the Origin of another page, or was sent by one, is refused. What
  changes something needs the studio's own Origin, or a header that other pages cannot send.
- **Logins.** Any address but this machine's own needs one. It is checked before anything else is answered.
- **Gradio's other doors.** Only the paths that the page needs exist: no uploads, files, proxies or APIs of Gradio's.
- **Files in events.** A value that says that it is a file would make Gradio copy any file, or fetch any address, as it
  checks neither in a program that mounts it. The page's components have no such values: events with one are refused.
"""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dreamvid.errors import InputError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OWN_HEADER = "x-dreamvid-studio"
"""A header that the page's own scripts send; a page of another origin would have to ask first, and is refused."""

_PATHS = ("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", "/live")
_PREFIXES = (
    *("/studio/", "/live/", "/assets/", "/static/", "/svelte/"),
    *("/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/startup-events", "/gradio_api/run/"),
    *("/gradio_api/reset", "/gradio_api/cancel", "/gradio_api/theme.css"),
)
_EVENTS = ("/gradio_api/run/", "/gradio_api/queue/join")
_UPLOAD = "/studio/upload"
_LARGEST_BODY = 4 << 20
_WRONG_LOGIN_SECONDS = 0.5
_CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = (
    (b"content-security-policy", _CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Login:
    """The one user who may come in."""

    user: str
    password: str

    def accepts(self, header: str) -> bool:
        """Check an Authorization header; takes the same time for every wrong one of a length."""
        scheme, _, rest = header.partition(" ")
        try:
            given = base64.b64decode(rest.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


def is_this_machine(address: str) -> bool:
    """Tell whether an address to listen on can be reached from this machine only."""
    try:
        return address == "localhost" or ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(address: str, login: Login | None) -> None:
    """Raise InputError for an address that others can reach, without a login."""
    if login is None and not is_this_machine(address):
        raise InputError(
            f"the address {address} can be reached from other machines, which needs a login. Add `auth='NAME'`, or "
            "leave `listen` out and use a tunnel: ssh -L 7870:127.0.0.1:7870 MACHINE"
        )


class Guard:
    """The ASGI application in front of another one. address: what the server listens on. login: None for none.

    paths: what exists besides the studio's own, each a path or a prefix that ends with `/`.
    """

    def __init__(self, app: App, address: str, login: Login | None, paths: Iterable[str] = ()) -> None:
        self._app, self._login = app, login
        self._only_this_machine = is_this_machine(address)
        self._names = {"localhost"} if self._only_this_machine else {"localhost", address, socket.gethostname()}
        self._paths = (*_PATHS, *(path for path in paths if not path.endswith("/")))
        self._prefixes = (*_PREFIXES, *(path for path in paths if path.endswith("/")))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None and self._login is not None and not self._login.accepts(headers.get("authorization", "")):
            if headers.get("authorization"):
                await asyncio.sleep(_WRONG_LOGIN_SECONDS)
            refusal = 401, "Log in."
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        if scope["path"] != _UPLOAD:
            receive = _limited(receive)
        if scope["path"].startswith(_EVENTS):
            body, receive = await _read(receive)
            if _has_object(body):
                await _refuse(scope, send, 400, "An event has numbers and texts only.")
                return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, scope: MutableMapping[str, Any], headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_own_host(host):
            return 421, "This is not the studio's address."
        names = [name for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in (b"host", b"origin", b"authorization", b"content-length")):
            return 400, "A header is there twice."
        origin = headers.get("origin")
        if origin is not None and (urlsplit(origin).netloc != host or urlsplit(origin).scheme not in ("http", "https")):
            return 403, "Other pages may not use the studio."
        method = scope.get("method", "GET")
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            opens_page = method == "GET" and scope["path"] == "/" and headers.get("sec-fetch-dest") == "document"
            if not opens_page:
                return 403, "Other pages may not use the studio."
        own = origin is not None or OWN_HEADER in headers
        if (method not in ("GET", "HEAD") or scope["type"] == "websocket") and not own:
            return 403, f"Send the header {OWN_HEADER}."
        path = scope["path"]
        if path not in self._paths and not path.startswith(self._prefixes):
            return 404, "There is nothing here."
        if not headers.get("content-length", "0").isdigit():
            return 400, "The length is not a number."
        if path != _UPLOAD and int(headers.get("content-length", "0")) > _LARGEST_BODY:
            return 413, "This is too large."
        return None

    def _is_own_host(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.path or not host:
            return False
        if name.lower() in {own.lower() for own in self._names}:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._only_this_machine  # a number is never a rebound name


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > _LARGEST_BODY:
            return {"type": "http.disconnect"}
        return message

    return limited


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """Read a request's body; return it, and a function that gives it again."""
    messages: list[Message] = []
    while True:
        messages.append(await receive())
        if messages[-1]["type"] != "http.request" or not messages[-1].get("more_body"):
            break
    again = iter(messages)

    async def replayed() -> Message:
        message = next(again, None)
        return await receive() if message is None else message

    return b"".join(message.get("body", b"") for message in messages), replayed


def _has_object(body: bytes) -> bool:
    """Tell whether a value of an event is, or holds, an object; a body that is no event is left to whoever reads it."""
    try:
        event = json.loads(body)
    except RecursionError:
        return True
    except ValueError:
        return False
    waiting = [event.get("data")] if isinstance(event, dict) else []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            return True
        if isinstance(value, list):
            waiting += value
    return False


def _with_headers(send: Send) -> Send:
    names = {name for name, _ in _HEADERS}

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in names and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return with_headers


async def _refuse(scope: MutableMapping[str, Any], send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="dreamvid studio", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
