"""The page's server: what it answers, and what it refuses."""

import functools
import json
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_live import SmallLive, number_of

from dreamvid.errors import InputError
from dreamvid.render.live.controls import Controls
from dreamvid.render.live.state import LiveState, SourceState
from dreamvid.settings import load_settings
from dreamvid.ui.live.command import as_command
from dreamvid.ui.live.guard import Guard, Rate
from dreamvid.ui.live.jpeg import encode_jpeg
from dreamvid.ui.live.message import Request
from dreamvid.ui.live.page import MOST_VIEWERS, LivePage
from dreamvid.ui.live.server import LiveServer


@pytest.fixture
def host() -> Iterator[SmallLive]:
    with SmallLive(fps=60) as host:
        yield host


@pytest.fixture
def server(host: SmallLive) -> Iterator[LiveServer]:
    yield from serving(host, "127.0.0.1")


@pytest.fixture
def open_server(host: SmallLive) -> Iterator[LiveServer]:
    """On all addresses, so with a token."""
    yield from serving(host, "0.0.0.0")


def serving(host: SmallLive, address: str) -> Iterator[LiveServer]:
    page = LivePage(host)
    server = LiveServer(page, address=address, port=0)
    try:
        yield server
    finally:
        server.close()
        page.close()


def request(
    server: LiveServer, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, dict):
        body, given = json.dumps(body).encode(), {"Content-Type": "application/json", **given}
    try:
        connection.request(method, path, body, given)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def stream(server: LiveServer) -> tuple[socket.socket, Any]:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    connection.sendall(f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    return connection, connection.makefile("rb")


def read_part(file: Any) -> np.ndarray:
    """Read one picture of a stream."""
    while not (line := file.readline()).startswith(b"Content-Length"):
        assert line, "the stream ended"
    data = file.read(int(line.split(b":")[1]) + 2)[2:]
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


# --- what it answers


def test_the_page_and_its_files_come_from_the_package_with_safe_headers(server: LiveServer) -> None:
    for path, kind in {
        "/": "text/html",
        "/output": "text/html",
        "/static/live.js": "text/javascript",
        "/static/live.css": "text/css",
    }.items():
        response, body = request(server, "GET", path)
        assert response.status == 200
        assert response.headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert b"//cdn" not in body
        assert "dreamvid" not in response.headers["Content-Type"]


def test_the_stream_shows_the_newest_frames(server: LiveServer, host: SmallLive) -> None:
    connection, file = stream(server)
    with connection, file:
        numbers = [number_of(read_part(file)) for _ in range(10)]
        assert numbers == sorted(set(numbers))
        latest = host.output.latest()
        assert latest is not None
        assert latest.number - numbers[-1] <= 3


def test_a_slow_viewer_gets_new_pictures_and_slows_nobody(server: LiveServer, host: SmallLive) -> None:
    slow, slow_file = stream(server)
    with slow, slow_file:
        read_part(slow_file)
        time.sleep(1.5)  # it takes nothing
        quick, quick_file = stream(server)
        with quick, quick_file:
            first = number_of(read_part(quick_file))
            began = time.monotonic()
            for _ in range(20):
                last = number_of(read_part(quick_file))
            assert (last - first) / (time.monotonic() - began) > 30
    assert host.controls.state() is not None


def test_a_hundred_viewers_are_served_and_one_more_is_told(server: LiveServer) -> None:
    viewers = [stream(server) for _ in range(MOST_VIEWERS)]
    try:
        for _, file in viewers:
            read_part(file)
        connection, file = stream(server)
        with connection, file:
            assert b"200" in file.readline()
            assert b"Content-Length" not in file.read()
    finally:
        for connection, file in viewers:
            file.close()
            connection.close()
    response, _ = request(server, "GET", "/api/state")
    assert response.status == 200


def test_too_many_connections_of_one_client_are_refused(server: LiveServer) -> None:
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(140)]
    try:
        held[-1].settimeout(5)
        assert b"503" in held[-1].recv(100)
    finally:
        for connection in held:
            connection.close()


def test_changes_arrive_in_the_next_frame(server: LiveServer, host: SmallLive) -> None:
    response, body = request(server, "POST", "/api/set", {"name": "step_size", "value": 0.05})
    assert (response.status, json.loads(body)) == (200, {"value": 0.05})
    request(server, "POST", "/api/preset", {"name": "plants", "seconds": 0})
    request(server, "POST", "/api/action", {"name": "freeze"})
    deadline = time.monotonic() + 5
    while "freeze" not in host.done and time.monotonic() < deadline:
        time.sleep(0.01)
    _, body = request(server, "GET", "/api/state")
    state = json.loads(body)
    assert state["state"]["frozen"] is True
    assert state["values"]["objective"] == "blocks.5.1"
    assert state["preset"] == "plants"


