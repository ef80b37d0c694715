"""Answer the page's requests: its files, the picture, what can be changed, and changes.

Each handler is a method that takes a `Request` and returns a `Response`; which one answers which address is the table
`_ROUTES`. `server.py` is one server for them; a web framework can be another.
"""

import functools
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from dreamvid.errors import DreamvidError
from dreamvid.render.live.addresses import without_passwords
from dreamvid.render.live.controls import ACTIONS, SWITCHED
from dreamvid.render.live.keys import KEYS, key_of
from dreamvid.ui.live.command import as_command
from dreamvid.ui.live.host import LiveHost
from dreamvid.ui.live.jpeg import JpegStream, read_camera_jpeg
from dreamvid.ui.live.learn import Learning
from dreamvid.ui.live.message import BadRequest, Request, Response, json_response, refusal
from dreamvid.ui.live.thumbnails import Thumbnails

LONGEST_BODY = 16 * 1024
LONGEST_CAMERA_BODY = 2 * 1024 * 1024
MOST_VIEWERS = 100
# Longer than any pause between two frames, so that only a picture that stands still is sent again.
_STILL_SECONDS = 1.0
_BOUNDARY = b"--frame\r\n"
_FILES: Mapping[str, str] = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)
SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; "
        "style-src 'self'; connect-src 'self'; media-src 'self' blob:; frame-ancestors 'self'; base-uri 'none'; "
        "form-action 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
"""Headers of every response: the page loads nothing from elsewhere, and no other site may show or read it."""


class LivePage:
    """The page of a session. learning: binds MIDI controls, where there is MIDI. Close it at the end."""

    def __init__(self, host: LiveHost, learning: Learning | None = None) -> None:
        self._host, self._learning = host, learning
        self.osc = ""  # the address that OSC listens at
        self._identity = secrets.token_hex(4)  # a page that sees another one reads the inventory again
        self.jpeg = JpegStream(host.output, MOST_VIEWERS)
        self.thumbnails = Thumbnails(host)

    def close(self) -> None:
        """End all streams and the thumbnails."""
        self.jpeg.close()
        self.thumbnails.close()

    def longest_body(self, path: str) -> int:
        """Return how many bytes a request to an address may send."""
        return LONGEST_CAMERA_BODY if path == "/api/camera" else LONGEST_BODY

    def respond(self, request: Request) -> Response:
        """Answer a request that may come in (see `Guard`). Never raises for bad input.

        A framework that mounts the page below an address of its own gives paths without that address: the page uses
        relative ones.
        """
        known = [method for method, path in _ROUTES if path == request.path]
        handler = _ROUTES.get((request.method, request.path))
        try:
            if handler is not None:
                return handler(self, request)
            if known:
                return refusal(405, f"Allowed here: {', '.join(known)}.")
            if request.method == "GET" and request.path.startswith("/static/"):
                return _file(request.path.removeprefix("/static/"))
            return refusal(404, "There is nothing at this address.")
        except DreamvidError as error:
            return refusal(400, str(error))

    # --- pages and pictures

    def _index(self, request: Request) -> Response:
        return _file("index.html")

    def _output(self, request: Request) -> Response:
        return _file("output.html")

    def _stream(self, request: Request) -> Response:
        return Response(kind="multipart/x-mixed-replace; boundary=frame", body=self._parts())

    def _parts(self) -> Iterator[bytes]:
        """Yield the newest picture again and again; whoever is slow gets fewer."""
        with self.jpeg.watched() as taken:
            if not taken:
                return
            number, picture = 0, b""
            yield _BOUNDARY
            while not self.jpeg.closed:
                newest = self.jpeg.after(number, _STILL_SECONDS)
                if newest is not None:
                    number, picture = newest
                if picture:
                    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
                    # A browser shows a picture when the next boundary is there: so it follows at once.
                    yield head + picture + b"\r\n" + _BOUNDARY

    def _picture(self, request: Request) -> Response:
        picture = self.jpeg.picture()
        return refusal(503, "There is no picture yet.") if picture is None else Response(200, "image/jpeg", picture)

    def _thumbnail(self, request: Request) -> Response:
        picture = self.thumbnails.picture(request.query.get("preset", ""))
        return refusal(404, "There is no such picture.") if picture is None else Response(200, "image/jpeg", picture)

    # --- what there is

    def _inventory(self, request: Request) -> Response:
        controls = self._host.controls
        return json_response(
            {
                "session": self._identity,
                "kind": controls.kind,
                "controls": [{**_plain(asdict(one)), "stops": one.stops} for one in controls.inventory()],
                "presets": [{"name": one.name, "description": one.description} for one in controls.presets()],
                "actions": [
                    {"name": name, "help": help, "switched": name in SWITCHED, "key": key_of(name)}
                    for name, help in ACTIONS.items()
                ],
                "keys": dict(KEYS),
                "osc": self.osc,
                "midi": self._learning is not None,
            }
        )

    def _state(self, request: Request) -> Response:
        controls = self._host.controls
        state = controls.state()
        return json_response(
            {
                "session": self._identity,
                "state": None if state is None else _without_passwords(asdict(state)),
                "values": controls.values(),
                "used": controls.used(),
                "problems": controls.problems(),
                "preset": controls.preset_name,
                "beats_per_minute": controls.tempo.beats_per_minute,
                "thumbnails": self.thumbnails.numbers(),
                "viewers": self.jpeg.viewers,
                "midi": {} if self._learning is None else self._learning.state(),
            }
        )

    def _command(self, request: Request) -> Response:
        command = as_command(self._host.command, self._host.settings, self._host.controls)
        return json_response({"command": without_passwords(command)})

    # --- changes

    def _set(self, request: Request) -> Response:
        fields = request.fields()
        value = fields.get("value")
        if not isinstance(value, str | int | float | bool):
            raise BadRequest("`value` must be a number, text, true or false.")
        controls, name = self._host.controls, _text(fields, "name")
        seconds = fields.get("seconds", 0)
        return json_response({"value": controls.set(name, value, seconds)})

    def _preset(self, request: Request) -> Response:
        fields = request.fields()
        self._host.controls.preset(_text(fields, "name"), fields.get("seconds", 0))
        return json_response({})

    def _action(self, request: Request) -> Response:
        fields = request.fields()
        on = fields.get("on")
        if not isinstance(on, bool | None):
            raise BadRequest("`on` must be true or false, or be left out.")
        self._host.controls.action(_text(fields, "name"), on)
        return json_response({})

    def _make_thumbnails(self, request: Request) -> Response:
        names = request.fields().get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadRequest("`names` must be a list of presets.")
        self.thumbnails.make(names)
        return json_response({})

    def _camera(self, request: Request) -> Response:
        if request.headers.get("content-type") != "image/jpeg":
            raise BadRequest("A camera's picture must be JPEG, with Content-Type: image/jpeg.")
        self._host.take_camera(read_camera_jpeg(request.body))
        return json_response({})

    def _leave_camera(self, request: Request) -> Response:
        request.fields()
        self._host.leave_camera()
        return json_response({})

    def _learn(self, request: Request) -> Response:
        fields = request.fields()
        if self._learning is None:
            raise BadRequest("There is no MIDI. Install it with: pip install 'dreamvid[live]', and connect a device.")
        target = fields.get("name")
        if target is not None and not isinstance(target, str):
            raise BadRequest("`name` must be text.")
        self._learning.learn(target)
        return json_response({})


