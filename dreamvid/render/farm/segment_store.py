"""Keep finished segments in a folder: for each a file, a record that says it is whole, and the state at its end.

The folder may be shared: a segment is finished when its file and its record are there, whoever has rendered it. Each
file is written under another name, synced and renamed, so that the folder is consistent at any moment.
"""

import contextlib
import errno
import hashlib
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import safetensors
import safetensors.torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from dreamvid.errors import OutputError
from dreamvid.render.plan import Plan, Segment
from dreamvid.runtime.files import part_path, replace_atomically

_log = logging.getLogger(__name__)


OVERLAP_SUFFIX = "-overlap.mov"
"""The end of the names of segments that dissolve into one another: they are encoded without loss."""


@dataclass(frozen=True)
class SegmentRecord:
    """What is known of a finished segment.

    size, sha256: of its file. frames: how many are in it. device: what dreamed them, such as "cpu" or "cuda (NVIDIA
    H100)". host: the machine's name.
    """

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    frames: Annotated[int, Field(ge=1)]
    device: Annotated[str, Field(max_length=200)]
    host: Annotated[str, Field(max_length=300)]

    @classmethod
    def of_file(cls, path: Path, frames: int, device: str) -> "SegmentRecord":
        """Describe a file that this machine has rendered. Raises OSError."""
        return cls(path.stat().st_size, file_sha256(path), frames, device, platform.node())


_RECORD: TypeAdapter[SegmentRecord] = TypeAdapter(SegmentRecord)


class SegmentStore:
    """A folder of segments. suffix: that of the segments' files.

    `warnings`: what was found to be lost of earlier work, as sentences.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self._suffix = folder, suffix
        self.warnings: list[str] = []

    def segment_path(self, segment: Segment) -> Path:
        """Name the file of a segment."""
        return self.folder / (f"{segment.index:06d}{OVERLAP_SUFFIX if segment.overlap else self._suffix}")

    def seam_path(self, segment: Segment) -> Path:
        """Name the file of the seam that a segment with an overlap begins with; a result plays it in its place."""
        return self.folder / f"{segment.index:06d}-seam{self._suffix}"

    def result_path(self, segment: Segment) -> Path:
        """Name the file that a result plays for a segment."""
        return self.seam_path(segment) if segment.overlap else self.segment_path(segment)

    def record_path(self, segment: Segment) -> Path:
        """Name the record of a segment."""
        return self.folder / f"{segment.index:06d}.json"

    def state_path(self, segment: Segment) -> Path:
        """Name the file of the state at the end of a segment."""
        return self.folder / f"{segment.index:06d}.safetensors"

    def record(self, segment: Segment) -> SegmentRecord | None:
        """Read the record of a segment; None if it is missing or damaged."""
        try:
            return _RECORD.validate_json(self.record_path(segment).read_bytes(), strict=True)
        except (OSError, ValueError):
            return None

    def finish_segment(self, segment: Segment, state: Mapping[str, Tensor] | None, *, device: str) -> None:
        """Record a segment whose file is on disk. state: what the next one needs, None if nothing.

        device: what dreamed it. Raises OutputError.
        """
        with disk_errors_as_output_errors(self.folder):
            self._write_record(
                segment, SegmentRecord.of_file(self.segment_path(segment), segment.count, device), _packed(state)
            )

    def take_in(self, segment: Segment, record: SegmentRecord, content: bytes, state: bytes | None) -> bool:
        """Write and record a segment that another machine has sent; return False if its checksum is not the record's.

        state: the bytes of the state's file. Raises OutputError.
        """
        if hashlib.sha256(content).hexdigest() != record.sha256 or record.frames != segment.count:
            return False
        with disk_errors_as_output_errors(self.folder):
            write_atomically(self.segment_path(segment), content)
            self._write_record(segment, record, state)
        return True

    def _write_record(self, segment: Segment, record: SegmentRecord, state: bytes | None) -> None:
        if state is not None:
            write_atomically(self.state_path(segment), state)
        write_atomically(self.record_path(segment), json.dumps(asdict(record)).encode())
        if segment.index:
            (self.folder / f"{segment.index - 1:06d}.safetensors").unlink(missing_ok=True)

    def forget(self, segment: Segment) -> None:
        """Count a segment as not rendered. Raises OSError."""
        self.record_path(segment).unlink(missing_ok=True)

    def state_before(self, segment: Segment) -> Path:
        """Name the file of the state at the end of the segment before this one."""
        return self.folder / f"{segment.index - 1:06d}.safetensors"

    def load_state(self, segment: Segment) -> dict[str, Tensor] | None:
        """Read the state at the end of the segment before this one; None if it is missing or damaged."""
        return load_checkpoint(self.state_before(segment))

    def is_finished(self, segment: Segment) -> bool:
        """Tell if a segment's file exists and is as long as its record says."""
        record = self.record(segment)
        try:
            return record is not None and self.segment_path(segment).stat().st_size == record.size
        except OSError:
            return False

    def is_whole(self, segment: Segment) -> bool:
        """Tell if a segment is finished and its file has the checksum of its record; reads the file."""
        record = self.record(segment)
        with contextlib.suppress(OSError):
            return record is not None and file_sha256(self.segment_path(segment)) == record.sha256
        return False

    @property
    def has_segments(self) -> bool:
        """Tell if any segment is recorded."""
        with contextlib.suppress(OSError):
            return any(path.stem.isdecimal() for path in self.folder.glob("*.json"))
        return False

    def devices(self, plan: Plan) -> list[str]:
        """List the kinds of devices that have dreamed the segments, each once."""
        records = map(self.record, plan.segments)
        return list(dict.fromkeys(record.device for record in records if record is not None))

    def unfinished(self, segments: Sequence[Segment]) -> list[Segment]:
        """List, in order, those of a plan's or a chunk's segments that have to be rendered.

        Where the state before a segment is lost, the segment before it is needed too, back to the next one that stands
        alone. What was finished and has to be rendered again is told in `warnings`.
        """
        by_index = {segment.index: segment for segment in segments}
        needed = {segment.index for segment in segments if not self.is_finished(segment)}
        damaged = sorted(index for index in needed if self.record_path(by_index[index]).exists())
        stateless: list[int] = []
        for segment in reversed(segments):
            carried = segment.stands_alone or segment.index - 1 in needed
            known = segment.index - 1 in by_index
            if segment.index in needed and known and not carried and self.load_state(segment) is None:
                stateless.append(segment.index - 1)
                needed.add(segment.index - 1)
        if damaged:
            self._tell_lost("segments that were finished are missing or damaged", [by_index[i] for i in damaged])
        if stateless:
            cause = "the state that the next frames need cannot be read"
            self._tell_lost(cause, [by_index[i] for i in reversed(stateless)])
        return [by_index[index] for index in sorted(needed)]

    def _tell_lost(self, cause: str, segments: Sequence[Segment]) -> None:
        frames = ", ".join(f"{segment.start}:{segment.stop}" for segment in segments)
        self.warnings.append(f"in {self.folder} {cause}, so these frames are rendered again: {frames}.")


