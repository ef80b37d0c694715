"""Read and write single images, always as RGB."""

import hashlib
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from dreamvid.errors import OutputError, SourceError
from dreamvid.image.strips import row_strips
from dreamvid.runtime.files import check_output_file, part_path, replace_atomically

# Pillow warns of damaged metadata, which is not used here: the orientation is read without it.
warnings.filterwarnings("ignore", module=r"PIL\.")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LARGEST_PIXELS = 200_000_000
"""Pixels of an image that is still read: a larger one is a mistake more often than an image, and fills the memory."""
LARGEST_SIDES = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""Pixels that an image of a format is wide and high at most; others have no limit that matters."""

_OPENCV = threading.Lock()  # for its log level
_PHOTOGRAPHS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow's names of them
_PROGRAMS = ("EPS",)  # formats that Pillow gives to another program to run
_HEAD_BYTES = 256
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_USUAL_WHITES = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_ORIENTATION = 0x0112  # the tag of EXIF and TIFF
_EVEN = 16  # levels of 255 by which colors that are meant to be alike may differ
_INTEGER_BYTES = {1: 1, 6: 1, 3: 2, 8: 2, 4: 4, 9: 4}  # EXIF's types of whole numbers


@dataclass(frozen=True)
class ImageHeader:
    """What an image's file tells without its pixels being read.

    width, height: in pixels, upright. bit_depth: 8, or 16 where `read_deep_image` gives uint16.
    """

    width: int
    height: int
    bit_depth: int


def read_image(path: str | Path, *, background: int = 0, page: int = 0) -> npt.NDArray[np.uint8]:
    """Read an image as uint8 RGB of shape (H, W, 3), upright.

    The EXIF orientation is applied; transparency is flattened on a gray of `background` (0 black, 255 white); palettes,
    grays and 16-bit samples become 8-bit RGB. Floats and 32-bit integers are scaled by what they hold, with a warning
    where that is a guess. Of an animation, the first image; of a file with several pages the one of number `page`.

    Raises:
        SourceError: the file is missing, empty, too large, or not an image that can be read.
    """
    path = _existing(path)
    with _open_file(path) as file, _opened(file, str(path), None, page) as image:
        return _to_8_bits(image, background, str(path))


def image_fingerprint(path: str | Path) -> str:
    """Hash the pixels that `read_image` returns: SHA-256, in hexadecimal. Raises SourceError."""
    return hashlib.sha256(read_image(Path(path).expanduser()).tobytes()).hexdigest()


def read_deep_image(path: str | Path, *, page: int = 0) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Read an image as `read_image` does, on black, as uint16 where its file has more than 8 bits per sample."""
    path = _existing(path)
    with _open_file(path) as file, _opened(file, str(path), None, page, load=False) as image:
        deep = _bit_depth(image) > 8
        image.load()
        if not deep:
            return _to_8_bits(image, 0, str(path))
        if image.mode.startswith(("I", "F")):
            return _scaled(image, np.uint16, str(path))
        samples = _with_opencv(path.read_bytes(), str(path))
        colors = samples[:, :, :3]
        if samples.shape[2] == 4:
            colors = np.empty(colors.shape, np.uint16)
            for rows in row_strips(*samples.shape[:2]):
                colors[rows] = np.rint(samples[rows, :, :3] * (samples[rows, :, 3:] / np.float64(65535)))
        # OpenCV turns TIFFs itself, and leaves PNGs as they are.
        return _upright(colors, 1 if image.format == "TIFF" else _orientation(image))


def read_mask(path: str | Path, *, page: int = 0) -> npt.NDArray[np.uint8]:
    """Read an image that says where something is to happen, as uint8 RGB (H, W, 3): white there, black elsewhere.

    Its colors say so, on black where it is transparent. If what shows of them is all of one color, or not gray, the
    shape is in the transparency alone, which is then returned as grays. Raises SourceError as `read_image` does.
    """
    colors = read_image(path, page=page)
    alpha = _read_alpha(_existing(path), page)
    if alpha is None or alpha.min() == 255 or not alpha.any():
        return colors
    # Colors that show only partly are darkened: they say nothing.
    shown = colors[alpha == 255] if (alpha == 255).any() else colors[alpha > 0]
    even = int((shown.max(axis=0).astype(int) - shown.min(axis=0)).max()) <= _EVEN
    gray = int((shown.max(axis=1).astype(int) - shown.min(axis=1)).max()) <= _EVEN
    return alpha[:, :, None].repeat(3, axis=2) if even or not gray else colors


