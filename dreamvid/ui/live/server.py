"""Serve the page over HTTP, with the standard library, to a bounded number of clients."""

import http.cookies
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from dreamvid import __version__
from dreamvid.errors import InputError
from dreamvid.ui.live.guard import LOOPBACK, Guard, is_loopback, make_token
from dreamvid.ui.live.message import Request, Response, refusal
from dreamvid.ui.live.page import SECURITY_HEADERS, LivePage

DEFAULT_PORT = 8765
_MOST_CONNECTIONS = 256
_MOST_OF_A_CLIENT = 128
_PATIENCE_SECONDS = 10.0  # for a request that does not come to its end, and for a picture that is not taken
# Pictures that wait in the system are old when they arrive: room for one or two.
_SEND_BUFFER = 128 * 1024
_LONGEST_ADDRESS = 2048
_MOST_HEADERS = 64


class LiveServer:
    """The page at an address and port, in threads of its own, until it is closed.

    address: 127.0.0.1, or another address of this machine, for which a token is made if none is given. port: 0 takes a
    free one. Raises InputError for a port that is in use and for an address that this machine does not have.
    """

    def __init__(
        self, page: LivePage, *, address: str = LOOPBACK, port: int = DEFAULT_PORT, token: str | None = None
    ) -> None:
        self.token = None if is_loopback(address) else token or make_token()
        try:
            self._server = _Server(page, address, port)
        except (OSError, OverflowError) as error:
            raise InputError(_cannot_listen(error, address, port)) from None
        self.address, self.port = address, int(self._server.server_address[1])
        self._server.guard = Guard(address, self.port, self.token)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="live page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to open: with the token, if there is one."""
        return self.url_of("/")

    def url_of(self, path: str) -> str:
        """Return the address of a path of the page."""
        name = _reachable_name(self.address)
        query = "" if self.token is None else f"?{urlencode({'token': self.token})}"
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}{path}{query}"

    def close(self) -> None:
        """Stop: no request is answered any more, and all connections end."""
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()


def _cannot_listen(error: OSError | OverflowError, address: str, port: int) -> str:
    if isinstance(error, OverflowError):
        return f"`port` must be from 0 to 65535, got {port}."
    if isinstance(error, socket.gaierror):
        return f"{address!r} is no address. Give `listen` an address of this machine, such as 0.0.0.0 for all of them."
    import errno

    if error.errno == errno.EADDRINUSE:
        return f"The port {port} is in use on {address}. Choose another one with `port`, such as `port={port + 1}`."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine does not have the address {address}. Give `listen` one that it has, or 0.0.0.0 for all."
    return f"The page cannot be opened on {address}, port {port}: {error.strerror}. Choose another `port`."


def _reachable_name(address: str) -> str:
    """Return an address by which others reach this machine where it listens on all."""
    with suppress(ValueError):
        if not ipaddress.ip_address(address).is_unspecified:
            return address
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
            return str(probe.getsockname()[0])
        return socket.gethostname()
    return address


class _Server(ThreadingHTTPServer):
    """Bounds the connections: of all clients together, and of each one."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True  # a session that ended a moment ago does not block its port
    request_queue_size = 128
    guard: Guard

    def __init__(self, page: LivePage, address: str, port: int) -> None:
        self.page = page
        self._open: dict[socket.socket, str] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the machine's name, which can take seconds."""
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # on Windows `allow_reuse_address` would share a port in use
            self.allow_reuse_address = False
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        socketserver_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, unless there are too many."""
        client = str(client_address[0])
        with self._lock:
            of_client = sum(1 for other in self._open.values() if other == client)
            taken = len(self._open) < _MOST_CONNECTIONS and of_client < _MOST_OF_A_CLIENT
            if taken:
                self._open[request] = client
        if not taken:
            with suppress(OSError):
                request.settimeout(0.1)
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            super().shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End the connections that are open."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone."""


