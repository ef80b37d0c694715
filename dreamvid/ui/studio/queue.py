"""Keep a queue of renders as files, so that neither a closed page nor a crash nor a power cut loses one.

A job is two files in the workspace's folder queue/:

    0007-film.toml   a preset with all settings of the render; [provenance] says of which source and where it goes
    0007-film.json   where it stands: its state, its place in the order, and the last message

`dreamvid run sources/film.mp4 -o results/film.mp4 --preset queue/0007-film.toml` renders it without the studio.
"""

import contextlib
import json
import re
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dreamvid.runtime.files import part_path, replace_atomically
from dreamvid.settings import Recipe, Settings, write_recipe
from dreamvid.ui.studio.doors import source_from_browser
from dreamvid.ui.studio.workspace import (
    QUEUE,
    RESULT_SUFFIXES,
    RESULTS,
    Workspace,
    WorkspaceError,
    is_plain_name,
    shown,
)

State = Literal["waiting", "running", "paused", "cancelled", "done", "failed"]
_STATES = ("waiting", "running", "paused", "cancelled", "done", "failed")
_ID = re.compile(r"\d{4,9}-\w[\w .()-]*")
_RUN_AGAIN: tuple[State, ...] = ("paused", "cancelled", "failed")


@dataclass(frozen=True)
class Status:
    """Where a job stands. order: its place; lower is earlier. pid: of its process while it runs, else 0.

    seconds: how long it took in all runs together.
    """

    state: State = "waiting"
    order: float = 0.0
    message: str = ""
    pid: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class QueuedRender:
    """A job. kind: run or zoom. source, output: names in the workspace. device: where it renders."""

    id: str
    kind: str
    source: str
    output: str
    preset: str
    device: str
    status: Status

    def arguments(self) -> list[str]:
        """List the arguments of `dreamvid`, relative to the workspace, that render it or continue it."""
        return [self.kind, self.source, "-o", self.output, "--preset", f"{QUEUE}/{self.id}.toml"]


class RenderQueue:
    """The jobs of a workspace. Any thread may use it; only one process may (see `QueueRunner`)."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._folder = workspace.root / QUEUE
        self._one_at_a_time = threading.RLock()

    def jobs(self) -> list[QueuedRender]:
        """List the jobs: what runs, then what waits in its order, then the rest, newest first."""
        found = [job for path in self._folder.glob("*.toml") if (job := self._read(path)) is not None]
        rank = {"running": 0, "waiting": 1, "paused": 1}
        return sorted(
            found,
            key=lambda job: (
                rank.get(job.status.state, 2),
                job.status.order if job.status.state in rank else -job.status.order,
                job.id,
            ),
        )

    def get(self, id: object) -> QueuedRender:
        """Find a job. Raises WorkspaceError."""
        if isinstance(id, str) and _ID.fullmatch(id) and is_plain_name(f"{id}.toml"):
            job = self._read(self.workspace.target(f"{QUEUE}/{id}.toml", QUEUE))
            if job is not None:
                return job
        raise WorkspaceError(f"there is no job {shown(id)} in the queue.")

    def add(
        self, kind: str, source: str, settings: Settings, *, preset: str = "", suffix: str = ".mp4"
    ) -> QueuedRender:
        """Add a render to the end. Raises WorkspaceError for a source that is not the workspace's.

        preset: what the settings started from, for the result's name. suffix: the result's format.
        """
        if suffix not in RESULT_SUFFIXES:
            raise WorkspaceError(f"a result cannot be a {shown(suffix)}. Allowed: {', '.join(RESULT_SUFFIXES)}.")
        source = source_from_browser(source, self.workspace, animation=kind == "zoom")
        with self._one_at_a_time:
            jobs = self.jobs()
            number = 1 + max((int(job.id.split("-")[0]) for job in jobs), default=0)
            stem = Path(source.partition("@")[0]).stem[:40]
            look = Path(preset).stem or "dream"
            output = self._unused_output(f"{stem}-{look}{suffix}", {job.output for job in jobs})
            plain = re.sub(r"[^\w .()-]", "-", stem)
            id = f"{number:04}-{plain}".rstrip(" .")
            recipe = Recipe(settings, kind, {"output": output, "source": source, "preset": preset})
            order = 1 + max((job.status.order for job in jobs), default=0.0)
            self._write(id, Status(order=order))  # first: a preset without a state is a job that begins at the front
            write_recipe(recipe, self._folder / f"{id}.toml")
            return self.get(id)

    def _unused_output(self, name: str, taken: set[str]) -> str:
        path = self.workspace.unused(RESULTS, name)
        stem, number = path.stem, 1
        while path.exists() or self.workspace.name(path) in taken:
            number += 1
            path = path.with_name(f"{stem}-{number}{path.suffix}")
        return self.workspace.name(path)

    def set(self, id: str, **changes: Any) -> QueuedRender:
        """Change the status of a job. Raises WorkspaceError."""
        with self._one_at_a_time:
            status = replace(self.get(id).status, **changes)
            self._write(id, status)
            return self.get(id)

    def move(self, id: str, by: int) -> None:
        """Move a job that waits by a number of places; negative is earlier. Raises WorkspaceError."""
        with self._one_at_a_time:
            waiting = [job for job in self.jobs() if job.status.state in ("waiting", "paused")]
            place = next((index for index, job in enumerate(waiting) if job.id == id), None)
            if place is None:
                self.get(id)
                raise WorkspaceError("only a job that waits can be moved.")
            waiting.insert(max(0, min(len(waiting) - 1, place + by)), waiting.pop(place))
            for order, job in zip(sorted(job.status.order for job in waiting), waiting, strict=True):
                self.set(job.id, order=order)

    def retry(self, id: str) -> QueuedRender:
        """Let a job that was paused, cancelled or that failed wait again; it continues with what is done."""
        with self._one_at_a_time:
            if self.get(id).status.state not in _RUN_AGAIN:
                raise WorkspaceError("only a job that was paused or cancelled, or that failed, can be tried again.")
            return self.set(id, state="waiting", message="", pid=0)

    def forget(self, id: str) -> None:
        """Remove a job that does not run, with what it has rendered so far; a finished result stays.

        Raises WorkspaceError.
        """
        with self._one_at_a_time:
            job = self.get(id)
            if job.status.state == "running":
                raise WorkspaceError("the job runs: cancel it first.")
            if job.status.state != "done":
                with contextlib.suppress(WorkspaceError):  # of a damaged job
                    self.workspace.clear_unfinished(job.output)
            for suffix in (".toml", ".json", ".log", ".lock", ".jpg"):
                (self._folder / f"{id}{suffix}").unlink(missing_ok=True)

    def path(self, job: QueuedRender, suffix: str) -> Path:
        """Name a file that belongs to a job."""
        return self._folder / f"{job.id}{suffix}"

    def _read(self, path: Path) -> QueuedRender | None:
        """Read a job; None for a file that is none, or that somebody else put there and names other things."""
        if not _ID.fullmatch(path.stem) or path.is_symlink():
            return None
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            origin = tables["provenance"]
            kind = str(tables["kind"])
            source = source_from_browser(origin["source"], self.workspace, animation=kind == "zoom")
            output = self.workspace.name(self.workspace.target(origin["output"], RESULTS))
            render = tables.get("render", {})
            device = str(render.get("device", "auto")) if isinstance(render, Mapping) else "auto"
        except WorkspaceError as error:  # its source was deleted
            return self._broken(path, tables, str(error))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if kind not in ("run", "zoom"):
            return None
        return QueuedRender(path.stem, kind, source, output, str(origin.get("preset", "")), device, self._status(path))

    def _broken(self, path: Path, tables: Mapping[str, Any], message: str) -> QueuedRender | None:
        status = self._status(path)
        if status.state in ("waiting", "running", "paused"):
            status = replace(status, state="failed", message=message, pid=0)
        origin = tables["provenance"]
        names = [str(origin.get(name, "")) for name in ("source", "output", "preset")]
        return QueuedRender(path.stem, str(tables.get("kind")), names[0], names[1], names[2], "auto", status)

    def _status(self, path: Path) -> Status:
        try:
            values = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            status = Status(
                values["state"],
                float(values["order"]),
                str(values["message"]),
                int(values["pid"]),
                float(values["seconds"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Status()
        return status if status.state in _STATES else Status()

    def _write(self, id: str, status: Status) -> None:
        path = self._folder / f"{id}.json"
        part = part_path(path)
        try:
            part.write_text(json.dumps(asdict(status)), encoding="utf-8")
            replace_atomically(part, path)
        finally:
            part.unlink(missing_ok=True)
