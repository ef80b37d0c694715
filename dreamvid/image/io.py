"""Single images in and out, always as RGB."""

import io
import os
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dreamvid.errors import OutputError, SourceError
from dreamvid.runtime.files import check_output_file, part_path, replace_atomically

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_PHOTOGRAPHS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow's names of them


def read_image(path: str | Path, *, background: int = 0) -> npt.NDArray[np.uint8]:
    """Read an image as uint8 RGB of shape (H, W, 3), upright.

    The EXIF orientation is applied; transparency is flattened on a gray of `background` (0 black, 255
    white); palettes, grays and 16-bit samples become 8-bit RGB. Of an animation, the first image.

    Raises:
        SourceError: the file is missing, empty, or no image that can be read.
    """
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        raise SourceError(f"no such image: {path}")
    if path.stat().st_size == 0:
        raise SourceError(f"the image is an empty file: {path}")
    return _decode(path, str(path), background, None)


def decode_image(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Read an image that came from elsewhere, as `read_image` does; `name` is for messages.

    Only the formats of photographs are looked at: some that Pillow knows are programs for other programs to run.
    """
    return _decode(io.BytesIO(data), name, 0, _PHOTOGRAPHS)


def _decode(
    file: Path | io.BytesIO, name: str, background: int, formats: tuple[str, ...] | None
) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file, formats=formats) as opened:
            opened.load()
            return _rgb(ImageOps.exif_transpose(opened), background)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise SourceError(f"cannot read {name} as an image{reason}. Allowed: {', '.join(IMAGE_SUFFIXES)}.") from error
    except Image.DecompressionBombError as error:
        raise SourceError(f"the image {name} is too large: {error}") from error


def _rgb(image: Image.Image, background: int) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":  # Pillow clips these to 8 bits; scale them
        samples = np.asarray(image, dtype=np.float64)
        if image.mode != "F" or samples.max(initial=0.0) > 255:
            samples = samples / 257.0
        gray = np.clip(np.rint(samples), 0, 255).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        flat = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(flat, image.convert("RGBA"))
    return np.array(image.convert("RGB"), dtype=np.uint8)


def write_image(path: str | Path, array: npt.NDArray[np.uint8]) -> None:
    """Write uint8 RGB (H, W, 3) under its final name only when it is complete; the suffix names the format.

    Raises:
        OutputError: an unknown suffix, a missing folder, a wrong array, or no room.
    """
    path = Path(path)
    check_output_file(path, IMAGE_SUFFIXES, overwrite=True)
    suffix = path.suffix.lower()
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise OutputError(f"an image is uint8 of shape (H, W, 3); got {array.dtype} of shape {array.shape}")
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
