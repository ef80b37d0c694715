"""One test for each known class of holes in pages of this kind, against the whole server as it is started.

Gradio's own were closed upstream in the version that its name says; the studio keeps the doors shut whatever version is
installed.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dreamvid.errors import DreamvidError

if TYPE_CHECKING:
    from conftest import Opened

pytestmark = pytest.mark.extra("gradio")
OWN = "http://127.0.0.1:7870"


@pytest.fixture(scope="module")
def inside() -> Iterator[tuple[str, list[str]]]:
    """A server of the internal network: its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"SESAME")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def _config(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/config").json()
    return found


def _events(client: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = _config(client)["dependencies"]
    return events


def _nothing_leaks(answer: Any) -> None:
    assert answer.status_code in (400, 403, 404, 405, 422)
    assert b"SESAME" not in answer.content
    assert b"root:" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=//etc/passwd",
        "/gradio_api/file=C:/Windows/win.ini",
        "/file=/etc/passwd",
        "/file/etc/passwd",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/svelte/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/svelte//etc/passwd",
        "/live/static/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/studio/static/%2fetc%2fpasswd",
    ],
)
def test_no_file_is_read_by_its_path(client: Any, path: str) -> None:
    """As by CVE-2026-28414, by which absolute paths were read."""
    answer = client.get(path)
    assert b"root:" not in answer.content
    assert answer.status_code != 200 or answer.headers["content-type"].startswith("text/html")  # the page of Live


def test_the_server_asks_no_other(client: Any, inside: tuple[str, list[str]]) -> None:
    """As by CVE-2026-28416, by which a page that was loaded from elsewhere said what else to ask for."""
    address, asked = inside
    for path in (f"/gradio_api/proxy={address}/x", f"/proxy={address}/x", f"/gradio_api/file={address}/x"):
        _nothing_leaks(client.get(path))
    config = _config(client)
    assert "proxy_url" not in json.dumps(config).replace('"proxy_url": null', "")
    assert asked == []


def test_no_address_redirects_elsewhere(client: Any, inside: tuple[str, list[str]]) -> None:
    """As by `/file=<url>` before 6.20."""
    for address in (inside[0], "https://example.org"):
        for path in (f"/file={address}/x", f"/gradio_api/file={address}/x", f"//example.org/{address}"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "location" not in answer.headers


def test_no_component_lists_or_takes_files(client: Any) -> None:
    """As by the traversal of FileExplorer before 6.16: there is none, nor another that reads files or addresses."""
    kinds = {component["type"] for component in _config(client)["components"]}
    reads = {"audio", "chatbot", "file", "fileexplorer", "gallery", "image", "imageeditor", "imageslider", "markdown"}
    assert not kinds & {*reads, "model3d", "multimodaltextbox", "uploadbutton", "video"}
    body = {"component_id": 1, "fn_name": "ls", "data": ["/"], "session_hash": "x"}
    _nothing_leaks(client.post("/gradio_api/component_server", json=body))


def test_no_upload_makes_the_server_read_more(opened: "Opened", inside: tuple[str, list[str]]) -> None:
    """As by SVG and audio before 6.16: what is uploaded names addresses and files that a reader would follow."""
    address, asked = inside
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}/a.png"/></svg>'.encode()
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/a.ts\n#EXT-X-ENDLIST\n".encode()
    listing = b"ffconcat version 1.0\nfile '/etc/passwd'\n"
    for name, data in (
        ("a.svg", drawing),
        ("a.png", drawing),
        ("a.mp4", playlist),
        ("a.wav", playlist),
        ("a.mkv", listing),
        ("a.mp3", listing),
    ):
        assert opened.client.put(f"/studio/upload?name={name}", content=data).status_code == 400
    _nothing_leaks(opened.client.post("/gradio_api/upload", files={"files": ("a.svg", drawing)}))
    assert asked == []
    assert not [path for path in (opened.workspace.root / "sources").iterdir() if path.suffix in (".svg", ".mkv")]


