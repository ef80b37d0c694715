"""Cut images of many pixels into strips of rows, so that what takes much memory is done with a part at a time."""

from collections.abc import Iterator

LARGE_PIXELS = 16_000_000
"""Images of more pixels are worked on in strips where they are floats: whole they would take gigabytes."""
STRIP_PIXELS = 2_000_000
"""About as many pixels are in a strip."""


def row_strips(height: int, width: int) -> Iterator[slice]:
    """Yield the rows of one strip after the other; together they are all rows of an image."""
    rows = max(1, STRIP_PIXELS // max(1, width))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))
