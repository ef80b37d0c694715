"""Nobody but the studio's own page gets in: rebinding, foreign origins, logins, Gradio's other doors, file names."""

import asyncio
import base64
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dreamvid.ui.studio.server.guard import Guard, Login, is_this_machine

OWN = "127.0.0.1:7870"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = [(b"access-control-allow-origin", b"*"), (b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": f"{message['type']} {size}".encode()})


def ask(
    guard: Guard, path: str = "/", method: str = "GET", *, body: bytes = b"", **given: str
) -> tuple[int, dict, bytes]:
    """Ask the guard; names of headers are written with _ in place of -. Returns status, headers and body."""
    headers = {"host": OWN, **{name.replace("_", "-"): value for name, value in given.items()}}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return _ask(guard, {"type": "http", "method": method, "path": path, "headers": raw}, body)


def _ask(guard: Guard, scope: dict, body: bytes = b"") -> tuple[int, dict, bytes]:
    sent: list[Any] = []
    parts = [body[start : start + (1 << 20)] for start in range(0, len(body), 1 << 20)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    if sent[0]["type"] == "websocket.close":
        return 0, {}, b""
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.fixture
def guard() -> Guard:
    return Guard(_app, "127.0.0.1", None)


def test_the_own_page_is_answered_with_safe_headers(guard: Guard) -> None:
    status, headers, _ = ask(guard, "/")
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    assert ask(guard, "/studio/queue/1/pause", "POST", origin=f"http://{OWN}")[0] == 200
    assert ask(guard, "/studio/queue/1/pause", "POST", x_dreamvid_studio="1")[0] == 200
    for own in ("localhost:7870", "[::1]:7870"):
        assert ask(guard, "/", host=own)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7870", "127.0.0.1.evil.example", "192.168.1.5:7870", "", "127.0.0.1@evil"),
        *("localhost.evil", "127.0.0.1:7870/x", "0x7f.1", "a:b:c"),
    ],
)
def test_a_rebound_name_is_refused(guard: Guard, host: str) -> None:
    assert ask(guard, "/", host=host)[0] == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://", f"ftp://{OWN}", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_other_origins_are_refused(guard: Guard, origin: str, method: str) -> None:
    assert ask(guard, "/studio/queue", method, origin=origin)[0] == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_that_other_pages_cause_are_refused(guard: Guard, site: str) -> None:
    assert ask(guard, "/studio/file/sources/a.png", sec_fetch_site=site, sec_fetch_dest="image")[0] == 403
    assert ask(guard, "/studio/queue/1/pause", "POST", sec_fetch_site=site, x_dreamvid_studio="1")[0] == 403
    assert ask(guard, "/", sec_fetch_site=site, sec_fetch_dest="iframe")[0] == 403
    assert ask(guard, "/", sec_fetch_site=site, sec_fetch_dest="document")[0] == 200  # a link to the studio


def test_what_changes_something_needs_the_own_page(guard: Guard) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert ask(guard, "/studio/upload", method)[0] == 403
    scope = {"type": "websocket", "path": "/live/ws", "headers": [(b"host", OWN.encode())]}
    assert _ask(guard, scope)[0] == 0


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/upload",
        "/upload",
        "/gradio_api/proxy=http://127.0.0.1:22/",
        "/gradio_api/stream/x",
        "/gradio_api/component_server",
        "/gradio_api/info",
        "/gradio_api/call/x",
        "/gradio_api/runs",
        "/gradio_api/vibe-edit",
        "/gradio_api/deep_link",
        "/gradio_api/custom_component/x/y/z/a.js",
        "/monitoring",
        "/docs",
        "/openapi.json",
        "/login",
        "/etc/passwd",
        "//etc/passwd",
    ],
)
def test_gradio_s_other_doors_are_closed(guard: Guard, path: str) -> None:
    assert ask(guard, path)[0] == 404
    assert ask(guard, path, "POST", origin=f"http://{OWN}")[0] == 404


def test_large_bodies_are_cut_off_except_for_uploads(guard: Guard) -> None:
    own = f"http://{OWN}"
    large = bytes(6 << 20)
    assert ask(guard, "/gradio_api/run/predict", "POST", origin=own, content_length=str(1 << 30))[0] == 413
    assert (
        ask(guard, "/gradio_api/run/predict", "POST", origin=own, body=large)[2]
        == f"http.disconnect {4 << 20}".encode()
    )
    assert ask(guard, "/studio/upload", "PUT", origin=own, body=large)[2] == f"http.request {6 << 20}".encode()
    assert ask(guard, "/", content_length="-5")[0] == 400


def test_headers_that_come_twice_are_refused(guard: Guard) -> None:
    for name in (b"host", b"origin", b"content-length"):
        headers = [(b"host", OWN.encode()), (name, b"127.0.0.1:7870"), (name, b"127.0.0.1:7870")]
        assert _ask(guard, {"type": "http", "method": "GET", "path": "/", "headers": headers})[0] in (400, 403)