def socketserver_bind(server: ThreadingHTTPServer) -> None:
    """Bind a server's socket as `socketserver` does."""
    import socketserver

    socketserver.TCPServer.server_bind(server)
    server.server_name, server.server_port = str(server.server_address[0]), int(server.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    """Reads requests, asks the guard and sends what the page responds."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = f"dreamvid/{__version__}"
    sys_version = ""
    timeout = _PATIENCE_SECONDS

    def setup(self) -> None:
        """Make the connection quick: small buffers, no waiting for more to send."""
        super().setup()
        with suppress(OSError):
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer()

    def do_POST(self) -> None:
        """Answer."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Write no log: requests come many times a second."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that http.server does not understand, without repeating its words."""
        self.close_connection = True
        self.request_version = self.protocol_version  # a request that was not read has none
        self._send(refusal(code, self.responses.get(code, ("The request is not understood.", ""))[0]))

    def _answer(self) -> None:
        try:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, max_num_fields=8))
        except ValueError:
            self._refuse(400, "The address is not understood.")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        client = str(self.client_address[0])
        if len(self.path) > _LONGEST_ADDRESS or len(headers) > _MOST_HEADERS:
            self._refuse(414, "The address is too long.")
            return
        guard = self.server.guard
        refused = guard.check(client, self.command, headers, query.get("token") or self._cookie(headers))
        if refused is not None:
            self._refuse(refused.status, refused.reason)
            return
        if "token" in query:
            self._keep_token(parts.path, query)
            return
        body = self._body(headers, parts.path)
        if body is None:
            return
        method = "GET" if self.command == "HEAD" else self.command
        try:
            response = self.server.page.respond(Request(method, parts.path, query, headers, body, client))
        except Exception as error:  # a mistake in dreamvid; the session goes on
            response = refusal(500, f"This is a bug in dreamvid ({type(error).__name__}: {error}). Please report it.")
        self._send(response)

    def _body(self, headers: dict[str, str], path: str) -> bytes | None:
        """Read the body; None where it is refused."""
        if "transfer-encoding" in headers:
            self._refuse(411, "The length of the body must be given.")
            return None
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            length = -1
        most = self.server.page.longest_body(path)
        if not 0 <= length <= most:
            self._refuse(413, f"The body may have {most} bytes.")
            return None
        body = bytearray()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(body) < length:
            part = self.rfile.read1(length - len(body))
            if not part or time.monotonic() > deadline:
                self.close_connection = True
                return None
            body += part
        return bytes(body)

    def _cookie(self, headers: dict[str, str]) -> str | None:
        try:
            cookies = http.cookies.SimpleCookie(headers.get("cookie", ""))
        except http.cookies.CookieError:
            return None
        morsel = cookies.get(self.server.guard.cookie)
        return None if morsel is None else morsel.value

    def _keep_token(self, path: str, query: dict[str, str]) -> None:
        """Move the token from the address to a cookie, so that it is in no history and no picture of the screen."""
        token = self.server.guard.token
        rest = urlencode({name: value for name, value in query.items() if name != "token"})
        # A path that begins with two slashes, or with a backslash, would lead to another host.
        headers = {"Location": f"/{quote(path.lstrip('/'))}{f'?{rest}' if rest else ''}"}
        if token is not None:
            headers["Set-Cookie"] = f"{self.server.guard.cookie}={token}; HttpOnly; SameSite=Strict; Path=/"
        self._send(Response(303, headers=headers))

    def _refuse(self, status: int, reason: str) -> None:
        self.close_connection = True  # its body is not read
        self._send(refusal(status, reason))

    def _send(self, response: Response) -> None:
        body = response.body
        try:
            self.send_response(response.status)
            self.send_header("Content-Type", response.kind)
            self.send_header("Cache-Control", "no-store")
            for name, value in {**SECURITY_HEADERS, **response.headers}.items():
                self.send_header(name, value)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
            else:
                self.close_connection = True
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self._send_body(body)
        except OSError:  # the client is gone, or does not take what it asked for
            self.close_connection = True

    def _send_body(self, body: bytes | Iterator[bytes]) -> None:
        if isinstance(body, bytes):
            self.wfile.write(body)
            return
        try:
            for part in body:
                self.wfile.write(part)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
