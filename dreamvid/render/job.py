"""Keep the work of one render on disk, in a folder next to its output, so that it is never lost.

The folder holds `manifest.json` (what is rendered, written once), what `SegmentStore` keeps of each finished segment,
and at the end the joined result. Each file is written under another name, synced and renamed, so that the folder is
consistent at any moment.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from dreamvid.errors import JobError
from dreamvid.render.farm.segment_store import SegmentStore, disk_errors_as_output_errors, write_atomically
from dreamvid.render.fingerprint import diff_fingerprints
from dreamvid.render.output import OutputTarget
from dreamvid.render.plan import Plan
from dreamvid.runtime.files import LOCK_NAME, acquire

# Format 1 was that of dreamvid 0.1, whose settings had other names. Until format 3 one file, finished.json, listed the
# finished segments.
_FORMAT = 3
_MANIFEST, _FINISHED, _JOINED, _CLAIMS = "manifest.json", "finished.json", "joined.json", "beside.json"
# What each of them holds. A file that a bad disk has changed counts as missing.
_SHAPES: Mapping[str, TypeAdapter[Any]] = {
    _MANIFEST: TypeAdapter(dict[str, Any]),
    _JOINED: TypeAdapter(dict[Literal["stamp", "warnings"], list[int] | list[str]]),
    _CLAIMS: TypeAdapter(list[str]),
}


class Job(SegmentStore):
    """The locked job folder of an output; a context manager.

    Leaving the context frees the lock, and removes the folder if nothing in it is worth keeping.

    `warnings`: what was found to be lost of an earlier run, as sentences.

    Raises JobError when another render works on the same output, OutputError when the folder cannot be written.
    """

    def __init__(self, destination: OutputTarget) -> None:
        super().__init__(destination.job_folder, destination.sink.segment_suffix)
        self.destination = destination
        with disk_errors_as_output_errors(self.folder):
            self._lock = acquire(self.folder)
        if self._lock is None:
            raise JobError(
                f"another render is writing {destination.path} at the moment. Wait for it to finish, stop it, or "
                "give another `output`."
            )
        self._manifest = self._read(_MANIFEST)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is None:
            return
        planned = self._manifest is not None and self._manifest.get("planned")
        if self._manifest is None or not (planned or self.has_segments or self._read(_CLAIMS)):
            self.remove()
        else:
            self._release()

    @property
    def begun(self) -> bool:
        """Tell if a render was begun here."""
        return self._manifest is not None

    @property
    def has_segments(self) -> bool:
        """Tell if any segment is finished, by this version or an earlier one."""
        return super().has_segments or (self.folder / _FINISHED).exists()

    def clear(self) -> None:
        """Remove all work, and what was left next to the output."""
        self._remove_claimed()
        self._empty()
        self._manifest = None

    def begin(self, identity: Mapping[str, str], plan: Plan) -> None:
        """Start a job: write down what is rendered. Raises OutputError.

        Segments without a manifest cannot be attributed to any render, so they are removed.
        """
        if self.has_segments:
            self.warnings.append(
                f"what an earlier render left in {self.folder} has lost its {_MANIFEST} and cannot be continued; all "
                "frames are rendered again."
            )
        self.clear()
        self._manifest = {"format": _FORMAT, "identity": dict(identity), "plan": plan.to_json()}
        self._write(_MANIFEST, self._manifest)

    def keep(self) -> None:
        """Keep the folder although nothing is finished yet: others are going to render into it. Raises OutputError."""
        self._manifest = {**(self._manifest or {}), "planned": True}
        self._write(_MANIFEST, self._manifest)

    def adopt(self, identity: Mapping[str, str], plan: Plan) -> None:
        """Take over what others have rendered of a plan. Raises JobError if the job here is another one."""
        if self.begun:
            if self.resume(identity) != plan:
                raise JobError(f"the job in {self.folder} has another plan. Make the plan's file again from it.")
            return
        self._manifest = {"format": _FORMAT, "identity": dict(identity), "plan": plan.to_json()}
        self._write(_MANIFEST, self._manifest)

    def resume(self, identity: Mapping[str, str]) -> Plan:
        """Return the plan of the job that was begun. Raises JobError if it was another render."""
        assert self._manifest is not None
        ways_out = "Add `restart=True` to start again (the finished part is discarded), or give another `output`."
        try:
            before = dict(self._manifest["identity"])
            if self._manifest["format"] != _FORMAT:
                version = before.get("dreamvid", "another version")
                raise JobError(
                    f"{self.destination.path} was begun by dreamvid {version}, whose unfinished renders cannot be "
                    f"continued by this version. The first command finishes it with that version. {ways_out}"
                )
            plan = Plan.from_json(self._manifest["plan"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise JobError(
                f"the unfinished render of {self.destination.path} cannot be read (in {self.folder}). {ways_out}"
            ) from None
        changed = diff_fingerprints(before, identity)
        if changed:
            raise JobError(
                f"{self.destination.path} was begun differently: {'; '.join(changed)}. "
                f"The first command again finishes it ({sum(map(self.is_finished, plan.segments))} of "
                f"{len(plan.segments)} segments are done). {ways_out}"
            )
        for leftover in (*self.folder.glob(".*.part"), *self.folder.glob("preview-*")):
            _delete(leftover)
        return plan

    def claim(self, path: Path) -> None:
        """Note a file next to the output that is to be removed when the result is there. Raises OutputError."""
        claims = self._read(_CLAIMS) or []
        if path.name not in claims:
            self._write(_CLAIMS, [*claims, path.name])

    @property
    def joined(self) -> Path:
        """Name of the joined result."""
        return self.destination.joined(self.folder)

    def record_joined(self, warnings: Sequence[str]) -> None:
        """Note that the joined result is whole and only needs its final name. Raises OutputError."""
        with disk_errors_as_output_errors(self.folder):
            file = self.destination.sink.sequence is None
            stamp = _stamp(self.joined) if file else []
            self._write(_JOINED, {"stamp": stamp, "warnings": list(warnings)})

    def record_published(self) -> None:
        """Note that the result has its final name. Raises OutputError."""
        self._manifest = {**self._manifest, "published": True}
        self._write(_MANIFEST, self._manifest)

    def differs_from(self, identity: Mapping[str, str]) -> bool:
        """Tell if what was begun here is another render."""
        before = None if self._manifest is None else self._manifest.get("identity")
        return isinstance(before, dict) and bool(diff_fingerprints(before, identity))

    def joined_warnings(self) -> list[str] | None:
        """Return the warnings of a join that is done, with or without its final name; None if it is not done."""
        record = self._read(_JOINED)
        if published(self.destination):
            return list(record.get("warnings", [])) if record is not None else []
        if not {"stamp", "warnings"} <= (record or {}).keys():
            return None
        file = self.destination.sink.sequence is None
        done = record["stamp"] == _stamp(self.joined) if file else self.joined.is_dir()
        return list(record["warnings"]) if done else None

    def remove(self) -> None:
        """Remove the folder and what was left next to the output; frees the lock."""
        self._remove_claimed()
        self._empty()
        if os.name == "nt":
            self._release()  # an open file cannot be removed there
        with contextlib.suppress(OSError):
            (self.folder / LOCK_NAME).unlink()
            self.folder.rmdir()
        self._release()

    def _remove_claimed(self) -> None:
        for name in self._read(_CLAIMS) or []:
            if Path(name).name == name and ".partial" in name:
                with contextlib.suppress(OSError):
                    self.destination.path.with_name(name).unlink()

    def _empty(self) -> None:
        """Remove everything but the lock; the record that the result is published goes last."""
        last = (_FINISHED, _CLAIMS, _JOINED, _MANIFEST)
        with contextlib.suppress(OSError):
            for path in list(self.folder.iterdir()):
                if path.name not in (LOCK_NAME, *last):
                    _delete(path)
        for name in last:
            _delete(self.folder / name)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self, name: str) -> Any:
        return _read_json(self.folder / name)

    def _write(self, name: str, values: Any) -> None:
        with disk_errors_as_output_errors(self.folder):
            write_atomically(self.folder / name, json.dumps(values).encode())


def published(destination: OutputTarget) -> bool:
    """Tell if the output is the result of a job that was stopped before it could clean up."""
    if (_read_json(destination.job_folder / _MANIFEST) or {}).get("published"):
        return destination.exists()
    record = _read_json(destination.job_folder / _JOINED)
    return record is not None and bool(record.get("stamp")) and record["stamp"] == _stamp(destination.path)


def owns_output(destination: OutputTarget) -> bool:
    """Tell if the file with the final name is, or for a sequence is becoming, the result of an unfinished job."""
    moving = destination.sink.sequence is not None and (destination.job_folder / _JOINED).exists()
    return moving or published(destination)


def _read_json(path: Path) -> Any:
    try:
        return _SHAPES[path.name].validate_json(path.read_bytes(), strict=True)
    except (OSError, ValueError):
        return None


def _stamp(path: Path) -> list[int]:
    """Return what identifies a file and survives its renaming: inode, size and time; [] if there is none."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