def test_an_event_copies_no_file_where_others_could_read_it(opened: "Opened", inside: tuple[str, list[str]]) -> None:
    """Gradio copies files that its components are given into a folder that it serves, and fetches addresses."""
    address, asked = inside
    for path in ("/etc/passwd", f"{address}/a.png"):
        file = {"path": path, "url": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
        for event in (event for event in _events(opened.client) if event["inputs"]):
            for value in (file, [[file]]):
                body = {"data": [value for _ in event["inputs"]], "fn_index": event["id"], "session_hash": "copy"}
                for route in ("run/predict", "queue/join"):
                    assert opened.client.post(f"/gradio_api/{route}", json=body).status_code == 400
    deep = '{"data": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert opened.client.post("/gradio_api/run/predict", content=deep).status_code == 400
    assert not [path for path in opened.temp.rglob("*") if path.is_file()]
    assert asked == []


def test_events_cannot_name_files_outside(opened: "Opened") -> None:
    """Every event of the page, with paths and filter graphs as its values, leaves the workspace as it was."""
    root = opened.workspace.root
    before = sorted(path for path in root.rglob("*") if path.parent != opened.workspace.cache)
    values = ("/etc/passwd", "../../secret.png", "lavfi:movie=/etc/passwd", 'guide("/etc/passwd")@blocks.3.2')
    for number, event in enumerate(_events(opened.client)):
        hostile = values[number % len(values)]
        body = {
            "data": [values[(number + place) % len(values)] for place, _ in enumerate(event["inputs"])],
            "fn_index": event["id"],
            "session_hash": "hostile",
            "event_data": {"name": hostile, "source": hostile, "slot": hostile, "layer": hostile, "count": 1},
        }
        answer = opened.client.post("/gradio_api/run/predict", json=body)
        assert b"root:" not in answer.content
        assert b"SESAME" not in answer.content
    assert sorted(path for path in root.rglob("*") if path.parent != opened.workspace.cache) == before


def test_nothing_is_shared_or_reported(client: Any) -> None:
    config = _config(client)
    assert config.get("analytics_enabled") is False
    assert not any(config.get(name) for name in ("share_url", "is_colab", "space_id"))
    assert all(event["api_visibility"] == "private" for event in config["dependencies"])
    for path in ("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/mcp/", "/monitoring", "/pwa_icon"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7870", "127.0.0.1.nip.io:7870"])
def test_a_rebound_name_reaches_nothing(client: Any, host: str) -> None:
    for path in ("/", "/config", "/studio/sources", "/live/", "/gradio_api/queue/data"):
        assert client.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999"])
def test_another_page_changes_nothing(opened: "Opened", origin: str) -> None:
    headers = {"origin": origin}
    for method, path in (
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/studio/delete/sources/a.png"),
        ("PUT", "/studio/upload?name=a.png"),
        ("POST", "/live/api/set"),
    ):
        assert opened.client.request(method, path, headers=headers, json={}).status_code == 403
        simple = {"origin": origin, "content-type": "text/plain", "sec-fetch-site": "cross-site"}  # asks for no leave
        assert opened.client.request(method, path, headers=simple, content="{}").status_code == 403
    assert (opened.workspace.root / "sources" / "a.png").is_file()
    answer = opened.client.options("/studio/upload", headers={**headers, "access-control-request-method": "PUT"})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "source", ["/etc/passwd", "camera:0", "screen", "lavfi:testsrc2", "rtsp://127.0.0.1/x", "sources/../x", None, 7]
)
def test_a_live_dream_has_sources_of_the_workspace_only(opened: "Opened", source: object) -> None:
    with pytest.raises(DreamvidError):
        opened.room.start(source)
    assert not opened.room.running


def test_a_live_dream_reads_no_files_for_its_page(opened: "Opened", tmp_path: Path) -> None:
    opened.room.start("noise")
    try:
        assert b"<title>" in opened.client.get("/live/").content
        for name, value in (
            ("objective", 'guide("/etc/passwd")@blocks.3.2'),
            ("objective", f'like("{tmp_path}/a.png")'),
            ("palette", "/etc/passwd"),
            ("mask", "/etc/passwd"),
            ("weights", "/etc/passwd"),
        ):
            answer = opened.client.post("/live/api/set", json={"name": name, "value": value})
            _nothing_leaks(answer)
        assert opened.client.post("/live/api/set", json={"name": "step_size", "value": 0.02}).json() == {"value": 0.02}
    finally:
        opened.room.stop()
    assert b"Nothing is live" in opened.client.get("/live/").content
