"""Decide whether a request may come in: its address, its origin, its token, its size and its rate.

On the loopback address anybody on this machine may use the page, but no web site: a site that a browser shows can send
requests to 127.0.0.1 as well. So the names in `Host` and `Origin` have to be ours, which also stops a foreign name that
was made to point here (DNS rebinding). On any other address a token is needed too.
"""

import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_MOST_CLIENTS = 1024  # addresses whose rate is remembered


def is_loopback(address: str) -> bool:
    """Return whether an address (or `localhost`) is reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def make_token() -> str:
    """Make a token that nobody guesses."""
    return secrets.token_urlsafe(18)


class Rate:
    """Lets each client through a number of times per second on average, with bursts. Any thread may ask."""

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic, most: int = _MOST_CLIENTS
    ) -> None:
        self._per_second, self._burst, self._clock, self._most = per_second, burst, clock, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, client: str, cost: float = 1.0) -> bool:
        """Count a request of a client; return whether it may pass."""
        now = self._clock()
        with self._lock:
            left, before = self._left.pop(client, (self._burst, now))
            left = min(self._burst, left + (now - before) * self._per_second)
            passes = left >= cost
            self._left[client] = (left - cost if passes else left, now)
            while len(self._left) > self._most:
                self._left.popitem(last=False)
            return passes


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused: an HTTP status and a sentence."""

    status: int
    reason: str


@dataclass(frozen=True)
class Guard:
    """Checks requests to a page at an address and port. token: needed unless None.

    cookie: its name, so that pages on several ports do not take each other's.
    """

    address: str
    port: int
    token: str | None = None
    changes: Rate = field(default_factory=lambda: Rate(200, 400))
    """Requests that change something, from one client address."""
    questions: Rate = field(default_factory=lambda: Rate(600, 1200))
    """All others."""
    guesses: Rate = field(default_factory=lambda: Rate(0.1, 5))
    """Wrong tokens."""

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds the token."""
        return f"dreamvid_live_{self.port}"

    def check(
        self, client: str, method: str, headers: Mapping[str, str], given_token: str | None, *, counts: bool = True
    ) -> Refusal | None:
        """Return why a request is refused, None if it may pass.

        client: the address that it comes from. headers: with names in lower case. given_token: the token in its
        address or its cookie. counts: whether it counts for the client's rate.
        """
        if not self.names_us(headers.get("host", "")):
            return Refusal(403, "This page has another address. Open it by the address that dreamvid printed.")
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin):
            return Refusal(403, "Requests from other sites are refused.")
        if headers.get("sec-fetch-site") == "cross-site" and not _opens_page(method, headers):
            return Refusal(403, "Requests from other sites are refused.")
        if self.token is not None and not self._knows(given_token):
            if given_token and not self.guesses.allows(client):
                return Refusal(429, "Too many wrong tokens. Wait a minute.")
            return Refusal(403, "A token is needed. Open the address that dreamvid printed, with its ?token=…")
        rate = self.questions if method in ("GET", "HEAD") else self.changes
        if counts and not rate.allows(client):
            return Refusal(429, "Too many requests.")
        return None

    def names_us(self, host: str) -> bool:
        """Return whether a `Host` header names this server.

        On another address than the loopback every IP address does, as a name cannot be rebound to one, and so does the
        name of this machine.
        """
        try:
            parts = urlsplit(f"//{host}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        if port != self.port or parts.username is not None or parts.path:
            return False
        if name in _LOOPBACK_NAMES or name == self.address:
            return True
        if is_loopback(self.address):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            own = socket.gethostname().lower()
            return name in (own, f"{own}.local")
        return True

    def _is_ours(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return scheme == "http" and self.names_us(host)

    def _knows(self, given: str | None) -> bool:
        return self.token is not None and hmac.compare_digest((given or "").encode(), self.token.encode())


def _opens_page(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a person follows a link to the page, which a foreign site may have."""
    return (
        method == "GET" and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )
