"""Score results in processes of their own, one at a time, and keep the numbers and plots next to them."""

import json
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

from dreamvid.errors import DreamvidError
from dreamvid.runtime.files import part_path
from dreamvid.settings import VideoSettings, find_preset
from dreamvid.ui.studio.doors import source_from_browser
from dreamvid.ui.studio.runner import child_environment
from dreamvid.ui.studio.workspace import RESULTS, Workspace, WorkspaceError

_LONGEST_MESSAGE = 400


class Scoring:
    """Runs `dreamvid score` for results. Any thread may use it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._one_at_a_time = threading.Lock()
        self._working: dict[str, str] = {}

    def start(self, name: object) -> None:
        """Begin to score a result; raises WorkspaceError if it has no recipe or its source is gone."""
        path = self._workspace.file(name, RESULTS)
        source = source_of(path, self._workspace)
        if source is None:
            raise WorkspaceError("its source is not in the workspace, so that there is nothing to compare it with.")
        key = self._workspace.name(path)
        if self._working.get(key) != "scoring":
            self._working[key] = "scoring"
            threading.Thread(target=self._run, args=(path, source), name="score", daemon=True).start()

    def state(self, path: Path) -> dict[str, Any]:
        """Return what is known: `score` (numbers), or `scoring`, or `message` where it failed."""
        state = self._working.get(self._workspace.name(path), "")
        found: dict[str, Any] = {"scoring": state == "scoring", "message": "" if state == "scoring" else state}
        try:
            values = json.loads(path.with_name(f"{path.stem}.score.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return found
        return {**found, "score": {name: value for name, value in values.items() if isinstance(value, int | float)}}

    def _run(self, path: Path, source: str) -> None:
        key = self._workspace.name(path)
        try:
            message = self._score(path, source, key)
        except OSError as error:
            message = f"the score cannot be kept: {error.strerror or error}."
        if message:
            self._working[key] = message
        else:
            self._working.pop(key, None)

    def _score(self, path: Path, source: str, key: str) -> str:
        """Score a result; return what went wrong, or nothing."""
        plot = path.with_name(f"{path.stem}.score.png")
        command = [sys.executable, "-m", "dreamvid", "score", source, key, "--json", "--quiet", "--plot", str(plot)]
        with self._one_at_a_time:
            done = subprocess.run(
                command,
                cwd=self._workspace.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=child_environment(),
            )
        if done.returncode:
            text = done.stderr.decode("utf-8", "replace").strip()
            return text[-_LONGEST_MESSAGE:] or f"the score ended with code {done.returncode}."
        kept = path.with_name(f"{path.stem}.score.json")
        part = part_path(kept)
        part.write_bytes(done.stdout)
        part.replace(kept)
        return ""


def source_of(result: Path, workspace: Workspace) -> str | None:
    """Return the source that a result's recipe names, if it is in the workspace."""
    try:
        origin = tomllib.loads(result.with_name(f"{result.name}.toml").read_text(encoding="utf-8"))["provenance"]
        return source_from_browser(origin["source"], workspace)
    except (OSError, ValueError, KeyError, TypeError, WorkspaceError):
        return None


def first_frame_of(result: Path) -> int:
    """Return the frame of its source with which a result begins, by its recipe."""
    try:
        video = tomllib.loads(result.with_name(f"{result.name}.toml").read_text(encoding="utf-8")).get("video", {})
        return VideoSettings(frames=video["frames"]).frame_range()[0]
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def kind_of(result: Path) -> str:
    """Tell whether a result is of `run` or `zoom`; "" without a recipe."""
    try:
        return find_preset(result.with_name(f"{result.name}.toml")).kind
    except DreamvidError:
        return ""
