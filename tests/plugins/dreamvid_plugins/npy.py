"""A sink: one NumPy file for each frame."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dreamvid.errors import OutputError
from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import FileSequence, Recording, Sink


@dataclass(frozen=True)
class NpySink(Sink):
    sequence: FileSequence
    suffix = ".npy"

    @classmethod
    def open(cls, output: str, codec: str | None, crf: int | None) -> "NpySink":
        sequence = FileSequence.from_name(Path(output).name)
        if sequence is None:
            raise OutputError("write frame_%06d.npy")
        return cls(sequence)

    def open_segment(self, path: Path, spec: StreamSpec) -> "NpyWriter":
        return NpyWriter(path)

    def join(self, recording: Recording, output: Path) -> list[str]:
        part = part_path(output)
        part.mkdir()
        frames = (frame for path in recording.segments for frame in np.load(path))
        for number, frame in enumerate(frames):
            np.save(part / self.sequence.name(number), frame)
        part.rename(output) if not output.exists() else shutil.copytree(part, output, dirs_exist_ok=True)
        return []


class NpyWriter:
    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._frames = list[np.ndarray]()

    def write(self, pixels: np.ndarray, pts: int) -> None:
        self._frames.append(pixels.copy())
        self.count += 1

    def close(self) -> None:
        part = part_path(self.path)
        with part.open("wb") as file:
            np.save(file, np.stack(self._frames))
        replace_atomically(part, self.path)

    def abort(self) -> None:
        self._frames.clear()
