"""Lays out several images as one, each with its label below."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dreamvid.errors import InputError, OutputError
from dreamvid.settings.size import Size

_MARGIN = 4  # pixels around each cell
_FONT_SIZE = 13
_LINE_HEIGHT = 16
_BACKGROUND, _INK = (24, 24, 24), (235, 235, 235)
_LARGEST_SIDE = 32_000


def contact_sheet(
    cells: Sequence[tuple[npt.NDArray[np.uint8], str]], *, columns: int | None = None
) -> npt.NDArray[np.uint8]:
    """Lay out images, uint8 RGB (H, W, 3), row by row with their labels; return uint8 RGB.

    columns: None for a sheet that is about square. A label that is wider than its image is broken into lines. Raises
    OutputError for a sheet of more than 32,000 pixels a side.
    """
    width = max(image.shape[1] for image, _ in cells)
    height = max(image.shape[0] for image, _ in cells)
    font = ImageFont.load_default(_FONT_SIZE)
    labels = [_lines(label, font, width) for _, label in cells]
    cell_width = width + 2 * _MARGIN
    cell_height = height + 2 * _MARGIN + _LINE_HEIGHT * max(len(lines) for lines in labels)
    count = check_layout(len(cells), Size(height, width), columns=columns)
    rows = -(-len(cells) // count)
    sheet = Image.new("RGB", (count * cell_width, rows * cell_height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, ((image, _), lines) in enumerate(zip(cells, labels, strict=True)):
        left, top = index % count * cell_width + _MARGIN, index // count * cell_height + _MARGIN
        sheet.paste(Image.fromarray(image), (left, top))
        draw.multiline_text((left, top + height + 1), "\n".join(lines), _INK, font, spacing=2)
    return np.asarray(sheet)


def check_width(width: int) -> None:
    """Raise InputError for a width of a sheet's images, in pixels, that is not from 16 to 4096."""
    if not 16 <= width <= 4096:
        raise InputError(f"`width` got {width}: allowed is from 16 to 4096 pixels.")


def check_layout(cells: int, size: Size, *, columns: int | None = None) -> int:
    """Compute the columns of a sheet of images of `size` before they are made; raises as `contact_sheet`."""
    height, width = size
    count = min(cells, columns or math.ceil(math.sqrt(cells * height / width)))
    sheet = Size(-(-cells // count) * (height + 2 * _MARGIN + _LINE_HEIGHT), count * (width + 2 * _MARGIN))
    if max(sheet) > _LARGEST_SIDE:
        raise OutputError(
            f"a sheet of {cells} images of {width}x{height} has {sheet.width}x{sheet.height} pixels; allowed are "
            f"{_LARGEST_SIDE} a side. Make the images smaller, or take fewer."
        )
    return count


def _lines(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Break a label at its spaces, and within words that are too long, to lines of at most `width` pixels."""
    lines: list[str] = []
    line = ""
    for word in label.split():
        wider = f"{line} {word}" if line else word
        if font.getlength(wider) <= width:
            line = wider
            continue
        if line:
            lines.append(line)
        while font.getlength(word) > width and len(word) > 1:
            fits = max(1, next(n for n in range(len(word), 0, -1) if n == 1 or font.getlength(word[:n]) <= width))
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line]
