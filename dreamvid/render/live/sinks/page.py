"""Show the dream on a page in the browser, with its controls: `page`."""

from contextlib import ExitStack

from dreamvid.errors import OutputError
from dreamvid.render.live.sink import LiveSinkOptions
from dreamvid.render.live.slot import LatestFrame
from dreamvid.render.live.state import SinkState


class PageSink:
    """The page; its server reads the frames for every browser by itself."""

    def __init__(self, options: LiveSinkOptions) -> None:
        self.finished = False
        self._serve = options.serve_page
        self._stack = ExitStack()
        self._frames: LatestFrame | None = None

    def start(self, frames: LatestFrame) -> None:
        """Start the server. Raises OutputError, for a port in use too."""
        if self._serve is None:
            raise OutputError("This host of the live dream has no page. Give another sink, such as window.")
        self._frames = frames
        self._stack.enter_context(self._serve(frames))

    def state(self) -> SinkState:
        """Say how many frames were offered."""
        return SinkState("page", 0 if self._frames is None else self._frames.count)

    def close(self) -> None:
        """Stop the server."""
        self._stack.close()


class _Page:
    form = "page"

    def claims(self, text: str) -> bool:
        return text == "page"

    def open(self, text: str, options: LiveSinkOptions) -> PageSink:
        return PageSink(options)


PLUGIN = _Page()
