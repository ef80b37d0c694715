"""A sink: one line for each frame, with its time and its mean color."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dreamvid.errors import OutputError
from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.video.encode import StreamSpec
from dreamvid.video.sink import Recording, Sink


class CsvSink(Sink):
    suffix = ".csv"

    @classmethod
    def open(cls, output: str, codec: str | None, crf: int | None) -> "CsvSink":
        if codec is not None:
            raise OutputError(f"a .csv file has no codec; leave out {codec!r}")
        return cls()

    def fingerprint(self, bit_depth: int, hdr: bool) -> str:
        return "mean of all pixels"

    def open_segment(self, path: Path, spec: StreamSpec) -> "CsvWriter":
        return CsvWriter(path, spec)

    def join(self, recording: Recording, output: Path) -> list[str]:
        write_lines(output, [line for path in recording.segments for line in path.read_text().splitlines()])
        return []


class CsvWriter:
    def __init__(self, path: Path, spec: StreamSpec) -> None:
        self.path, self.count = path, 0
        self._spec, self._lines = spec, list[str]()

    def write(self, pixels: np.ndarray, pts: int) -> None:
        color = pixels.mean(axis=(0, 1)) / np.iinfo(pixels.dtype).max
        self._lines.append(",".join(f"{value:.4f}" for value in (float(self._spec.seconds(pts)), *color)))
        self.count += 1

    def close(self) -> None:
        write_lines(self.path, self._lines)

    def abort(self) -> None:
        self._lines.clear()


def write_lines(path: Path, lines: Sequence[str]) -> None:
    part = part_path(path)
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    replace_atomically(part, path)
