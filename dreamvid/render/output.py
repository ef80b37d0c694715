"""Describe where a result goes: the names next to it, what exists already, and the step that gives it its name."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dreamvid.errors import OutputError
from dreamvid.runtime.files import replace_atomically, sync_folder
from dreamvid.settings import Recipe, Settings
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.video.sink import FileSequence, Sink, open_sink


@dataclass(frozen=True)
class OutputTarget:
    """A render's output.

    path: the file, or for a sequence of images what the user named: a folder or a pattern. sink: what writes it.
    """

    path: Path
    sink: Sink

    @classmethod
    def from_path(cls, output: str | Path, settings: Settings) -> Self:
        """Choose the sink of what the user named as an output, and make sure that it can be encoded and written.

        Raises OutputError: an unknown suffix or codec, an encoder that does not work, no folder, no permission.
        """
        sink = open_sink(output, settings.video.codec, settings.video.crf)
        path = Path(output).expanduser()
        if not path.name or path.name == "..":
            path = path.resolve()
        folder = path.parent
        if not os.path.exists(folder):  # noqa: PTH110 - Path's raises for names that are too long
            raise OutputError(f"the folder for the output does not exist: {folder}. Make it first: mkdir -p {folder}")
        if not folder.is_dir():
            raise OutputError(f"the output's folder is a file: {folder}. Give another `output`.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"the folder {folder} cannot be written to. Change its permissions or give another `output`."
            )
        sink.check()
        return cls(path, sink)

    @property
    def recipe(self) -> Path:
        """Path of the recipe, next to the result."""
        return self.path.with_name(f"{self.path.name}.toml")

    @property
    def job_folder(self) -> Path:
        """Path of the folder that keeps the work until it is done."""
        return self.path.with_name(f".{self.path.name}.job")

    @property
    def partial(self) -> Path:
        """Path of the video of what is done so far, which `Sink.preview` writes; a sequence's is a video too."""
        preview = self.sink.preview()
        suffix = self.path.suffix if preview is None or self.sink.sequence is None else preview.suffix
        return self.path.with_name(f"{self.path.stem}.partial{suffix}")

    @property
    def still(self) -> Path:
        """Path of the latest frame."""
        return self.path.with_name(f"{self.path.stem}.partial.png")

    def joined(self, folder: Path) -> Path:
        """Name, inside the job's folder, of the result before its last step."""
        return folder / (f"result{self.path.suffix}" if self.sink.sequence is None else "result")

    def exists(self) -> bool:
        """Tell if something would be overwritten."""
        sequence = self.sink.sequence
        return os.path.lexists(self.path) if sequence is None else bool(sequence.files(sequence.folder(self.path)))

    def is_result_of(self, settings: Settings, kind: str, source_sha256: str) -> bool:
        """Tell if the output is there and its recipe has these settings and this source: a finished render."""
        if not self.exists() or self.job_folder.is_dir():
            return False
        try:
            tables = tomllib.loads(self.recipe.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        wanted = tomllib.loads(Recipe(settings, kind=kind).to_toml())
        same = all(tables.get(name) == wanted.get(name) for name in (*GROUPS_OF_KIND[kind], "schedules", "kind"))
        origin = tables.get("provenance")
        return same and isinstance(origin, dict) and origin.get("source_sha256") == source_sha256

    def refuse_overwriting(self) -> None:
        """Raise the OutputError for a result that is there already."""
        raise OutputError(
            f"the output exists: {self.path}. Add `overwrite=True` to replace it, or give another `output`."
        )

    def replace_atomically(self, joined: Path, count: int) -> None:
        """Give the joined result of `count` frames its final name; both survive a power cut.

        May be called again after a crash. Raises OutputError.
        """
        try:
            if self.sink.sequence is None:
                replace_atomically(joined, self.path)
            else:
                _publish_files(self.sink.sequence, joined, self.path, count)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}. Everything is rendered; run the same "
                "command again when it can be written."
            ) from error


def _publish_files(sequence: FileSequence, joined: Path, output: Path, count: int) -> None:
    folder = sequence.folder(output)
    folder.mkdir(exist_ok=True)
    for file in sorted(joined.iterdir()):
        file.replace(folder / file.name)
    for number, file in sequence.files(folder):
        if number >= count:  # of a longer sequence that was overwritten
            file.unlink()
    sync_folder(folder)
