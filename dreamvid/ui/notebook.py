"""Show images, videos and progress in a Jupyter notebook."""

import html
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from dreamvid.errors import InputError
from dreamvid.image.html import animation_html, file_html, image_html
from dreamvid.image.tensors import frame_pixels
from dreamvid.render.progress import STAGES, Progress, RenderResult, describe
from dreamvid.ui.terminal import RenderDisplay

_UPDATE_SECONDS = 0.2


def show(
    what: npt.NDArray[np.uint8] | Tensor | str | Path | RenderResult | Iterable[npt.NDArray[np.uint8] | Tensor],
    *,
    fps: float = 30.0,
) -> None:
    """Show an image or a video below a notebook's cell.

    what: an image, as a uint8 array (H, W, 3) or a float tensor (3, H, W) in [0, 1]; the file of an image or a video;
    the result of `dream_video` or `zoom_video`; or frames, an iterable of images of one size, which are played in a
    loop at `fps` frames per second. Files of more than 16 MiB are named, not shown. Raises InputError for anything
    else, and if IPython is not installed.
    """
    if not fps > 0:
        raise InputError(f"`fps` must be a number above 0, got {fps}.")
    display, page = _ipython()
    display(page(_html(what, fps)))


class ProgressBar:
    """Shows the progress of a render or a sheet; a context that is called with each state.

    In a notebook it is a bar below the cell; elsewhere it is the command line's progress, on stderr. Give it to
    `dream_video` and `zoom_video` as `on_progress`, and to `feature_sheet` and `comparison_sheet` as `on_image`.
    """

    def __init__(self) -> None:
        self._page = _Page() if _in_notebook() else None
        self._terminal = None if self._page else RenderDisplay()

    def __enter__(self) -> Self:
        if self._terminal is not None:
            self._terminal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal is not None:
            self._terminal.__exit__(kind, error, trace)
        if self._page is not None:
            self._page.finish()

    def __call__(self, progress: Progress | int, total: int | None = None) -> None:
        """Take the newest state: a render's, or how many images of `total` are done."""
        if self._terminal is not None:
            state = progress if isinstance(progress, Progress) else Progress("dream", progress, total)
            self._terminal.show(state)
        elif self._page is not None and isinstance(progress, Progress):
            self._page.update(progress.done, progress.total, f"{STAGES[progress.stage]}: {describe(progress)}")
            self._page.say(progress.message)
        elif self._page is not None and isinstance(progress, int):
            self._page.update(progress, total, f"{progress} of {total}")


def progress_bar() -> ProgressBar:
    """Make a progress bar: `with progress_bar() as bar: dream_video(source, output, on_progress=bar)`."""
    return ProgressBar()


class _Page:
    """A bar and lines below a notebook's cell, as HTML: no widgets need to be installed."""

    def __init__(self) -> None:
        self._display, self._html = _ipython()
        self._handle: Any = None
        self._lines: dict[str, None] = {}
        self._bar = ""
        self._drawn_seconds = 0.0

    def update(self, done: int, total: int | None, state: str) -> None:
        extent = f'value="{done}" max="{total}"' if total else ""
        self._bar = f'<progress {extent} style="width: 20em"></progress> {html.escape(state)}'
        if done == total or time.monotonic() - self._drawn_seconds >= _UPDATE_SECONDS:
            self._draw()

    def say(self, message: str) -> None:
        if message and message not in self._lines:
            self._lines[message] = None
            self._draw()

    def finish(self) -> None:
        if self._bar:
            self._draw()

    def _draw(self) -> None:
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._lines)
        page = self._html(f"{lines}<div>{self._bar}</div>")
        self._drawn_seconds = time.monotonic()
        if self._handle is None:
            self._handle = self._display(page, display_id=True)
        else:
            self._handle.update(page)


def _html(what: object, fps: float) -> str:
    if isinstance(what, RenderResult):
        return what._repr_html_()
    if isinstance(what, str | Path):
        path = Path(what).expanduser()
        if not path.is_file():
            raise InputError(f"There is no file {path} to show.")
        return file_html(path)
    if isinstance(what, np.ndarray | Tensor) and what.ndim == 3:
        return image_html(frame_pixels(what))
    if isinstance(what, Iterable):
        frames = [frame_pixels(frame) for frame in what]
        if frames and all(frame.shape == frames[0].shape for frame in frames):
            return animation_html(frames, fps)
        raise InputError("Frames to show must be one or more images of the same size.")
    raise InputError(f"show() takes an image, a file, a result or frames, got a {type(what).__name__}.")


def _ipython() -> tuple[Any, Any]:
    """Import IPython's `display` and `HTML`."""
    try:
        from IPython.display import HTML, display
    except ImportError as error:
        raise InputError(
            "show() is for Jupyter notebooks, and IPython is not installed: pip install jupyter"
        ) from error
    return display, HTML


def _in_notebook() -> bool:
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