def _read_alpha(path: Path, page: int) -> npt.NDArray[np.uint8] | None:
    """Read an image's transparency, upright (H, W): 0 is transparent, 255 opaque. None for an image without."""
    with _open_file(path) as file, _opened(file, str(path), None, page) as image:
        if image.mode.startswith(("I", "F")) or not image.has_transparency_data:
            return None
        alpha = np.array(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
        return _upright(alpha, _orientation(image))


def read_header(path: str | Path, *, page: int = 0) -> ImageHeader:
    """Look at an image's header. Raises SourceError as `read_image` does, but pixels may turn out to be damaged."""
    path = _existing(path)
    with _open_file(path) as file, _opened(file, str(path), None, page, load=False) as image:
        # Pillow gives the upright size of a TIFF.
        turned = _orientation(image) >= 5 and image.format != "TIFF"
        width, height = image.size[::-1] if turned else image.size
        return ImageHeader(width, height, _bit_depth(image))


def decode_image(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Read an image that came from elsewhere, as `read_image` does; `name` is for messages.

    Only the formats of photographs are looked at: some that Pillow knows are programs for other programs to run.
    """
    with _opened(io.BytesIO(data), name, _PHOTOGRAPHS) as image:
        return _to_8_bits(image, 0, name)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        raise SourceError(f"no such image: {path}")
    if path.stat().st_size == 0:
        raise SourceError(f"the image is an empty file: {path}")
    return path


def _open_file(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def _opened(
    file: IO[bytes], name: str, formats: tuple[str, ...] | None, page: int = 0, *, load: bool = True
) -> Iterator[Image.Image]:
    """Open an image with Pillow and refuse what is too large. Raises SourceError, whatever goes wrong in there."""
    try:
        refuse_heic(file.read(_HEAD_BYTES), name)
        file.seek(0)
        image = _identify(file, formats) or _from_opencv(file, name)
        if page:
            image.seek(page)
        width, height = image.size
        if width * height > LARGEST_PIXELS:
            raise SourceError(
                f"the image {name} is too large: {width}x{height} are {width * height / 1e6:.0f} million pixels. "
                f"At most {LARGEST_PIXELS / 1e6:.0f} million are read; make it smaller first."
            )
        if load:
            image.load()
        yield image
    except (SourceError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise SourceError(f"the image {name} is too large. Make it smaller first.") from None
    except Exception as error:  # Pillow raises almost anything for a damaged file
        raise SourceError(f"cannot read {name} as an image ({error}). Allowed: {', '.join(IMAGE_SUFFIXES)}.") from error


def _identify(file: IO[bytes], formats: tuple[str, ...] | None) -> Image.Image | None:
    """Open an image as `Image.open` does, without its own limit of size, which warns of an attack at 90 megapixels."""
    Image.init()
    prefix = file.read(16)
    failure: Exception | None = None
    for name in formats or Image.ID:
        factory, accepts = Image.OPEN[name]
        accepted = True if accepts is None else accepts(prefix)
        if name in _PROGRAMS or isinstance(accepted, str) or not accepted:
            continue
        if name == "JPEG":  # the registered factory looks for further images, which are not wanted
            factory = JpegImagePlugin.JpegImageFile
        file.seek(0)
        try:
            return factory(file, "")
        except Exception as error:  # not of this format, or damaged
            if accepts is not None:
                failure = failure or error
    if failure is not None and not _is_tiff(prefix):
        raise failure
    return None


def _is_tiff(head: bytes) -> bool:
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def refuse_heic(head: bytes, name: object) -> None:
    """Raise SourceError for the beginning of a HEIC image, as phones make them, whatever its name is."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[place : place + 4] for place in (8, *range(16, end - 3, 4))} if head[4:8] == b"ftyp" else set()
    if head[8:12] in (*_HEIC_BRANDS, b"mif1", b"msf1") and brands & _HEIC_BRANDS:
        raise SourceError(
            f"{name} is a HEIC image, as phones make them, which is not read here. Save it as JPEG or PNG first."
        )


def _from_opencv(file: IO[bytes], name: str) -> Image.Image:
    """Read a TIFF that Pillow does not know, such as one of three floats per pixel, scaled to 8 bits."""
    file.seek(0)
    data = file.read()
    if not _is_tiff(data[:4]):
        raise ValueError("it is not an image")
    samples = _with_opencv(data, name)
    colors = samples[:, :, :3]
    low, white = _range(colors, samples.dtype.kind == "f", name)
    return Image.fromarray(_stretch(colors, low, white, np.uint8))


def _with_opencv(data: bytes, name: str) -> npt.NDArray[Any]:
    """Decode samples of any depth as (H, W, 3) RGB or (H, W, 4) RGBA. Raises SourceError."""
    with _OPENCV:
        # It writes to stderr what an error says here.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            samples = None
        finally:
            cv2.utils.logging.setLogLevel(level)
    if samples is None:
        raise SourceError(f"cannot read {name} as an image. Allowed: {', '.join(IMAGE_SUFFIXES)}.")
    if samples.ndim == 2:
        samples = samples[:, :, None].repeat(3, axis=2)
    order = (2, 1, 0, 3)[: samples.shape[2]]
    return np.asarray(samples)[:, :, order]


def _bit_depth(image: Image.Image) -> int:
    """Tell if an image that is opened, and not loaded yet, has more than 8 bits per sample that can be read."""
    deep = image.mode.startswith(("I", "F"))
    if image.format == "PNG" and image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        deep = any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    elif image.format == "TIFF" and image.mode == "RGB":
        deep = getattr(image, "tag_v2", {}).get(258) == (16, 16, 16)
    return 16 if deep else 8


def _orientation(image: Image.Image) -> int:
    """Read how an image has to be turned, 1 to 8: by EXIF, TIFF or XMP; 1 where that is missing or damaged.

    EXIF is parsed here, as any fault in any of its fields makes Pillow fail or warn.
    """
    block = image.info.get("exif")
    if isinstance(block, bytes) and (found := _exif_orientation(block)):
        return found
    profile = image.info.get("Raw profile type exif")
    if isinstance(profile, str):
        lines = profile.split("\n")[3:]
        with_digits = "".join(lines)
        if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", with_digits) and (
            found := _exif_orientation(bytes.fromhex(with_digits))
        ):
            return found
    try:
        found = image.tag_v2.get(_ORIENTATION)  # type: ignore[attr-defined]
    except Exception:  # not a TIFF, or a damaged tag
        found = None
    if isinstance(found, int) and 2 <= found <= 8:
        return found
    for key in ("xmp", "XML:com.adobe.xmp"):
        text = image.info.get(key, b"")
        text = text.encode("utf-8", "replace") if isinstance(text, str) else text
        match = re.search(rb"tiff:Orientation(?:=\"|>)([1-8])[\"<]", text) if isinstance(text, bytes) else None
        if match:
            return int(match[1])
    return 1


def _exif_orientation(block: bytes) -> int | None:
    """Find the orientation in a block of EXIF; None where it cannot be read."""
    block = block.removeprefix(b"Exif\0\0")
    order = {b"II": "little", b"MM": "big"}.get(block[:2])
    if order is None:
        return None

    def number(start: int, size: int) -> int:
        return int.from_bytes(block[start : start + size], "little" if order == "little" else "big")

    begin = number(4, 4)
    for entry in range(begin + 2, min(begin + 2 + 12 * number(begin, 2), len(block) - 11), 12):
        if number(entry, 2) == _ORIENTATION:
            size = _INTEGER_BYTES.get(number(entry + 2, 2))
            found = 0 if size is None else number(entry + 8, size)
            return found if 1 <= found <= 8 else None
    return None


def _upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _to_8_bits(image: Image.Image, background: int, name: str) -> npt.NDArray[np.uint8]:
    if image.mode.startswith(("I", "F")):  # Pillow clips these to 8 bits; scale them
        return _scaled(image, np.uint8, name)
    transparent = image.has_transparency_data
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows in row_strips(image.height, image.width):
        part = image.crop((0, rows.start, image.width, rows.stop))
        if transparent:
            flat = Image.new("RGBA", part.size, (background, background, background, 255))
            part = Image.alpha_composite(flat, part.convert("RGBA"))
        pixels[rows] = np.asarray(part.convert("RGB"))
    return _upright(pixels, _orientation(image))


def _scaled(image: Image.Image, dtype: type[np.uint8] | type[np.uint16], name: str) -> npt.NDArray[Any]:
    """Scale one channel of 16-bit integers, 32-bit integers or floats to a gray RGB image."""
    samples = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I" and image.format == "TIFF" and 2 not in (tags.get(339) or (1,)):
        samples = samples.view(np.uint32)  # without a sign, which Pillow does not tell
    if image.mode.startswith("I;16") or image.format == "PNG":
        low, white = 0.0, 65535.0
    else:
        low, white = _range(samples, image.mode == "F", name)
    gray = _stretch(samples, low, white, dtype)
    return _upright(gray[:, :, None].repeat(3, axis=2), _orientation(image))


def _stretch(
    samples: npt.NDArray[Any], low: float, white: float, dtype: type[np.uint8] | type[np.uint16]
) -> npt.NDArray[Any]:
    """Bring `low` to 0 and `white` to the largest value of a type; what is beyond is clipped, and NaN is 0."""
    result = np.empty(samples.shape, dtype)
    for rows in row_strips(*samples.shape[:2]):
        values = np.nan_to_num(samples[rows].astype(np.float64), nan=low, posinf=white, neginf=low)
        result[rows] = np.rint((np.clip(values, low, white) - low) * (np.iinfo(dtype).max / (white - low)))
    return result


def _range(samples: npt.NDArray[Any], is_float: bool, name: str) -> tuple[float, float]:
    """Find the values that are black and white in an image whose file does not tell; warn where it is a guess."""
    finite = (samples[rows][np.isfinite(samples[rows])] for rows in row_strips(*samples.shape[:2]))
    ends = [(float(part.min()), float(part.max())) for part in finite if part.size]
    lowest, highest = min((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=0.0)
    if is_float and lowest >= -0.01 and highest <= 1:
        return 0.0, 1.0  # the usual range of floats
    low = lowest if lowest < -0.15 * max(abs(highest), 1.0) else 0.0
    if highest <= (1.5 if is_float else 1):
        white = 1.0
    elif is_float and highest <= 16:
        white = highest
    else:
        # Numbers of 8, 10, 12, 14 or 16 bits; resampled floats go a little beyond.
        usual = (white for white in _USUAL_WHITES if highest <= white * (1.1 if is_float else 1))
        full = (white for white in (2.0**31 - 1, 2.0**32 - 1) if white / 2 < highest <= white)
        white = next(usual, next(full, highest))
    white = max(white, low + 1e-12)
    warnings.warn(
        f"{name} holds numbers from {lowest:g} to {highest:g} and does not tell which is white; {low:g} is taken for "
        f"black and {white:g} for white",
        stacklevel=2,
    )
    return low, white


def check_image_size(path: Path, width: int, height: int) -> None:
    """Raise OutputError, before the work, for an image that is too large for the format of its name."""
    largest = LARGEST_SIDES.get(path.suffix.lower())
    if largest is not None and max(width, height) > largest:
        raise OutputError(
            f"a {path.suffix} image is at most {largest} pixels wide and high; this one has {width}x{height}. "
            "Write a .png instead, or give a smaller size."
        )


def write_image(path: str | Path, array: npt.NDArray[np.uint8]) -> None:
    """Write uint8 RGB (H, W, 3) under its final name only when it is complete; the suffix names the format.

    Raises:
        OutputError: an unknown suffix, a missing folder, a wrong array, too large a size, or no room.
    """
    path = Path(path)
    check_output_file(path, IMAGE_SUFFIXES, overwrite=True)
    suffix = path.suffix.lower()
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise OutputError(f"an image is uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}")
    check_image_size(path, array.shape[1], array.shape[0])
    part = part_path(path)
    options: dict[str, Any] = {"quality": 95} if suffix in (".jpg", ".jpeg", ".webp") else {}
    if suffix in (".jpg", ".jpeg"):
        options["subsampling"] = 0  # saturated patterns at pixel size suffer most from halved chroma
    try:
        part.write_bytes(iio.imwrite("<bytes>", array, extension=suffix, plugin="pillow", **options))
        replace_atomically(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
