"""Images and films inside of a page."""

import base64
import io
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from dreamvid.image import html as inline
from dreamvid.image.html import animation_html, file_html, image_html
from dreamvid.image.io import write_image

IMAGE = np.random.default_rng(3).integers(0, 256, (20, 31, 3), dtype=np.uint8)


def held(page: str) -> tuple[str, bytes]:
    (kind, data) = re.search(r'src="data:([a-z0-9/]+);base64,([A-Za-z0-9+/=]+)"', page).groups()  # type: ignore[union-attr]
    return kind, base64.b64decode(data)


def test_an_image_is_held_bit_for_bit() -> None:
    kind, data = held(image_html(IMAGE))
    assert kind == "image/png"
    assert (iio.imread(data) == IMAGE).all()


def test_a_film_plays_all_of_its_frames_at_their_speed() -> None:
    frames = [np.full((24, 32, 3), gray, np.uint8) for gray in (0, 120, 240)]
    kind, data = held(animation_html(frames, 8))
    assert kind == "image/webp"
    assert np.abs(iio.imread(data, index=..., plugin="pillow").mean((1, 2, 3)) - [0, 120, 240]).max() < 4
    film = Image.open(io.BytesIO(data))
    for number in range(3):
        film.seek(number)
        film.load()
        assert film.info["duration"] == 125


def test_files_are_held_as_they_are(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", IMAGE)
    assert held(file_html(tmp_path / "a.jpg")) == ("image/jpeg", (tmp_path / "a.jpg").read_bytes())
    (tmp_path / "a.mp4").write_bytes(b"film")
    page = file_html(tmp_path / "a.mp4")
    assert page.startswith("<video ")
    assert held(page) == ("video/mp4", b"film")


def test_what_a_browser_cannot_show_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "LARGEST_BYTES", 1000)
    (tmp_path / "<a>.mkv").write_bytes(b"film")
    (tmp_path / "large.gif").write_bytes(bytes(1001))
    for name, said in (("<a>.mkv", "do not show .mkv"), ("large.gif", "too much"), ("frames_%06d.png", "frames_%06d")):
        page = file_html(tmp_path / name)
        assert said in page
        assert "src=" not in page
        assert "<a>" not in page
