"""Keep the studio's files in one folder, as plain files, and be the only door to them.

    sources/   videos, images, sounds and masks to dream with
    results/   finished videos, each with its recipe
    recipes/   presets that were saved
    queue/     a preset file for each job of the queue, and its state
    .cache/    thumbnails and previews; can be deleted at any time

Whatever a browser names is `FOLDER/NAME` of one of the first four. Nothing else on the disk can be named: the form of a
name is checked first, then what it leads to.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamvid.errors import InputError

SOURCES, RESULTS, RECIPES, QUEUE = "sources", "results", "recipes", "queue"
FOLDERS = (SOURCES, RESULTS, RECIPES, QUEUE)

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".ts", ".gif", ".webp")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SOUND_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus")
RESULT_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".gif", ".webp")

# Letters, digits and a few signs that no shell, no path, no pattern of images and no ffmpeg protocol gives a meaning.
_NAME = re.compile(r"\w[\w .()+=&'!-]*")
_LONGEST_NAME = 160  # bytes; room for what results and recipes append, below the 255 of file systems
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows


class WorkspaceError(InputError):
    """A name does not lead to a file of the workspace."""


@dataclass(frozen=True)
class Workspace:
    """A studio's folder. root: its absolute path, without links."""

    root: Path

    @classmethod
    def open(cls, folder: str | Path) -> "Workspace":
        """Make the folder and what belongs into it, if it is missing. Raises WorkspaceError."""
        root = Path(folder).expanduser()
        try:
            for name in (*FOLDERS, ".cache"):
                (root / name).mkdir(parents=True, exist_ok=True)
            root = root.resolve()
            for name in (*FOLDERS, ".cache"):
                if (root / name).is_symlink():
                    raise WorkspaceError(f"{root / name} is a link. A workspace's folders have to be folders.")
        except OSError as error:
            raise WorkspaceError(
                f"the workspace {root} cannot be made: {error.strerror or error}. Give another folder: "
                "dreamvid studio FOLDER"
            ) from error
        return cls(root)

    @property
    def cache(self) -> Path:
        """The folder of what can be computed again."""
        return self.root / ".cache"

    def file(self, name: object, *folders: str) -> Path:
        """Find a file that exists by its name, `FOLDER/NAME`. Raises WorkspaceError.

        folders: those that are allowed; all of them without. Links are refused, wherever they lead.
        """
        path = self.target(name, *folders)
        if path.is_symlink() or not path.is_file():
            raise WorkspaceError(f"there is no file {name!r} in the workspace.")
        return path

    def target(self, name: object, *folders: str) -> Path:
        """Work out where a file of a name belongs, whether or not it exists. Raises WorkspaceError."""
        allowed = folders or FOLDERS
        if isinstance(name, str):
            folder, slash, rest = name.partition("/")
            if slash and folder in allowed and is_plain_name(rest):
                path = self.root / folder / rest
                if path.parent.resolve() == path.parent:  # else the folder was replaced by a link meanwhile
                    return path
        raise WorkspaceError(
            f"{shown(name)} does not name a file of the workspace. Allowed: a name in "
            f"{' or '.join(f'{folder}/' for folder in allowed)}, such as {allowed[0]}/film.mp4."
        )

    def name(self, path: Path) -> str:
        """Return the name by which `file` finds a path."""
        return f"{path.parent.name}/{path.name}"

    def files(self, folder: str, *suffixes: str) -> Iterator[Path]:
        """List the files of a folder whose names can be used, newest first. suffixes: lower case; all without."""
        found = [
            path
            for path in (self.root / folder).iterdir()
            if is_plain_name(path.name)
            and not path.is_symlink()
            and path.is_file()
            and (not suffixes or path.suffix.lower() in suffixes)
        ]
        yield from sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))

    def unused(self, folder: str, wanted: str) -> Path:
        """Return a path for a new file: the wanted name, made harmless, with a number where it is taken."""
        plain = plain_name(wanted)
        stem, suffix = Path(plain).stem, Path(plain).suffix
        path, number = self.root / folder / plain, 1
        while path.exists() or path.is_symlink():
            number += 1
            path = path.with_name(f"{stem}-{number}{suffix}")
        return path

    def results(self) -> list[Path]:
        """List the finished videos, newest first."""
        return [path for path in self.files(RESULTS, *RESULT_SUFFIXES) if ".partial" not in path.name]

    def clear_unfinished(self, name: str) -> None:
        """Delete what an unfinished render of a result has left. Raises WorkspaceError."""
        path = self.target(name, RESULTS)
        shutil.rmtree(path.with_name(f".{path.name}.job"), ignore_errors=True)
        for suffix in (path.suffix, ".png"):
            path.with_name(f"{path.stem}.partial{suffix}").unlink(missing_ok=True)

    def delete(self, name: str) -> list[Path]:
        """Delete a source, a recipe, or a result with what belongs to it; return what was deleted."""
        path = self.file(name, SOURCES, RESULTS, RECIPES)
        deleted = [path]
        if path.parent.name == RESULTS:
            beside = (f"{path.name}.toml", f"{path.stem}.score.json", f"{path.stem}.score.png")
            deleted += [path.with_name(other) for other in beside if path.with_name(other).is_file()]
            self.clear_unfinished(name)
        for file in deleted:
            file.unlink()
        return deleted


def is_plain_name(name: object) -> bool:
    """Tell whether a text is a file's name that means nothing but a file's name, whoever reads it."""
    return (
        isinstance(name, str)
        and _NAME.fullmatch(name) is not None
        and ".." not in name
        and not name.endswith((" ", "."))
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST_NAME
        and not _RESERVED.fullmatch(name)
    )


def plain_name(wanted: str) -> str:
    """Turn any text into such a name, keeping what can be kept of it and its suffix."""
    last = re.split(r"[\\/]", wanted.encode("utf-8", "ignore").decode())[-1]
    stem, dot, suffix = last.rpartition(".")
    if not dot:
        stem, suffix = last, ""
    stem = re.sub(r"[^\w .()+=&'!-]|\.\.+", "-", stem).lstrip(" .-+=&'!()").rstrip(" .")[:60].rstrip(" .")
    suffix = re.sub(r"\W", "", suffix, flags=re.ASCII)[:8]
    name = (stem or "file") + (f".{suffix}" if suffix else "")
    return name if is_plain_name(name) else f"file-{name}" if is_plain_name(f"file-{name}") else "file"


def shown(value: object) -> str:
    """Quote what came from outside for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
