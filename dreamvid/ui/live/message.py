"""A request and a response, apart from the server that carries them, so that another one can answer with the page."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamvid.errors import InputError


class BadRequest(InputError):
    """A request that is not understood."""


@dataclass(frozen=True)
class Request:
    """A request. path: below the page's own address, beginning with /. headers: with names in lower case.

    client: the address that it comes from.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    client: str = ""

    def fields(self) -> dict[str, Any]:
        """Read the body as a JSON object. Raises BadRequest.

        Another type of content is refused: a foreign site's form could send it.
        """
        if self.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            raise BadRequest("The body must be JSON, with Content-Type: application/json.")
        try:
            fields = json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest("The body is not valid JSON.") from None
        if not isinstance(fields, dict):
            raise BadRequest("The body must be a JSON object.")
        return fields


@dataclass(frozen=True)
class Response:
    """A response. body: bytes, or parts that are made while they are sent; `close` is called on these at the end."""

    status: int = 200
    kind: str = "text/plain; charset=utf-8"
    body: bytes | Iterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(content: object, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(status, "application/json", json.dumps(content, separators=(",", ":"), default=str).encode())


def refusal(status: int, reason: str) -> Response:
    """Answer with what is wrong, as JSON with the key `error`."""
    return json_response({"error": reason}, status)