def file_sha256(path: Path) -> str:
    """Hash a whole file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that gets its name when it is whole and on the disk. Raises OSError."""
    part = part_path(path)
    try:
        part.write_bytes(content)
        replace_atomically(part, path)
    finally:
        part.unlink(missing_ok=True)


def _packed(state: Mapping[str, Tensor] | None) -> bytes | None:
    if state is None:
        return None
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()})


def save_checkpoint(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors bit for bit as safetensors; the file gets its name when it is whole and synced. Raises OSError."""
    packed = _packed(state)
    assert packed is not None
    write_atomically(path, packed)


def load_checkpoint(path: Path) -> dict[str, Tensor] | None:
    """Read what `save_checkpoint` wrote, on the CPU; None if it is missing or damaged."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError):
        return None


@contextlib.contextmanager
def disk_errors_as_output_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with the disk into an OutputError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise
        _log.info("a disk error in %s", folder, exc_info=error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"the disk is full: no space left in {folder}. Free some, then run the same command again."
        elif error.errno == errno.EFBIG:
            message = f"the limit on file sizes was reached in {folder}; raise it (ulimit -f) and run again."
        elif not folder.parent.is_dir():
            message = f"the folder for the output is gone: {folder.parent}. Make it again, or give another `output`."
        elif error.errno == errno.ENOENT:
            message = f"files are gone from {folder}. Run the same command again."
        else:
            message = (
                f"cannot write in the folder {folder.parent}: {error.strerror or error}. Change its "
                "permissions or give another `output`."
            )
        raise OutputError(message) from error


def device_name(device: object) -> str:
    """Name a device with its kind, for records: "cpu", "cuda (NVIDIA H100 80GB HBM3)"."""
    import torch

    chosen = torch.device(str(device))
    return f"cuda ({torch.cuda.get_device_name(chosen)})" if chosen.type == "cuda" else chosen.type
