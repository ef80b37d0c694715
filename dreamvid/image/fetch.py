"""Images from the web: http and https only, within limits, and not from the machine's own network."""

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urljoin, urlsplit

import numpy as np
import numpy.typing as npt

from dreamvid import __version__
from dreamvid.errors import SourceError
from dreamvid.image.io import decode_image

LARGEST_BYTES = 64 * 2**20
SECONDS = 30.0
_REDIRECTS = 5
_CHUNK = 64 * 1024

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MOVED = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_address(text: str) -> bool:
    """Tell an address on the web (`SCHEME://…`, of whatever scheme) from the name of a file."""
    return _ADDRESS.match(text) is not None


def is_public(address: IpAddress) -> bool:
    """Tell whether an IP address is one of the public internet: not private, loopback, link-local, reserved, multicast.

    An IPv6 address that stands for an IPv4 one is judged by that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def file_stem(url: str) -> str:
    """Name a result after an address: `https://a.org/b/my%20dog.jpg?x=1` → `my-dog`."""
    try:
        stem = PurePosixPath(unquote(urlsplit(url).path)).stem
    except ValueError:  # `fetch` says what is wrong with it
        stem = ""
    return re.sub(r"[^\w.-]+", "-", stem).strip(".-") or "image"


def fetch_image(url: str, *, allow_private_addresses: bool = False) -> npt.NDArray[np.uint8]:
    """Fetch an image as uint8 RGB of shape (H, W, 3), upright; `fetch` says how, and what is raised."""
    data = fetch(url, allows=(lambda _: True) if allow_private_addresses else is_public)
    return decode_image(data, url)


def fetch(
    url: str,
    *,
    allows: Callable[[IpAddress], bool] = is_public,
    largest_bytes: int = LARGEST_BYTES,
    seconds: float = SECONDS,
) -> bytes:
    """Fetch what an http or https address holds.

    allows: whether a connection to an IP address may be made. The host is resolved once, all that it resolves to is
    asked for, and the connection goes to what was asked for: a name that means something else a moment later changes
    nothing. Redirects, up to 5, are judged like the first address. seconds: for all of it together, but for the
    system's own look-up of names. No proxy is used, and no password is sent.

    Raises SourceError for another scheme, an address that is not allowed, a server that cannot be reached, is too slow
    or says no, and for more than `largest_bytes`.
    """
    end = time.monotonic() + seconds
    place = url
    for _ in range(_REDIRECTS + 1):
        try:
            with _asked(place, allows, end) as response:
                if response.status not in _MOVED:
                    return _body(response, url, largest_bytes)
                moved = response.headers.get("Location", "")
        except TimeoutError:
            raise SourceError(
                f"{url} did not arrive within {seconds:g} s. Try again, or save the image with a browser first."
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"{place} does not prove that it is who it says: {error.verify_message}.") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceError(f"cannot fetch {url}: {reason}. Look whether the address opens in a browser.") from error
        place = urljoin(place, moved)
    raise SourceError(f"{url} leads from one address to the next, more than {_REDIRECTS} times.")


@contextmanager
def _asked(url: str, allows: Callable[[IpAddress], bool], end: float) -> Iterator[http.client.HTTPResponse]:
    """Send the request for `url`; the connection lasts as long as the context."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(f"{url!r} is no address: {error}. Such as https://example.org/dog.jpg") from None
    if parts.scheme not in ("http", "https"):
        raise SourceError(
            f"Images are fetched by http and https only, not by {parts.scheme!r}: {url}. Or give an image's file."
        )
    if not host:
        raise SourceError(f"{url!r} is no address: it names no host. Such as https://example.org/dog.jpg")
    if parts.username is not None or parts.password is not None:
        raise SourceError(f"The address of {host} holds a user's name or password; these are not sent. Leave them out.")
    secure = parts.scheme == "https"
    with _connect(url, host, port or (443 if secure else 80), allows, end) as plain:
        wire = plain
        if secure:
            wire.settimeout(_left(end))
            wire = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        with wire:
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            connection = kind(host, port)
            connection.sock = _Wire(wire, end)
            target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
                "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]") if parts.query else ""
            )
            headers = {"User-Agent": f"dreamvid/{__version__}", "Accept": "image/*", "Connection": "close"}
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as response:
                yield response


def _connect(url: str, host: str, port: int, allows: Callable[[IpAddress], bool], end: float) -> socket.socket:
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in places:
        address = ipaddress.ip_address(str(place[0]))
        if not allows(address):
            raise SourceError(
                f"{url} leads to {address}, an address inside of this machine or network. If that is what you want, "
                "add `allow_private_addresses=True`."
            )
    failure: OSError | None = None
    for family, kind, protocol, _, place in places:
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(_left(end))
            wire.connect(place)
            return wire
        except OSError as error:
            wire.close()
            failure = error
    raise failure or OSError(f"{host} has no address")


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Wire(io.RawIOBase):
    """A socket of which every read has only the time that is left for the whole; what `http.client` needs of one.

    A timeout of the socket's own would begin anew with every byte that a slow server sends.
    """

    def __init__(self, wire: socket.socket, end: float) -> None:
        self._wire = wire
        self._end = end

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(_left(self._end))
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Wire(self._wire, self._end), _CHUNK)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        self._wire.settimeout(_left(self._end))
        return self._wire.recv_into(buffer)


def _body(response: http.client.HTTPResponse, url: str, largest_bytes: int) -> bytes:
    if response.status != 200:
        raise SourceError(f"{url} cannot be had: the server says {response.status} {response.reason}.")
    said = response.headers.get("Content-Length", "")
    length = int(said) if said.isascii() and said.isdigit() and len(said) < 20 else None
    data = bytearray()
    while length is None or length <= largest_bytes:
        chunk = response.read(_CHUNK)
        data += chunk
        if len(data) > largest_bytes:
            break
        if chunk:
            continue
        if length is not None and len(data) < length:
            raise SourceError(f"{url} broke off after {len(data):,} of {length:,} bytes. Try again.")
        return bytes(data)
    raise SourceError(f"{url} is larger than {largest_bytes / 2**20:g} MiB. Save and shrink the image first.")