def test_the_inventory_names_all_that_the_page_shows(server: LiveServer, host: SmallLive) -> None:
    _, body = request(server, "GET", "/api/inventory")
    inventory = json.loads(body)
    assert [one["name"] for one in inventory["controls"]] == [one.name for one in host.controls.inventory()]
    step = next(one for one in inventory["controls"] if one["name"] == "step_size")
    assert step["limits"] == "above 0.0 up to 1.0"
    assert len(step["stops"]) == 101


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/set", {"name": "step_size", "value": 7}, "above 0.0 up to 1.0"),
        ("/api/set", {"name": "stepsize", "value": 0.1}, "step_size"),
        ("/api/set", {"name": "step_size", "value": [1]}, "must be a number"),
        ("/api/set", {"name": "step_size", "value": 0.1, "seconds": -1}, "from 0 to 600"),
        ("/api/set", {"name": "step_size", "value": 0.1, "seconds": "soon"}, "from 0 to 600"),
        ("/api/set", {"name": 3, "value": 0.1}, "`name` must be text"),
        ("/api/set", {"name": "mask", "value": "/etc/passwd"}, "cannot change"),
        ("/api/set", {"name": "weights", "value": "/etc/passwd"}, "cannot change"),
        ("/api/set", {"name": "objective", "value": 'guide("/etc/passwd")@blocks.3.2'}, "may read a file"),
        ("/api/set", {"name": "objective", "value": "lavfi:movie=/etc/passwd"}, "xpected"),
        ("/api/preset", {"name": "../../etc/passwd"}, "Allowed: animals"),
        ("/api/preset", {"name": "/tmp/x.toml"}, "Allowed: animals"),
        ("/api/action", {"name": "format"}, "freeze"),
        ("/api/action", {"name": "freeze", "on": "yes"}, "true or false"),
        ("/api/learn", {"name": "step_size"}, "no MIDI"),
    ],
)
def test_a_wrong_change_is_told(server: LiveServer, path: str, body: dict[str, Any], words: str) -> None:
    response, answer = request(server, "POST", path, body)
    assert response.status == 400
    assert words in json.loads(answer)["error"]


def test_a_browsers_camera_is_the_source(server: LiveServer, host: SmallLive) -> None:
    picture = np.full((120, 160, 3), (200, 30, 90), np.uint8)
    response, _ = request(server, "POST", "/api/camera", encode_jpeg(picture), Content_Type="image/jpeg")
    assert response.status == 200
    assert host.camera is not None
    assert host.camera.shape == (120, 160, 3)
    assert np.abs(host.camera.astype(int) - picture).max() < 12
    request(server, "POST", "/api/camera/leave", {})
    assert host.camera is None


def png() -> bytes:
    return cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", png(), encode_jpeg(np.zeros((4000, 4000, 3), np.uint8)), b"GIF89a" + bytes(40)]
)
def test_a_camera_sends_one_jpeg_of_a_bounded_size(server: LiveServer, host: SmallLive, data: bytes) -> None:
    response, _ = request(server, "POST", "/api/camera", data, Content_Type="image/jpeg")
    assert response.status == 400
    assert host.camera is None


def test_copy_as_command_names_what_differs(server: LiveServer) -> None:
    request(server, "POST", "/api/preset", {"name": "plants"})
    request(server, "POST", "/api/set", {"name": "half_life", "value": 2.5})
    request(server, "POST", "/api/set", {"name": "step_size", "value": "0.01 + 0.02*beat"})
    request(server, "POST", "/api/set", {"name": "keep_color", "value": True})
    _, body = request(server, "GET", "/api/command")
    assert json.loads(body)["command"] == (
        "dreamvid live camera:0 --to 'my stream.mp4' --preset plants --step-size '0.01 + 0.02*beat' --keep-color "
        "--half-life 2.5"
    )


def test_passwords_of_addresses_are_not_shown(server: LiveServer, host: SmallLive) -> None:
    host.command = ("dreamvid", "live", "rtsp://me:secret@camera/1", "--to", "srt://other:secret@host:9000")
    assert b"secret" not in request(server, "GET", "/api/command")[1]
    state = LiveState(source=SourceState("rtsp://me:secret@camera/1", "stalled", "rtsp://me:secret@camera/1 is gone"))
    host.controls.publish(state)
    assert b"secret" not in request(server, "GET", "/api/state")[1]


def test_the_command_has_what_cannot_change_too() -> None:
    session = load_settings("plants", model="squeezenet1_1", weights="random", objective="features.3", seed=7)
    controls = Controls(session)
    controls.set("octaves", 2)
    words = shlex.split(as_command(("dreamvid", "live", "camera:0"), session, controls))
    flags = dict(zip(words[3::2], words[4::2], strict=True))
    named = {name.removeprefix("--").replace("-", "_"): value for name, value in flags.items()}
    controls.settings(0.0)
    assert load_settings(None, **named) == load_settings(None, session, octaves=2)


