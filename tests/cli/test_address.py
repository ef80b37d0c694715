"""Images at addresses, on the command line."""

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dreamvid.image.io import read_image

Run = Callable[..., Any]
FAST = ("--octaves", "1", "--iterations", "1", "--device", "cpu", "--model", "squeezenet1_1", "--weights", "random")
PLAIN = (*FAST, "--objective", "features.3")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(clips: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(clips))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_dream_of_an_address_is_that_of_its_image(dreamvid: Run, clips: Path, url: str, tmp_path: Path) -> None:
    done = dreamvid("image", f"{url}/image.png", "--allow-private-addresses", *PLAIN)
    assert (done.code, done.out) == (0, "image.dream.png\n")
    assert dreamvid("image", clips / "image.png", "-o", "local.png", *PLAIN).code == 0
    assert (read_image(tmp_path / "image.dream.png") == read_image(tmp_path / "local.png")).all()


def test_a_sheet_of_an_address(dreamvid: Run, url: str, tmp_path: Path) -> None:
    words = ("sheet", f"{url}/image.png", "--vary", "objective=features.3|features.4", *FAST)
    done = dreamvid(*words, "--allow-private-addresses")
    assert (done.code, done.out) == (0, "image.sheet.png\n")
    assert read_image(tmp_path / "image.sheet.png").shape[1] > 2 * 64


@pytest.mark.parametrize("command", ["image", "sheet"])
@pytest.mark.parametrize(
    ("place", "message"),
    [("{}/image.png", "--allow-private-addresses"), ("ftp://127.0.0.1/x.png", "http and https only")],
)
def test_what_is_not_fetched(dreamvid: Run, url: str, tmp_path: Path, command: str, place: str, message: str) -> None:
    done = dreamvid(command, place.format(url))
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