def test_a_login_is_asked_for_before_anything_else() -> None:
    guard = Guard(_app, "0.0.0.0", Login("anna", "pass:wörd"))
    status, headers, _ = ask(guard, "/", host="192.168.1.5:7870")
    assert status == 401
    assert "Basic" in headers["www-authenticate"]

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert ask(guard, "/", authorization=basic("anna:pass:wörd"))[0] == 200
    began = time.monotonic()
    for wrong in ("anna:pass", "Anna:pass:wörd", "anna", ":", ""):
        assert ask(guard, "/", authorization=basic(wrong))[0] == 401
    assert time.monotonic() - began > 2  # guessing is slow
    for header in ("Bearer x", "Basic ***", "Basic", "basic \xff"):
        assert ask(guard, "/studio/queue", authorization=header)[0] == 401
    assert ask(guard, "/", host="evil.example", authorization=basic("anna:pass:wörd"))[0] == 421


def test_only_loopback_addresses_go_without_a_login() -> None:
    assert all(map(is_this_machine, ("127.0.0.1", "localhost", "::1", "127.0.0.5")))
    assert not any(map(is_this_machine, ("0.0.0.0", "::", "192.168.1.5", "example.org", "")))


# --- the real server's routes, without a browser


TRAVERSALS = [
    "../secret.png",
    "..%2Fsecret.png",
    "%2e%2e/secret.png",
    "..\\secret.png",
    "%00",
    "a.png%00.jpg",
    "link.png",
    ".hidden",
    "%2Fetc%2Fpasswd",
    "file:%2F%2F%2Fetc%2Fpasswd",
    "concat:a.png",
    "%5C%5Cserver%5Cshare",
    quote("lavfi:movie=/etc/passwd", safe=""),
    "page.html",
    "none.png",
]


@pytest.mark.extra("gradio")
@pytest.mark.parametrize("name", TRAVERSALS)
@pytest.mark.parametrize(
    "route", ["file/sources", "thumbnail/sources", "film/sources", "strip/sources", "cache", "static"]
)
def test_no_route_gives_a_file_outside(client: Any, route: str, name: str) -> None:
    answer = client.get(f"/studio/{route}/{name}")
    assert answer.status_code in (400, 404)
    assert b"SESAME" not in answer.content
    assert b"root:" not in answer.content


@pytest.mark.extra("gradio")
def test_files_of_the_workspace_are_given(client: Any) -> None:
    answer = client.get("/studio/file/sources/a.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert client.get("/studio/thumbnail/sources/a.png?height=72").headers["content-type"] == "image/jpeg"
    assert client.get("/studio/film/sources/a.png").json()["width"] == 60
    assert client.get("/studio/queue").json() == {"jobs": []}
    page = client.get("/")
    assert page.status_code == 200
    assert "dreamvid studio" in page.text
    assert '"analytics_enabled":true' not in page.text.replace(" ", "")


@pytest.mark.extra("gradio")
def test_uploads_are_limited_and_checked(client: Any) -> None:
    assert client.put("/studio/upload?name=big.png", content=bytes(2 << 20)).status_code == 400
    refused = client.put("/studio/upload?name=../../x.png", content=b"no image")
    assert refused.status_code == 400
    assert "x.png" in refused.json()["error"]
    evil = b'[dream]\nmask = "/etc/passwd"\n'
    assert client.put("/studio/upload?name=evil.toml&purpose=recipe", content=evil).status_code == 400
    listed = [one["name"] for one in client.get("/studio/sources").json()["sources"]]
    assert listed == ["sources/a.png"]


@pytest.mark.extra("gradio")
def test_jobs_that_are_not_there_and_actions_that_are_none(client: Any) -> None:
    for path in ("queue/0001-x/pause", "queue/..%2F..%2Fx/forget", "queue/0001-x/exec", "score/results/x.mp4"):
        assert client.post(f"/studio/{path}").status_code == 404
    for path in ("delete/sources/none.png", "delete/queue/lock", "delete/..%2F/secret.png", "delete/sources/link.png"):
        assert client.post(f"/studio/{path}").status_code == 404


@pytest.mark.extra("gradio")
def test_the_page_s_events_take_no_files_and_are_not_in_the_api(client: Any) -> None:
    """Handlers get what a browser sends; a path in place of a value changes nothing that is outside."""
    config = client.get("/config").json()
    assert all(entry.get("api_visibility", "private") == "private" for entry in config["dependencies"])
    knobs = next(entry for entry in config["dependencies"] if len(entry["inputs"]) > 20)
    hostile = ["/etc/passwd" if index else 'guide("/etc/passwd")@blocks.3.2' for index in range(len(knobs["inputs"]))]
    answer = client.post(
        "/gradio_api/run/predict", json={"data": hostile, "fn_index": knobs["id"], "session_hash": "abc"}
    )
    assert b"root:" not in answer.content


@pytest.mark.parametrize("auth", [None, "anna"])
def test_an_address_that_others_reach_needs_a_login(auth: str | None, tmp_path: Path) -> None:
    from dreamvid.cli.app import main

    words = ["studio", str(tmp_path / "studio"), "--listen", "0.0.0.0", "--port", "0", "--no-browser"]
    if auth is not None:
        words += ["--auth", auth, "--password-file", str(tmp_path / "none.txt")]
    assert main(words) == 2
