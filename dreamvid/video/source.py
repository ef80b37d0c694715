"""What the user names as a source, before anything is decoded."""

import atexit
import contextlib
import hashlib
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from dreamvid.errors import SourceError
from dreamvid.image.io import IMAGE_SUFFIXES
from dreamvid.runtime.files import hold
from dreamvid.video.demo import demo_graph
from dreamvid.video.ffmpeg import file_args

IMAGES_RATE = Fraction(25)  # images carry no time; this is also what ffmpeg assumes of them
_MIB = 1 << 20
_SPOOL, _SPOOLED, _SPOOL_SECONDS = "dreamvid-stdin-", "stdin.y4m", 60
_LONGEST_NAME = 255  # bytes; asking whether a longer one is there is an error on most systems


@dataclass(frozen=True)
class Source:
    """A film to be read: a file, a lavfi graph, numbered images, or what came in on stdin; or a file for its sound.

    `text` is what the user wrote. `paths` is the one file, every image in order, or nothing for lavfi.
    `images_rate` is how many images a second there are; only images need it.
    """

    kind: Literal["file", "lavfi", "images", "stdin", "sound"]
    text: str
    paths: tuple[Path, ...] = ()
    images_rate: Fraction = IMAGES_RATE

    def input_args(self) -> list[str]:
        """ffmpeg's options that open this source (images are read without ffmpeg and have none)."""
        if self.kind == "lavfi":
            return ["-f", "lavfi", "-i", self.text.removeprefix("lavfi:")]
        if self.kind == "images":
            raise SourceError("images are not opened by ffmpeg")
        # `file:` keeps names such as `-x.mp4` and `pipe:x.mp4` from meaning something else.
        # Named, because a `%d` in the name of a WebP would make ffmpeg look for numbered images.
        told = ["-f", "webp_anim"] if _is_animated_webp(self.paths[0]) else []
        return [*file_args(), *told, "-i", f"file:{self.paths[0].absolute()}"]

    def fingerprint(self) -> str:
        """A hash of the content, whatever the file is called and whenever it was touched.

        Size, first, middle and last MiB of a file; the names and the content of images; a graph's text.
        """
        digest = hashlib.sha256(self.kind.encode())
        if self.kind == "lavfi":
            digest.update(self.text.encode())
        if self.kind == "images":
            digest.update(str(self.images_rate).encode())
        for path in self.paths:
            if self.kind == "images":
                digest.update(path.name.encode("utf-8", "surrogateescape"))
            _hash_file(path, digest)
        return digest.hexdigest()


def _hash_file(path: Path, digest: "hashlib._Hash") -> None:
    try:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            for offset in sorted({0, max(0, size // 2 - _MIB // 2), max(0, size - _MIB)}):
                file.seek(offset)
                digest.update(file.read(_MIB))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def open_source(text: str | Path, *, images_rate: Fraction = IMAGES_RATE) -> Source:
    """Understand what the user named as a source.

    Allowed: a video file; one image; a folder of images (in natural order: 2 before 10); a pattern such
    as `f_%04d.png` or `shots/*.png`; `lavfi:GRAPH` (an ffmpeg filter graph, e.g. `lavfi:testsrc2=r=30:d=5`);
    `demo` (a landscape, made on the spot); `-` for y4m (or any other format that ffmpeg recognises) on stdin, which
    is first copied to a temporary file that lives until the program ends. A file that exists is always taken
    as itself.

    Raises:
        SourceError: nothing is there, it is empty, or a folder or pattern without images.
    """
    name = str(text)
    if name == "-":
        return Source("stdin", name, (_spool_stdin(),))
    if name.startswith("lavfi:"):
        if not name.removeprefix("lavfi:").strip():
            raise SourceError(
                "'lavfi:' lacks its filter graph. Write for example 'lavfi:testsrc2=size=640x360:rate=30:duration=5'."
            )
        return Source("lavfi", name)
    path = Path(name).expanduser()
    if any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in path.parts):
        raise SourceError(f"no such file or folder: {name}")
    if name == "demo" and not path.exists():
        return Source("lavfi", f"lavfi:{demo_graph()}")
    if path.is_dir():
        return Source("images", name, _images(path.iterdir(), f"the folder {path}"), images_rate)
    if path.exists():
        return _open_file(name, path, images_rate)
    if re.search(r"%0?\d*d", path.name):
        return Source("images", name, _match_numbered(path), images_rate)
    if any(character in path.name for character in "*?["):
        folder = path.parent
        matches = folder.glob(path.name) if folder.is_dir() else iter(())
        return Source("images", name, _images(matches, f"the pattern {name!r}"), images_rate)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", name):
        raise SourceError(f"addresses are not read: {name}. Download the video and give its file name.")
    raise SourceError(f"no such file or folder: {name}")


def _open_file(name: str, path: Path, images_rate: Fraction) -> Source:
    if not path.is_file():
        raise SourceError(f"not a regular file: {path}. To stream, pipe y4m in and give '-'.")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"the file is empty: {path}")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    if path.suffix.lower() in IMAGE_SUFFIXES and not _is_animated_webp(path):
        return Source("images", name, (path,), images_rate)
    return Source("file", name, (path,))


def _is_animated_webp(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _spool_stdin() -> Path:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("'-' reads y4m from stdin, and nothing is piped in. Give a file instead.")
    _remove_abandoned_spools()
    folder = Path(tempfile.mkdtemp(prefix=_SPOOL))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / _SPOOLED
    try:
        with path.open("wb") as file:
            hold(path)
            shutil.copyfileobj(sys.stdin.buffer, file, _MIB)
    except OSError as error:
        raise SourceError(f"cannot keep stdin's video in {folder}: {error.strerror or error}") from error
    if path.stat().st_size == 0:
        raise SourceError("nothing came in on stdin: the program before the pipe gave no video")
    return path


def _remove_abandoned_spools() -> None:
    """Remove what programs that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SPOOL}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            begun = time.time() - status.st_mtime < _SPOOL_SECONDS  # its film may not be locked yet
            if stat.S_ISDIR(status.st_mode) and not begun and hold(folder / _SPOOLED):
                shutil.rmtree(folder, ignore_errors=True)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part]


def _images(paths: Iterable[Path], what: str) -> tuple[Path, ...]:
    kept = [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    if not kept:
        raise SourceError(f"{what} has no images. Allowed: {', '.join(IMAGE_SUFFIXES)}.")
    return tuple(sorted(kept, key=_natural_key))


def _match_numbered(path: Path) -> tuple[Path, ...]:
    """The files that a printf pattern (`f_%04d.png`) names, in the order of their numbers."""
    match = re.search(r"%(0?)(\d*)d", path.name)
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
        raise SourceError(f"no file matches the pattern {path.name!r} in {path.parent}")
    return tuple(candidate for _, candidate in sorted(found))
