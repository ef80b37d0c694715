"""Hide the passwords of addresses where others may read them."""

import re

_USER = re.compile(r"//[^/@\s]*@")


def without_passwords(text: str) -> str:
    """Replace user and password of every address in a text: rtsp://me:secret@camera → rtsp://…@camera."""
    return _USER.sub("//…@", text)
