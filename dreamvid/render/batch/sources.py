"""Find out which sources a user means: a folder or a pattern of videos stands for the videos in it."""

import mimetypes
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamvid.errors import SourceError
from dreamvid.image.io import IMAGE_SUFFIXES

# Of videos that Python's table of types lacks on some systems.
_MORE_SUFFIXES = (
    ".mkv",
    ".webm",
    ".mts",
    ".m2ts",
    ".mxf",
    ".y4m",
    ".ogv",
    ".wmv",
    ".flv",
    ".m4v",
    ".ts",
    ".vob",
    ".3gp",
)
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Expanded:
    """The sources that were named. several: more than one, or named by a folder or a pattern of files."""

    sources: tuple[str, ...]
    several: bool
    warnings: tuple[str, ...] = ()


def expand_videos(texts: Sequence[str]) -> Expanded:
    """Replace folders and patterns of videos by their videos; those of images are one source, a sequence.

    Anything else stays as it is: whether it is a source is told when it is opened. Raises SourceError for a folder with
    neither.
    """
    sources: list[str] = []
    warnings: list[str] = []
    expanded = False
    for text in texts:
        files = _files(text)
        if files is None:
            sources.append(text)
            continue
        images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        others = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
        named = not Path(text).expanduser().is_dir()  # by a pattern
        videos = [file for file in others if named or _is_video(file)]
        if not videos:
            sources.append(text)  # images, or nothing: opening it says so
            continue
        if images:
            warnings.append(
                f"{text} has {len(images)} images and {len(videos)} videos: the images are taken, as one video. For "
                f"the videos give a pattern such as '{_beside(text, videos[0])}'."
            )
            sources.append(text)
            continue
        expanded = True
        sources += map(str, videos)
        if left := [file.name for file in others if file not in videos]:
            warnings.append(f"{text} has files that are no videos, which are left out: {', '.join(left[:9])}")
    if len(texts) > 2 and all(Path(text).suffix.lower() in IMAGE_SUFFIXES for text in texts):
        folder = Path(texts[0]).parent
        warnings.append(
            f"each of these {len(texts)} images becomes a video of one frame. For one video of all give their folder, "
            f"or a pattern in quotes, such as '{folder / ('*' + Path(texts[0]).suffix)}'."
        )
    return Expanded(tuple(sources), expanded or len(texts) > 1, tuple(warnings))


def expand_images(texts: Sequence[str]) -> Expanded:
    """Replace folders and patterns by the images in them. Raises SourceError for one without images."""
    sources: list[str] = []
    expanded = False
    for text in texts:
        files = None if "://" in text else _files(text)
        if files is None:
            sources.append(text)
            continue
        images = [str(file) for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise SourceError(f"{text} has no images. Allowed: {', '.join(IMAGE_SUFFIXES)}.")
        expanded = True
        sources += images
    return Expanded(tuple(sources), expanded or len(texts) > 1)


def _files(text: str) -> list[Path] | None:
    """List the files that a folder or a pattern names, in natural order; None for anything else."""
    path = Path(text).expanduser()
    try:
        if os.path.isdir(path):  # noqa: PTH112 - Path's raises for names that are too long
            found = path.iterdir()
        elif not os.path.exists(path) and _PATTERN.search(path.name) and path.parent.is_dir():  # noqa: PTH110
            found = path.parent.glob(path.name)
        else:
            return None
        return sorted((file for file in found if file.is_file() and not file.name.startswith(".")), key=_natural)
    except (OSError, ValueError):
        return None


def _is_video(file: Path) -> bool:
    """Tell by the suffix; a broken video is one too."""
    kind, _ = mimetypes.guess_type(file.name)
    return (kind or "").startswith("video/") or file.suffix.lower() in _MORE_SUFFIXES


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def _beside(text: str, video: Path) -> str:
    path = Path(text)
    return str((path if path.is_dir() else path.parent) / f"*{video.suffix}")


Expand = Callable[[Sequence[str]], Expanded]
