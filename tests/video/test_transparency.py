"""Transparent videos: what is hidden never shows, by the same rule as in images."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import ffmpeg
from PIL import Image

from dreamvid.errors import SourceError
from dreamvid.image.io import read_image
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader, Pixels
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

WIDTH, HEIGHT, COUNT = 64, 48, 4


def rgba(number: int) -> np.ndarray:
    """Red that fades in from left to right; where it is hidden, on the left, bright green lies behind it."""
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[..., 0], pixels[..., 2] = 200, 10 * number
    pixels[:, :16, :3] = 0, 255, 0
    pixels[:, 16:48, 3], pixels[:, 48:, 3] = 100, 255
    return pixels


def on_black(pixels: np.ndarray) -> np.ndarray:
    black = Image.new("RGBA", (pixels.shape[1], pixels.shape[0]), (0, 0, 0, 255))
    return np.array(Image.alpha_composite(black, Image.fromarray(pixels)).convert("RGB"))


def read(path: Path, *, size: Size | None = None, fps: Fraction | None = None) -> list[Pixels]:
    source = open_source(path)
    info = probe(source)
    with FrameReader(source, info, scan=scan(source, info), size=size, fps=fps) as reader:
        return [frame.pixels for frame in reader]


def encode(path: Path, *args: str) -> Path:
    data = b"".join(rgba(number).tobytes() for number in range(COUNT))
    raw = ["-f", "rawvideo", "-pixel_format", "rgba", "-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "10"]
    ffmpeg("-v", "error", *raw, "-i", "pipe:0", *args, path, data=data)
    return path


KINDS: dict[str, tuple[str, Sequence[str], int]] = {
    "QuickTime Animation": ("mov", ("-c:v", "qtrle"), 0),
    "PNG in MOV": ("mov", ("-c:v", "png"), 0),
    "FFV1, 8 bits": ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuva444p"), 3),
    "FFV1, 16 bits": ("mkv", ("-c:v", "ffv1", "-pix_fmt", "rgba64le"), 1),
    "ProRes 4444": ("mov", ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"), 5),
    "VP9": ("webm", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "4", "-b:v", "0"), 12),
    "VP8": ("webm", ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-crf", "4", "-b:v", "4M"), 12),
    "APNG": ("apng", ("-c:v", "apng"), 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_hidden_never_shows(tmp_path: Path, kind: str) -> None:
    suffix, options, error = KINDS[kind]
    frames = read(encode(tmp_path / f"a.{suffix}", *options))
    assert len(frames) == COUNT
    for number, pixels in enumerate(frames):
        shown = pixels if pixels.dtype == np.uint8 else np.rint(pixels / 257)
        difference = np.abs(shown.astype(int) - on_black(rgba(number)))
        # Lossy codecs soften the edges; the hidden green is 255 levels away.
        inside = np.r_[2:14, 18:46, 50:62]
        assert difference[4:-4, inside].max() <= error + 1


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_are_flattened_as_images_are(tmp_path: Path, suffix: str) -> None:
    """Whole or nothing, as GIF has it; Pillow reads the frames for comparison."""
    images = []
    for number in range(COUNT):
        pixels = rgba(number)
        pixels[..., 3] = np.where(pixels[..., 3] > 200, 255, 0)
        images.append(Image.fromarray(pixels))
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, disposal=2, **options)
    frames = read(path)
    assert len(frames) == COUNT
    for number, pixels in enumerate(frames):
        assert np.abs(pixels.astype(int) - on_black(np.array(images[number]))).max() <= 1
        still = tmp_path / f"{number}.png"
        images[number].save(still)
        assert np.abs(pixels.astype(int) - read_image(still)).max() <= 1


def test_a_transparent_animated_avif_is_refused_in_words(tmp_path: Path) -> None:
    images = [Image.fromarray(rgba(number)) for number in range(COUNT)]
    for name, frames in (("clear.avif", images), ("opaque.avif", [image.convert("RGB") for image in images])):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(SourceError, match=r"clear\.avif is a transparent animated AVIF image.*animated WebP or PNG"):
        read(tmp_path / "clear.avif")
    assert len(read(tmp_path / "opaque.avif")) == COUNT


def test_hidden_colors_do_not_bleed_into_another_size(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mov", "-c:v", "qtrle")
    for pixels in read(path, size=Size(height=10, width=20), fps=Fraction(5)):
        assert pixels.shape == (10, 20, 3)
        assert pixels[..., 1].max() <= 1  # green is hidden everywhere


def test_what_is_opaque_stays_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(pixels[::-1])])
    frames = read(tmp_path / "a.png")
    assert np.array_equal(frames[0], pixels[..., :3])
    assert np.array_equal(frames[1], pixels[::-1, :, :3])