_ROUTES: Mapping[tuple[str, str], Callable[[LivePage, Request], Response]] = MappingProxyType(
    {
        ("GET", "/"): LivePage._index,
        ("GET", "/output"): LivePage._output,
        ("GET", "/stream"): LivePage._stream,
        ("GET", "/picture.jpg"): LivePage._picture,
        ("GET", "/thumbnail.jpg"): LivePage._thumbnail,
        ("GET", "/api/inventory"): LivePage._inventory,
        ("GET", "/api/state"): LivePage._state,
        ("GET", "/api/command"): LivePage._command,
        ("POST", "/api/set"): LivePage._set,
        ("POST", "/api/preset"): LivePage._preset,
        ("POST", "/api/action"): LivePage._action,
        ("POST", "/api/thumbnails"): LivePage._make_thumbnails,
        ("POST", "/api/camera"): LivePage._camera,
        ("POST", "/api/camera/leave"): LivePage._leave_camera,
        ("POST", "/api/learn"): LivePage._learn,
    }
)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"`{name}` must be text.")
    return value


def _without_passwords(content: Any) -> Any:
    """Hide the passwords of addresses in all texts inside of this."""
    if isinstance(content, str):
        return without_passwords(content)
    if isinstance(content, dict):
        return {name: _without_passwords(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_passwords(value) for value in content]
    return content


def _plain(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


@functools.cache
def _web() -> Mapping[str, bytes]:
    """Read the files of the page, by name: nothing else of the disk is ever served."""
    folder = files("dreamvid.ui.live").joinpath("web")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


def _file(name: str) -> Response:
    data = _web().get(name)
    kind = _FILES.get(name[name.rfind(".") :])
    if data is None or kind is None:
        return refusal(404, "There is nothing at this address.")
    return Response(200, kind, data)