# --- what it refuses


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:{port}", "null", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(server: LiveServer, host: SmallLive, origin: str) -> None:
    headers = {"Origin": origin.format(port=server.port)}
    for method, path, body in (("POST", "/api/action", {"name": "reset"}), ("GET", "/api/state", None)):
        response, _ = request(server, method, path, body, **headers)
        assert response.status == 403
    assert host.done == []
    response, _ = request(server, "GET", "/api/state", Origin=f"http://localhost:{server.port}")
    assert response.status == 200


@pytest.mark.parametrize(
    "name", ["evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "", "x@127.0.0.1:{port}"]
)
def test_a_foreign_host_is_refused(server: LiveServer, name: str) -> None:
    """A name that a stranger's DNS has made to point to 127.0.0.1."""
    response, body = request(server, "GET", "/api/state", Host=name.format(port=server.port))
    assert response.status == 403
    assert b"values" not in body


def test_an_image_on_another_site_is_refused_and_a_link_is_not(server: LiveServer) -> None:
    response, _ = request(server, "GET", "/picture.jpg", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="image")
    assert response.status == 403
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert request(server, "GET", "/", **link)[0].status == 200


def test_a_foreign_form_cannot_send_changes(server: LiveServer, host: SmallLive) -> None:
    """A form sends text/plain without asking first, and a browser of long ago no Origin."""
    body = b'{"name": "reset"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert request(server, "POST", "/api/action", body, Content_Type=kind)[0].status == 400
    assert host.done == []


@pytest.mark.parametrize(("path", "length"), [("/api/set", 20_000), ("/api/camera", 3_000_000), ("/nowhere", 10**12)])
def test_an_oversized_body_is_refused_before_it_is_read(server: LiveServer, path: str, length: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 1000)
        assert b" 413 " in connection.recv(100)


def test_bodies_without_a_length_and_nonsense_are_refused(server: LiveServer) -> None:
    start = f"POST /api/set HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    for text, status in (
        (start + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b" 411 "),
        (start + "Content-Length: -5\r\n\r\n", b" 413 "),
        (start + "Content-Length: five\r\n\r\n", b" 413 "),
        ("GET / HTTP/9.9\r\n\r\n", b" 505 "),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n", b" 501 "),
        ("GET " + "/" * 70_000 + " HTTP/1.1\r\n\r\n", b" 414 "),
        (start + "".join(f"X-{i}: 1\r\n" for i in range(200)) + "\r\n", b" 431 "),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(text.encode())
            assert status in connection.recv(200), text[:60]
    for body in (b"[1]", b"{", b"\xff\xfe", b"[" * 10_000):
        assert request(server, "POST", "/api/set", body, Content_Type="application/json")[0].status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/../page.py",
        "/static/%2e%2e/page.py",
        "/static/..%2fpage.py",
        "/static//etc/passwd",
        "/static/..\\page.py",
        "/static/live.js%00.css",
        "/../../../../etc/passwd",
        "//evil.example/",
        "/static/",
        "/static/index",
    ],
)
def test_no_other_file_is_served(server: LiveServer, path: str) -> None:
    response, body = request(server, "GET", path)
    assert response.status == 404
    assert b"root:" not in body
    assert b"import" not in body


def test_a_flood_is_refused_and_others_go_on() -> None:
    now = [0.0]
    rate = Rate(10, 20, clock=lambda: now[0], most=3)
    assert [rate.allows("a") for _ in range(25)].count(True) == 20
    assert rate.allows("b")
    now[0] = 1.0
    assert [rate.allows("a") for _ in range(25)].count(True) == 10
    for client in "cdefgh":
        rate.allows(client)
    assert len(rate._left) <= 3


def test_a_flood_of_changes_gets_429(server: LiveServer) -> None:
    server._server.guard = replace(server._server.guard, changes=Rate(1, 100))  # as fast as any machine floods it
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    statuses = []
    body = json.dumps({"name": "step_size", "value": 0.02})
    for _ in range(500):
        connection.request("POST", "/api/set", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        if response.status == 429:
            break
    connection.close()
    assert statuses[:100] == [200] * 100
    assert statuses[-1] == 429


def test_a_client_that_says_nothing_holds_up_nobody(server: LiveServer) -> None:
    held = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(50)]
    try:
        assert request(server, "GET", "/api/state")[0].status == 200
    finally:
        for connection in held:
            connection.close()


