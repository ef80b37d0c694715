"""Identify what a file holds by its first bytes, whatever its name says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from dreamvid.errors import SourceError
from dreamvid.image.io import IMAGE_SUFFIXES, refuse_heic

_HEAD_BYTES = 4096


@dataclass(frozen=True)
class Content:
    """Say what a file holds.

    kind: a still image, or a video (also for what is not recognized: ffmpeg is asked then). demuxer: ffmpeg's name of
    the format where ffmpeg has to be told, as it would take `%d` in an image's name for numbered images; "" otherwise.
    pages: the numbers of a still image's pages that are frames.
    """

    kind: Literal["still", "video"]
    demuxer: str = ""
    pages: tuple[int, ...] = (0,)


def identify(path: Path) -> Content:
    """Tell a still image from a video.

    Raises SourceError for a file that cannot be opened, an empty one, and an image of a kind that is not read (HEIC).
    """
    head = _head(path)
    named_image = path.suffix.lower() in IMAGE_SUFFIXES
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Content("video", "apng") if _is_animated_png(path) else Content("still")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Content("video", "gif")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
        return Content("video", "webp_anim") if animated else Content("still")
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return Content("still", pages=_frame_pages(path))
    if head[4:8] == b"ftyp":
        return _iso_media(path, head, named_image)
    if named_image and head.startswith(b"\x1aE\xdf\xa3"):
        return Content("video", "matroska")
    return Content("still" if named_image else "video")


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise SourceError(f"not a regular file: {path}. To stream, pipe y4m in and give '-'.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise SourceError(f"the file is empty: {path}")
    return head


def _is_animated_png(path: Path) -> bool:
    """Look for the chunk `acTL` with more than one frame, which stands before the pixels."""
    with path.open("rb") as file:
        file.seek(8)
        while len(begin := file.read(8)) == 8:
            length, name = int.from_bytes(begin[:4], "big"), begin[4:]
            if name == b"acTL":
                return int.from_bytes(file.read(4), "big") > 1
            if name == b"IDAT":
                return False
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _frame_pages(path: Path) -> tuple[int, ...]:
    """Find the pages of a TIFF that are as large as its first one, thumbnails left out."""
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            size, pages = image.size, []
            for page in range(getattr(image, "n_frames", 1)):
                image.seek(page)
                reduced = int(image.tag_v2.get(254, 0)) & 1  # type: ignore[attr-defined]
                if image.size == size and not reduced:
                    pages.append(page)
            return tuple(pages) or (0,)
    except Exception:  # whatever a damaged file makes of Pillow: reading the image says what is wrong
        return (0,)


def _iso_media(path: Path, head: bytes, named_image: bool) -> Content:
    """Tell images from videos in the family of MP4 by the brands that a file declares."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[place : place + 4] for place in (8, *range(16, end - 3, 4))}
    if head[8:12] in (b"avif", b"avis", b"mif1", b"msf1", b"miaf"):
        if b"avis" in brands:
            return Content("video", "mov")
        if b"avif" in brands:
            return Content("still")
    refuse_heic(head, path)
    return Content("video", "mov" if named_image else "")
