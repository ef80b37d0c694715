"""Embed images and videos in HTML, for pages such as a notebook's."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

# A page with more in it takes long to load and to save.
LARGEST_BYTES = 16 * 2**20

# What browsers show, by suffix.
_IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
}
_VIDEOS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}


def file_html(path: Path) -> str:
    """Show an image or video file; name it if a browser cannot show it or it is larger than 16 MiB."""
    name = html.escape(str(path))
    kind = _IMAGES.get(path.suffix.lower()) or _VIDEOS.get(path.suffix.lower())
    if not path.is_file():
        return f"<p><code>{name}</code></p>"
    if kind is None:
        return f"<p><code>{name}</code>: browsers do not show {html.escape(path.suffix or 'this')}; open the file.</p>"
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        return f"<p><code>{name}</code>: {size / 2**20:.0f} MiB are too much to show here; open the file.</p>"
    return _element(path.read_bytes(), kind)


def image_html(image: npt.NDArray[np.uint8]) -> str:
    """Show an image, uint8 RGB (H, W, 3), bit for bit."""
    return _element(iio.imwrite("<bytes>", image, extension=".png", plugin="pillow"), "image/png")


def animation_html(frames: Sequence[npt.NDArray[np.uint8]], fps: float) -> str:
    """Play frames, uint8 RGB (H, W, 3), at `fps` frames per second in a loop: an animated WebP."""
    animation = iio.imwrite(
        "<bytes>", np.stack(frames), extension=".webp", plugin="pillow", duration=1000 / fps, loop=0, quality=85
    )
    return _element(animation, "image/webp")


def _element(data: bytes, kind: str) -> str:
    address = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    style = 'style="max-width: 100%"'
    if kind.startswith("video/"):
        return f'<video {style} controls loop muted autoplay playsinline src="{address}"></video>'
    return f'<img {style} src="{address}">'