SCALARS = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=30)
BODIES = st.dictionaries(
    st.sampled_from(["name", "value", "seconds", "on"]),
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.sampled_from(["step_size", "octaves", "objective", "coherence", "keep_color", "palette", "plants", "freeze"]),
)
PATHS = st.sampled_from(["/api/set", "/api/preset", "/api/action", "/api/learn", "/api/camera", "/api/nothing"])


@given(PATHS, BODIES | SCALARS)
@settings(max_examples=300, deadline=None)
def test_no_body_is_a_bug(path: str, body: object) -> None:
    page = fuzzed_page()
    answer = page.respond(
        Request("POST", path, {}, {"content-type": "application/json"}, json.dumps(body, allow_nan=True).encode())
    )
    assert answer.status in (200, 400, 404)
    frame = page._host.controls.settings(1.0)  # and the loop goes on
    assert 0 < frame.dream.step_size <= 1


@functools.cache
def fuzzed_page() -> LivePage:
    return LivePage(SmallLive())


# --- other addresses


def test_another_address_needs_the_token(open_server: LiveServer, host: SmallLive) -> None:
    server = open_server
    assert server.token is not None
    assert len(server.token) >= 20
    assert urlsplit(server.url).query == f"token={server.token}"
    for path in ("/", "/stream", "/api/state", "/static/live.js", "/output", f"/?token={server.token[:-1]}~"):
        response, body = request(server, "GET", path)
        assert response.status == 403
        assert server.token.encode() not in body
    assert request(server, "POST", "/api/action", {"name": "reset"})[0].status in (403, 429)
    assert host.done == []


def test_the_token_moves_from_the_address_to_a_cookie(open_server: LiveServer) -> None:
    server = open_server
    response, _ = request(server, "GET", f"/output?token={server.token}&x=1")
    assert response.status == 303
    assert response.headers["Location"] == "/output?x=1"
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert request(server, "GET", "/output", Cookie=cookie.split(";")[0])[0].status == 200
    wrong = cookie.split(";")[0][:-1] + "~"
    assert request(server, "GET", "/output", Cookie=wrong)[0].status == 403
    for start, cleaned in {"//": "/evil.example/", "/\\": "/%5Cevil.example/", "///": "/evil.example/"}.items():
        away, _ = request(server, "GET", f"{start}evil.example/?token={server.token}")
        assert away.headers["Location"] == cleaned


def test_guesses_of_the_token_are_counted(open_server: LiveServer) -> None:
    statuses = [request(open_server, "GET", f"/?token=guess{i}")[0].status for i in range(10)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    # Whoever has the token is not locked out by whoever has not.
    assert request(open_server, "GET", f"/?token={open_server.token}")[0].status == 303


def test_on_another_address_names_are_still_checked() -> None:
    guard = Guard("192.168.1.7", 8765, "secret")
    hostname = socket.gethostname().lower()
    assert guard.names_us("192.168.1.7:8765")
    assert guard.names_us("127.0.0.1:8765")
    assert guard.names_us(f"{hostname}:8765")
    assert not guard.names_us("evil.example:8765")
    assert not guard.names_us("192.168.1.7:80")
    assert not Guard("127.0.0.1", 8765).names_us("192.168.1.7:8765")
    assert Guard("::1", 8765).names_us("[::1]:8765")


# --- start and end


def test_a_port_in_use_names_the_flag(server: LiveServer, host: SmallLive) -> None:
    page = LivePage(host)
    with pytest.raises(InputError, match=f"port {server.port} is in use.*`port={server.port + 1}`") as told:
        LiveServer(page, port=server.port)
    assert told.value.exit_code == 2
    page.close()


@pytest.mark.parametrize(
    ("address", "port", "words"),
    [("203.0.113.7", 0, "does not have"), ("no such name!", 0, "is no address"), ("127.0.0.1", 70_000, "`port`")],
)
def test_an_address_that_is_not_there_is_told(host: SmallLive, address: str, port: int, words: str) -> None:
    page = LivePage(host)
    with pytest.raises(InputError, match=words):
        LiveServer(page, address=address, port=port)
    page.close()


def test_it_ends_with_viewers_and_leaves_no_thread(host: SmallLive) -> None:
    before = threading.active_count()
    page = LivePage(host)
    server = LiveServer(page, port=0)
    connection, file = stream(server)
    with connection, file:
        read_part(file)
        page.close()
        server.close()
        assert file.read() is not None
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() == before
    again = LivePage(host)
    LiveServer(again, port=server.port).close()
    again.close()


def test_the_wheel_would_contain_the_pages_files() -> None:
    """Everything in the folder is a part of the package, and nothing in it names another host."""
    folder = Path(__file__).resolve().parents[3] / "dreamvid" / "ui" / "live" / "web"
    names = {path.name for path in folder.iterdir()}
    assert {"index.html", "output.html", "live.css", "live.js", "knobs.js", "camera.js", "curve.js"} <= names
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "@import" not in text
