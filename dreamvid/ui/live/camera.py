"""Read a picture of the browser's camera: data of a stranger, so of one format and of bounded size."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamvid.errors import SourceError

MOST_PIXELS = 1920 * 1920


def read_camera_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a JPEG into uint8 (H, W, 3), RGB. Raises SourceError; the size is checked before anything is decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise SourceError(
                    f"A camera's picture may have {MOST_PIXELS} pixels, got {image.width}x{image.height}."
                )
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged data
        raise SourceError(f"The camera's picture is no JPEG: {error}.") from None
