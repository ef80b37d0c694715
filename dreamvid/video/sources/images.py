"""Images as a source: one image, a folder of images, or a pattern such as `f_%04d.png` or `shots/*.png`."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamvid.errors import SourceError
from dreamvid.image.content import identify
from dreamvid.image.io import IMAGE_SUFFIXES, read_deep_image, read_header
from dreamvid.image.tensors import to_8_bits
from dreamvid.video.source import IMAGES_RATE, FrameSource, Pixels, SourceOptions, hash_content

_DEEP_SUFFIXES = (".png", ".tif", ".tiff")  # of images that may have more than 8 bits per sample
_NUMBERED = re.compile(r"%(0?)(\d*)d")


@dataclass(frozen=True, kw_only=True)
class ImagesSource(FrameSource):
    """Images as frames, in order. pages: of a single file with several pages, those that are frames."""

    kind: str = "images"
    pages: tuple[int, ...] = (0,)
    timeless: bool = True

    def frame(self, index: int) -> Pixels:
        """Read an image."""
        pixels = read_deep_image(self._path(index), page=self._page(index))
        if self.bit_depth > 8 and pixels.dtype == np.uint8:  # one of 8 bits among those of 16
            return pixels.astype(np.uint16) * np.uint16(257)
        return pixels if self.bit_depth > 8 else to_8_bits(pixels)

    def check(self, index: int) -> None:
        """Refuse what is not an image; only the header is read, as thousands may follow."""
        read_header(self._path(index), page=self._page(index))

    def _path(self, index: int) -> Path:
        return self.paths[index if len(self.pages) == 1 else 0]

    def _page(self, index: int) -> int:
        return self.pages[index if len(self.pages) > 1 else 0]

    def fingerprint(self) -> str:
        """Hash the rate, and the names and the content of all images."""
        named = (part for path in self.paths for part in (path.name, path))
        return hash_content(self.kind, [str(self.frame_rate), *named])


class _Images:
    form = "an image, a folder of images, a pattern such as f_%04d.png or shots/*.png"

    def claims(self, text: str) -> bool:
        path = Path(text).expanduser()
        if os.path.exists(path):  # noqa: PTH110 - Path's raises for names that are too long
            return path.is_dir() or identify(path).kind == "still"
        if "://" in text:
            return False
        # Brackets may be part of a name: `clip [1080p].mp4` is a pattern only where images match it.
        is_pattern = _NUMBERED.search(path.name) is not None or any(character in path.name for character in "*?")
        return is_pattern or ("[" in path.name and any(map(_is_image, _matches(path))))

    def open(self, text: str, options: SourceOptions) -> ImagesSource:
        path = Path(text).expanduser()
        pages: tuple[int, ...] = (0,)
        if path.is_dir():
            paths = _images(path.iterdir(), f"the folder {path}")
        elif os.path.exists(path):  # noqa: PTH110
            paths, pages = (path,), identify(path).pages
        elif _NUMBERED.search(path.name):
            paths = _numbered(path)
        else:
            paths = _images(_matches(path), f"the pattern {text!r}")
        return ImagesSource(
            text=text,
            paths=paths,
            pages=pages,
            frame_rate=options.images_rate or IMAGES_RATE,
            count=max(len(paths), len(pages)),
            bit_depth=_bit_depth(paths, pages),
        )


PLUGIN = _Images()


def _bit_depth(paths: tuple[Path, ...], pages: tuple[int, ...]) -> int:
    """Find the largest number of bits per sample: whatever comes first, no image is to lose some."""
    if len(pages) > 1:
        return max(read_header(paths[0], page=page).bit_depth for page in pages)
    first, *others = paths
    depths = (read_header(path).bit_depth for path in others if path.suffix.lower() in _DEEP_SUFFIXES)
    return 16 if read_header(first, page=pages[0]).bit_depth > 8 or any(depth > 8 for depth in depths) else 8


def _matches(path: Path) -> list[Path]:
    """List the files that a pattern with `*`, `?` or `[…]` names."""
    return list(path.parent.glob(path.name)) if path.name and path.parent.is_dir() else []


def _images(paths: Iterable[Path], what: str) -> tuple[Path, ...]:
    kept = list(filter(_is_image, paths))
    if not kept:
        raise SourceError(f"{what} has no images. Allowed: {', '.join(IMAGE_SUFFIXES)}.")
    return tuple(sorted(kept, key=_natural_key))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def _numbered(path: Path) -> tuple[Path, ...]:
    """Find the files that a printf pattern (`f_%04d.png`) names, in the order of their numbers."""
    match = _NUMBERED.search(path.name)
    assert match is not None
    head, tail = path.name[: match.start()].replace("%%", "%"), path.name[match.end() :].replace("%%", "%")
    width = int(match[2] or 1)
    digits = rf"(\d{{{width},}})" if match[1] else r"(\d+)"
    pattern = re.compile(re.escape(head) + digits + re.escape(tail))
    found: list[tuple[int, Path]] = []
    if path.parent.is_dir():
        for candidate in path.parent.iterdir():
            number = pattern.fullmatch(candidate.name)
            if number:
                found.append((int(number[1]), candidate))
    if not found:
        raise SourceError(f"no such file, and no file matches the pattern {path.name!r} in {path.parent}")
    return tuple(candidate for _, candidate in sorted(found))
