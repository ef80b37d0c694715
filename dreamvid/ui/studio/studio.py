"""Hold the parts of one studio together: its workspace, queue, previews and scores."""

import contextlib
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dreamvid.ui.studio.dreaming.process import DreamingProcess
from dreamvid.ui.studio.queue import RenderQueue
from dreamvid.ui.studio.runner import QueueRunner
from dreamvid.ui.studio.scoring import Scoring
from dreamvid.ui.studio.uploads import clean_up
from dreamvid.ui.studio.workspace import Workspace

_CACHE_FILES, _CACHE_BYTES = 2000, 512 << 20
_PART_SECONDS = 3600  # a file that is written takes no longer


class Studio:
    """One studio at work; a context manager. Raises InputError if another one has the workspace open.

    Entering it starts the dreaming process first, which loads PyTorch while the page is put together.
    """

    def __init__(self, workspace: Workspace, *, upload_limit: int) -> None:
        self.workspace = workspace
        self.upload_limit = upload_limit
        self.queue = RenderQueue(workspace)
        self.runner = QueueRunner(self.queue)
        self.dreams = DreamingProcess(workspace.root)
        self.scoring = Scoring(workspace)

    def __enter__(self) -> Self:
        self.dreams.start()
        clean_up(self.workspace)
        trim_cache(self.workspace.cache)
        self.runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dreams.close()
        self.runner.stop_jobs()
        self.runner.__exit__()


def trim_cache(cache: Path) -> None:
    """Delete what was made longest ago, so that the cache stays small."""
    found: list[tuple[float, int, Path]] = []
    for path in cache.rglob("*"):
        with contextlib.suppress(OSError):  # it was replaced meanwhile
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                found.append((status.st_mtime, status.st_size, path))
    count, size, long_ago = 0, 0, time.time() - _PART_SECONDS
    for made, length, path in sorted(found, reverse=True):
        if not (path.name.endswith(".part") and made < long_ago):
            count, size = count + 1, size + length
            if count <= _CACHE_FILES and size <= _CACHE_BYTES:
                continue
        with contextlib.suppress(OSError):
            path.unlink()
    for folder in cache.iterdir():
        with contextlib.suppress(OSError):
            if folder.is_dir():
                folder.rmdir()  # if it is empty
