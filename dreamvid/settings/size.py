"""Define the size of an image in pixels."""

from typing import NamedTuple


class Size(NamedTuple):
    """A height and a width in pixels, in the order of tensors; `.width`, `.height` where a tool wants the other order.

    Users write and read sizes as WIDTHxHEIGHT.
    """

    height: int
    width: int
