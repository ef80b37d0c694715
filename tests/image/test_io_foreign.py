"""Images as strangers bring them: damaged metadata, floats, 32-bit integers, deep colors, huge sizes, transparency."""

import contextlib
import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import image
from PIL import Image, ImageOps

from dreamvid.errors import OutputError, SourceError
from dreamvid.image.io import (
    LARGEST_PIXELS,
    check_image_size,
    decode_image,
    read_deep_image,
    read_header,
    read_image,
    write_image,
)

PIXELS = image(5, 12, 9)


def exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = orientation, "Maker", 72.0
    exif[0x8769] = {0x829A: 0.01, 0x9286: b"abc", 0xA002: 100}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


def saved(pixels: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_every_orientation_is_applied(tmp_path: Path, orientation: int, form: str) -> None:
    exact = {"lossless": True} if form == "WEBP" else {"quality": 100} if form == "JPEG" else {}
    path = tmp_path / "a.png"
    path.write_bytes(saved(PIXELS, form, exif=exif_block(orientation), **exact))
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(read_image(path), expected)
    assert np.array_equal(read_deep_image(path), expected)
    header = read_header(path)
    assert (header.height, header.width, header.bit_depth) == (*expected.shape[:2], 8)


def test_an_orientation_in_xmp_is_applied(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(PIXELS, "JPEG", xmp=xmp))
    assert np.array_equal(read_image(path), np.array(ImageOps.exif_transpose(Image.open(path))))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_leaves_the_image(form: str) -> None:
    draw, block = random.Random(3), exif_block(6)
    turned = 0
    for _ in range(150):
        damaged = bytearray(block)
        for _ in range(draw.choice((1, 1, 2, 3, 6))):
            damaged[draw.randrange(6, len(damaged))] = draw.choice((0, 1, 2, 3, 5, 7, 10, 12, 16, 128, 255))
        if draw.random() < 0.1:
            del damaged[draw.randrange(8, len(damaged)) :]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of JPEG, which pytest would show
            shape = decode_image(saved(PIXELS, form, exif=bytes(damaged)), "it").shape
        assert shape in (PIXELS.shape, (12, 9, 3))
        turned += shape != PIXELS.shape
    assert turned > 100  # wherever the orientation itself is whole


def test_a_field_that_is_damaged_does_not_hide_the_orientation() -> None:
    block = bytearray(exif_block(6))
    at = block.index(struct.pack(">HH", 0x011A, 5))
    block[at + 2 : at + 4] = b"\0\x0c"  # a rational that is called a double
    assert decode_image(saved(PIXELS, "PNG", exif=bytes(block)), "it").shape == (12, 9, 3)


def test_damaged_metadata_is_read_in_silence(tmp_path: Path) -> None:
    """What Pillow and OpenCV write about it is no user's business."""
    for number in range(20):
        block = bytearray(exif_block(3))
        for place in range(14 + number, len(block), 5):
            block[place] = 255
        (tmp_path / f"{number}.jpg").write_bytes(saved(PIXELS, "JPEG", exif=bytes(block)))
    tiff = bytearray(saved(PIXELS, "TIFF", tiffinfo={305: "a name of a program"}))
    at = tiff.index(struct.pack("<HH", 305, 2))
    tiff[at + 8 : at + 12] = struct.pack("<I", 10**6)
    (tmp_path / "a.tif").write_bytes(tiff)
    deep = cv2.imencode(".tif", np.zeros((9, 12, 3), np.uint16))[1].tobytes()
    (tmp_path / "b.tif").write_bytes(deep[:-40])
    program = "import sys; from dreamvid.image.io import *\nfor path in sys.argv[1:]:\n try: read_deep_image(path)\n"
    program += " except SourceError as error: print(error)"
    paths = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [line for line in done.stdout.splitlines() if "b.tif" not in line] == []


RAMP = np.linspace(0, 1, 96).reshape(8, 12)


@pytest.mark.parametrize(
    ("values", "white", "guessed"),
    [
        (RAMP.astype(np.float32), 1, False),
        (RAMP.astype(np.float32) * 0.3, 1, False),
        (RAMP.astype(np.float32) * 255, 255, True),
        (RAMP.astype(np.float32) * 65535, 65535, True),
        (RAMP.astype(np.float32) * 7, 7, True),
        (RAMP.astype(np.float32) * 1e6, 1e6, True),
        (np.rint(RAMP * 200).astype(np.int32), 255, True),
        (np.rint(RAMP * 60000).astype(np.int32), 65535, True),
        (np.rint(RAMP * 1000).astype(np.int32), 1023, True),
        (RAMP.astype(np.float32) * 4095, 4095, True),
        (np.rint(RAMP * (2**31 - 1)).astype(np.int32), 2**31 - 1, True),
        (np.rint(RAMP * 3e6).astype(np.int32), 3e6, True),
        (np.rint(RAMP * 65535).astype(np.uint16), 65535, False),
        (np.rint(RAMP * 100).astype(np.uint16), 65535, False),
    ],
)
def test_numbers_are_scaled_by_what_the_image_holds(
    tmp_path: Path, values: np.ndarray, white: float, guessed: bool
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shallow, deep = read_image(path), read_deep_image(path)
    assert [str(path) in str(warning.message) for warning in caught] == ([True, True] if guessed else [])
    expected = values.astype(np.float64) / white
    assert np.abs(shallow[:, :, 1] / 255 - expected).max() <= 0.5 / 255 + 1e-9
    assert deep.dtype == np.uint16
    assert np.abs(deep[:, :, 2] / 65535 - expected).max() <= 0.5 / 65535 + 1e-9
    assert read_header(path).bit_depth == 16


def test_values_without_a_meaning_are_black_or_white(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    read = read_image(tmp_path / "a.tif")
    assert [tuple(pixel) for pixel in read[0, :3]] == [(0, 0, 0), (255, 255, 255), (0, 0, 0)]
    assert np.abs(read[1:, :, 0] - values[1:] * 255).max() <= 0.5 + 1e-4


def test_floats_that_were_resampled_go_beyond_their_range(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32) * 255
    values[0, 0], values[-1, -1] = -25, 277  # as sharp edges overshoot
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.warns(UserWarning, match="0 is taken for black and 255 for white"):
        pixels = read_image(tmp_path / "a.tif")
    assert np.abs(pixels[:, :, 0] - values.clip(0, 255)).max() <= 0.5 + 1e-4


def test_unsigned_32_bits_and_negative_floats(tmp_path: Path) -> None:
    whole = np.rint(RAMP * (2**32 - 1)).astype(np.uint32)
    data = saved(whole.view(np.int32), "TIFF")
    at = data.index(struct.pack("<HHII", 339, 3, 1, 2))
    unsigned = bytearray(data)
    unsigned[at + 8] = 1
    (tmp_path / "a.tif").write_bytes(bytes(unsigned))
    Image.fromarray((RAMP * 2 - 1).astype(np.float32)).save(tmp_path / "b.tif")
    for name in ("a.tif", "b.tif"):
        with pytest.warns(UserWarning, match="taken for"):
            read = read_image(tmp_path / name)
        assert np.abs(read[:, :, 0] - RAMP * 255).max() <= 0.51, name


def test_colors_of_three_floats(tmp_path: Path) -> None:
    colors = np.stack([RAMP, RAMP[::-1], RAMP * 0.5], axis=-1).astype(np.float32)
    # Without compression: older versions of OpenCV write LogLuv, which is not exact.
    cv2.imwrite(str(tmp_path / "a.tif"), colors[:, :, ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert np.abs(read_image(tmp_path / "a.tif") - colors * 255).max() <= 0.51


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_depth(tmp_path: Path, suffix: str, channels: int) -> None:
    samples = np.random.default_rng(0).integers(0, 65536, (9, 12, channels), dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    cv2.imwrite(str(path), samples[:, :, order])
    deep = read_deep_image(path)
    if suffix == ".tif" and channels == 4:
        assert deep.dtype == np.uint8  # whether its colors are multiplied by the alpha is for Pillow to find out
        return
    expected = samples[:, :, :3] if channels > 1 else samples.repeat(3, axis=2)
    if channels == 4:
        expected = np.rint(expected * (samples[:, :, 3:] / 65535))
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, expected)
    assert read_header(path).bit_depth == 16
    assert read_image(path).dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_deep_colors_are_turned_too(tmp_path: Path, orientation: int, form: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(PIXELS, form, exif=exif_block(orientation)))
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    deep = PIXELS.astype(np.uint16) * 257
    if form == "PNG":
        data = cv2.imencode(".png", deep[:, :, ::-1])[1].tobytes()
        block = exif_block(orientation).removeprefix(b"Exif\0\0")
        chunk = b"eXIf" + block
        length, check = struct.pack(">I", len(block)), struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(data[:33] + length + chunk + check + data[33:])
    else:
        path.write_bytes(deep_tiff(deep, orientation))
    assert np.array_equal(read_deep_image(path), expected.astype(np.uint16) * 257)


def deep_tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """Write an uncompressed TIFF of three 16-bit samples."""
    height, width = pixels.shape[:2]
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 0)]
    entries += [(274, 3, 1, orientation), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, pixels.nbytes)]
    after = 8 + 2 + 12 * len(entries) + 4
    values = {258: after, 273: after + 6}
    table = b"".join(struct.pack("<HHII", tag, kind, n, values.get(tag, v)) for tag, kind, n, v in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + table + struct.pack("<IHHH", 0, 16, 16, 16) + pixels.astype("<u2").tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "tRNS"])
def test_hidden_colors_never_show(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode == "P":
        picture = Image.fromarray(np.tile(np.arange(12, dtype=np.uint8) % 2, (9, 1)), "P")
        picture.putpalette([200, 10, 10, 10, 200, 10])
        picture.save(path, transparency=0)
        expected = np.tile(np.array([[0, 0, 0], [10, 200, 10]], np.uint8), (9, 6, 1))
    elif mode == "tRNS":
        pixels = np.tile(np.array([[200, 10, 10], [10, 200, 10]], np.uint8), (9, 6, 1))
        Image.fromarray(pixels).save(path, transparency=(200, 10, 10))
        expected = pixels * (pixels[:, :, :1] == 10)
    else:
        colors = PIXELS if mode == "RGBA" else PIXELS[:, :, :1]
        alpha = np.zeros((9, 12, 1), np.uint8)
        alpha[:, 6:] = 255
        Image.fromarray(np.concatenate([colors, alpha], axis=2)).save(path)
        expected = (colors * (alpha > 0)).repeat(1 if mode == "RGBA" else 3, axis=2)
    assert np.array_equal(read_image(path), expected)
    assert np.array_equal(read_deep_image(path), expected)


def huge_png(path: Path, width: int, height: int) -> Path:
    """Write a gray PNG of any size without holding its pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer, row = zlib.compressobj(1), b"\0" + bytes([77]) * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def test_too_large_an_image_is_refused_by_name(tmp_path: Path) -> None:
    path = huge_png(tmp_path / "poster.png", 60_000, 4_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for read in (read_image, read_deep_image, read_header):
            with pytest.raises(SourceError, match=r"poster\.png is too large: 60000x4000 are 240 million"):
                read(path)


def test_a_large_image_is_read_without_a_warning(tmp_path: Path) -> None:
    width = 12_000
    height = LARGEST_PIXELS // 2 // width  # above the size at which Pillow speaks of an attack
    path = huge_png(tmp_path / "poster.png", width, height)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(path).width == width
        pixels = read_image(path)
    assert pixels.shape == (height, width, 3)
    assert (pixels[::999, ::999] == 77).all()


def test_limits_of_formats_are_told(tmp_path: Path) -> None:
    for name, width, height in (("a.webp", 16384, 10), ("a.jpg", 10, 65501), ("a.JPEG", 70000, 10)):
        with pytest.raises(OutputError, match=f"{width}x{height}"):
            check_image_size(Path(name), width, height)
        with pytest.raises(OutputError, match="at most"):
            write_image(tmp_path / name, np.zeros((height, width, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
    for name, size in (("a.webp", 16383), ("a.jpg", 65500), ("a.png", 70000)):
        write_image(tmp_path / name, np.zeros((1, size, 3), np.uint8))
        assert read_image(tmp_path / name).shape == (1, size, 3)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, PIXELS)
    if os.geteuid() == 0:
        pytest.skip("the administrator may open everything")
    path.chmod(0)
    for read in (read_image, read_deep_image, read_header):
        with pytest.raises(SourceError, match=r"cannot read .*a\.png"):
            read(path)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, form: str) -> None:
    whole, draw = saved(PIXELS, form), random.Random(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 2, 5))):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        (tmp_path / "a.png").write_bytes(damaged)
        with contextlib.suppress(SourceError):
            assert read_image(tmp_path / "a.png").ndim == 3
