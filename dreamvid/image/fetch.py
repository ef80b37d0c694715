"""Fetch images from the web: by http and https only, within limits, not from the machine's own network."""

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
    """Tell an address on the web (`SCHEME://…`, of any scheme) from the name of a file."""
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

    allows: tells whether a connection to an IP address may be made. The host name is resolved once, all addresses that
    it resolves to are checked, and the connection goes to a checked one, so a name that resolves differently a moment
    later changes nothing. Redirects, up to 5, are checked like the first address. seconds: the limit for all of it
    together, except for the system's own look-up of names. No proxy is used, and no password is sent.

    Raises SourceError for another scheme, an address that is not allowed, a server that cannot be reached, is too slow
    or refuses, and for more than `largest_bytes`.
    """
    end = time.monotonic() + seconds
    current = url
    for _ in range(_REDIRECTS + 1):
        try:
            with _requested(current, allows, end) as response:
                if response.status not in _MOVED:
                    return _body(response, url, largest_bytes)
                moved = response.headers.get("Location", "")
        except TimeoutError:
            raise SourceError(
                f"{url} did not arrive within {seconds:g} s. Try again, or save the image with a browser first."
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise SourceError(f"{current} does not prove that it is who it says: {error.verify_message}.") from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceError(f"cannot fetch {url}: {reason}. Look whether the address opens in a browser.") from error
        current = urljoin(current, moved)
    raise SourceError(f"{url} leads from one address to the next, more than {_REDIRECTS} times.")


@contextmanager
def _requested(url: str, allows: Callable[[IpAddress], bool], end: float) -> Iterator[http.client.HTTPResponse]:
    """Send the request for `url`; the connection is open as long as the context."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SourceError(f"{url!r} is not an address: {error}. Such as https://example.org/dog.jpg") from None
    if parts.scheme not in ("http", "https"):
        raise SourceError(
            f"Images are fetched by http and https only, not by {parts.scheme!r}: {url}. Or give an image's file."
        )
    if not host:
        raise SourceError(f"{url!r} is not an address: it names no host. Such as https://example.org/dog.jpg")
    if parts.username is not None or parts.password is not None:
        raise SourceError(f"The address of {host} holds a user's name or password; these are not sent. Leave them out.")
    secure = parts.scheme == "https"
    with _connect(url, host, port or (443 if secure else 80), allows, end) as plain:
        wire = plain
        if secure:
            wire.settimeout(_remaining(end))
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
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, socket_address in found:
        address = ipaddress.ip_address(str(socket_address[0]))
        if not allows(address):
            raise SourceError(
                f"{url} leads to {address}, an address inside this machine or network. If that is what you want, "
                "add `allow_private_addresses=True`."
            )
    failure: OSError | None = None
    for family, kind, protocol, _, socket_address in found:
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(_remaining(end))
            wire.connect(socket_address)
            return wire
        except OSError as error:
            wire.close()
            failure = error
    raise failure or OSError(f"{host} has no address")


def _remaining(end: float) -> float:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Wire(io.RawIOBase):
    """A socket with a deadline for all reads together, with as much of an interface as `http.client` needs.

    A timeout of the socket itself would start again with every byte that a slow server sends.
    """

    def __init__(self, wire: socket.socket, end: float) -> None:
        self._wire = wire
        self._end = end

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(_remaining(self._end))
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Wire(self._wire, self._end), _CHUNK)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int] | bytearray") -> int:  # type: ignore[override]
        self._wire.settimeout(_remaining(self._end))
        return self._wire.recv_into(buffer)


def _body(response: http.client.HTTPResponse, url: str, largest_bytes: int) -> bytes:
    if response.status != 200:
        raise SourceError(f"{url} cannot be fetched: the server answers {response.status} {response.reason}.")
    declared = response.headers.get("Content-Length", "")
    length = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else None
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
