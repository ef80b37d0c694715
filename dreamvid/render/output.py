"""Where a result goes: the names beside it, what is there already, and the last step that puts it there."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dreamvid.errors import OutputError
from dreamvid.runtime.files import replace_atomically, sync_folder
from dreamvid.settings import Settings
from dreamvid.video.formats import OutputFormat, check_encoder, output_format


@dataclass(frozen=True)
class OutputTarget:
    """A render's output.

    `path`: the film, or for a PNG sequence what the user named: a folder or a pattern. `fmt`: what it is made
    of.
    """

    path: Path
    fmt: OutputFormat

    @classmethod
    def from_path(cls, output: str | Path, settings: Settings) -> Self:
        """Understand what the user named as an output, and make sure that it can be encoded and written.

        Raises OutputError: an unknown suffix or codec, an encoder that does not run, no folder, no
        permission.
        """
        fmt = output_format(output, settings.video.codec, settings.video.crf)
        path = Path(output).expanduser()
        if not path.name or path.name == "..":
            path = path.resolve()
        folder = path.parent
        if not os.path.exists(folder):  # noqa: PTH110 - Path's raises for names that are too long
            raise OutputError(f"the folder for the output does not exist: {folder}. Make it first: mkdir -p {folder}")
        if not folder.is_dir():
            raise OutputError(f"the output's folder is a file: {folder}. Give another output with -o.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"the folder {folder} cannot be written to. Change its permissions or give another output with -o."
            )
        check_encoder(fmt.codec)
        return cls(path, fmt)

    @property
    def recipe(self) -> Path:
        """The recipe beside the result."""
        return self.path.with_name(f"{self.path.name}.toml")

    @property
    def job_folder(self) -> Path:
        """Where the work is kept until it is done."""
        return self.path.with_name(f".{self.path.name}.job")

    @property
    def partial(self) -> Path:
        """The film of what is done so far; a sequence's is a lossless film."""
        suffix = ".mkv" if self.fmt.file_pattern is not None else self.path.suffix
        return self.path.with_name(f"{self.path.stem}.partial{suffix}")

    @property
    def partial_format(self) -> OutputFormat:
        """What the film of what is done so far is made of: the same segments."""
        return self.fmt if self.fmt.file_pattern is None else output_format(self.partial, self.fmt.codec)

    @property
    def still(self) -> Path:
        """The latest image."""
        return self.path.with_name(f"{self.path.stem}.partial.png")

    def joined(self, folder: Path) -> Path:
        """Name, inside the job's folder, of the result before its last step."""
        return folder / (f"result{self.path.suffix}" if self.fmt.file_pattern is None else "result")

    def exists(self) -> bool:
        """Whether something would be overwritten."""
        if self.fmt.file_pattern is None:
            return os.path.lexists(self.path)
        return bool(self._images())

    def refuse_overwriting(self) -> None:
        """Raise the OutputError for a result that is there already."""
        raise OutputError(
            f"the output exists: {self.path}. Add --overwrite to replace it, or give another output with -o."
        )

    def replace_atomically(self, joined: Path, count: int) -> None:
        """Give the joined result of `count` frames its final name; both survive a power cut.

        May be called again after a crash. Raises OutputError.
        """
        try:
            if self.fmt.file_pattern is None:
                replace_atomically(joined, self.path)
            else:
                self._publish_images(joined, count)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}. Everything is rendered; run the same "
                "command again when it can be written."
            ) from error

    def _image_folder(self) -> Path:
        return self.path.parent if self.path.name == self.fmt.file_pattern else self.path

    def _images(self) -> list[tuple[int, Path]]:
        """Numbers and paths of the images of this name that are there."""
        assert self.fmt.file_pattern is not None
        folder = self._image_folder()
        if not folder.is_dir():
            return []
        head, tail = re.split(r"%0?\d*d", self.fmt.file_pattern, maxsplit=1)
        name = re.compile(re.escape(head.replace("%%", "%")) + r"(\d+)" + re.escape(tail.replace("%%", "%")))
        matches = ((name.fullmatch(path.name), path) for path in folder.iterdir())
        return sorted((int(match[1]), path) for match, path in matches if match)

    def _publish_images(self, joined: Path, count: int) -> None:
        folder = self._image_folder()
        folder.mkdir(exist_ok=True)
        for image in sorted(joined.iterdir()):
            image.replace(folder / image.name)
        for number, image in self._images():
            if number >= count:  # of a longer sequence that was overwritten
                image.unlink()
        sync_folder(folder)
