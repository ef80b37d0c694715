"""Images from the web, by real servers on this machine."""

import http.server
import ipaddress
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import imageio.v3 as iio
import numpy as np
import pytest

from dreamvid.errors import SourceError
from dreamvid.image.fetch import IpAddress, fetch, fetch_image, file_stem, is_address, is_public
from dreamvid.video.still import read_frame

IMAGE = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PNG = iio.imwrite("<bytes>", IMAGE, extension=".png")


def anywhere(address: IpAddress) -> bool:
    return True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        getattr(self, "get_" + self.path.strip("/").split("/")[0].split("?")[0].replace(".", "_"), self.get_missing)()

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def get_image_png(self) -> None:
        self.answer(PNG, Content_Type="image/png")

    def get_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(PNG), 1000):
            part = PNG[start : start + 1000]
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def get_page(self) -> None:
        self.answer(b"<html>no image</html>", Content_Type="image/png")

    def get_postscript(self) -> None:
        self.answer(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) print\n", Content_Type="image/x-eps")

    def get_broken(self) -> None:
        self.answer(PNG[:200], Content_Length=str(len(PNG)))

    def get_announced(self) -> None:
        self.answer(b"", Content_Length=str(10**12))

    def get_endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass
        self.close_connection = True

    def drip(self, byte: bytes) -> None:
        """A byte from time to time, so that no single read takes long."""
        try:
            while not self.server.over.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(byte)
        except OSError:
            pass
        self.close_connection = True

    def get_slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"x")

    def get_slowest(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        self.drip(b"x")

    def get_moved(self) -> None:
        """/moved/STATUS/REST leads to REST, a quoted address."""
        _, _, status, rest = self.path.split("/", 3)
        self.answer(b"", int(status), Location=unquote(rest))

    def get_loop(self) -> None:
        self.answer(b"", 302, Location="/loop")

    def get_missing(self) -> None:
        self.answer(b"nothing", 404)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with serving() as server:
        yield server


class serving(http.server.ThreadingHTTPServer):  # noqa: N801 - a context, used like a function
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> "serving":
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.mark.parametrize("path", ["image.png", "image.png?size=2&x=a b", "chunked"])
def test_an_image_arrives_as_it_is(server: serving, path: str) -> None:
    assert (fetch_image(f"{server.url}/{path}", allow_private_addresses=True) == IMAGE).all()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server: serving, status: int) -> None:
    there = f"{server.url}/moved/{status}//image.png"
    assert (read_frame(there, allow_private_addresses=True) == IMAGE).all()
    absolute = f"{server.url}/moved/{status}/http%3A//localhost:{server.server_port}/image.png"
    assert fetch(absolute, allows=anywhere) == PNG


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_asked_unless_it_is_allowed(server: serving, host: str) -> None:
    before = list(server.asked)
    with pytest.raises(SourceError, match=r"inside this machine or network.*`allow_private_addresses=True`"):
        fetch_image(f"http://{host}:{server.server_port}/image.png")
    assert server.asked == before


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("http%3A//127.0.0.2/x.png", "127.0.0.2, an address inside"),
        ("http%3A//169.254.169.254/latest/meta-data", "169.254.169.254, an address inside"),
        ("http%3A//[::1]/x.png", "::1, an address inside"),
        ("file%3A///etc/passwd", "by http and https only, not by 'file'"),
        ("ftp%3A//example.org/x.png", "by http and https only, not by 'ftp'"),
        ("http%3A//user%3Asecret@127.0.0.1/x.png", "Leave them out"),
    ],
)
def test_redirects_are_judged_like_the_first_address(server: serving, place: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        fetch(f"{server.url}/moved/302/{place}", allows=lambda address: str(address) == "127.0.0.1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("page", "cannot read .* as an image"),
        ("postscript", "cannot read .* as an image"),
        ("missing.png", "the server answers 404"),
        ("broken", "broke off after 200 of"),
        ("loop", "more than 5 times"),
        ("announced", "larger than 64 MiB"),
    ],
)
def test_what_is_no_image(server: serving, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        fetch_image(f"{server.url}/{path}", allow_private_addresses=True)


def test_a_body_without_end_is_left_at_the_limit(server: serving) -> None:
    with pytest.raises(SourceError, match="larger than 1 MiB"):
        fetch(f"{server.url}/endless", allows=anywhere, largest_bytes=2**20)


@pytest.mark.parametrize("path", ["slow", "slowest"])
def test_the_time_is_that_of_the_whole(server: serving, path: str) -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"within 0.4 s"):
        fetch(f"{server.url}/{path}", allows=anywhere, seconds=0.4)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1/x.png", "cannot fetch"),
        ("http://no-such-host.invalid/x.png", "cannot fetch"),
        ("http:///x.png", "names no host"),
        ("http://[::1/x.png", "is not an address"),
        ("http://127.0.0.1:99999/x.png", "is not an address"),
        ("gopher://127.0.0.1/x.png", "http and https only"),
        ("http://127.0.0.1:1/a\r\nX: y", "cannot fetch"),
        ("http://" + "a" * 300 + ".org/x.png", "cannot fetch"),
    ],
)
def test_addresses_that_lead_nowhere(url: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        fetch(url, allows=anywhere, seconds=5)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((address, True) for address in ("8.8.8.8", "151.101.1.1", "2606:4700::1111", "64:ff9b::808:808")),
        *((address, False) for address in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254")),
        *((address, False) for address in ("0.0.0.0", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255")),
        *((address, False) for address in ("::1", "::", "fe80::1", "fd00::1", "ff02::1", "2001:db8::1")),
        *((address, False) for address in ("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "fe80::1%eth0")),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_server_has_to_prove_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: serving) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate by openssl")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*words.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    with serving() as secure:
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        url = f"https://localhost:{secure.server_port}/image.png"
        with pytest.raises(SourceError, match="does not prove"):
            fetch(url, allows=anywhere)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate"))
        assert fetch(url, allows=anywhere) == PNG
        with pytest.raises(SourceError, match="does not prove"):  # the same machine by another name
            fetch(url.replace("localhost", "127.0.0.1"), allows=anywhere)
        with pytest.raises(SourceError, match="cannot fetch"):  # no https there
            fetch(server.url.replace("http", "https"), allows=anywhere)


def test_names() -> None:
    assert is_address("https://example.org/a.png")
    assert is_address("ftp://example.org/a.png")
    assert not any(map(is_address, ("a.png", "lavfi:testsrc", "C:/a.png", "clip.mp4@1:30", "./http/a.png")))
    assert file_stem("https://example.org/b/my%20dog.tar.jpg?x=1#y") == "my-dog.tar"
    assert file_stem("https://example.org/..%2f..%2fetc/%00") == "image"
    assert file_stem("https://example.org") == file_stem("http://[") == "image"
