"""A filter graph of ffmpeg as a source: `lavfi:GRAPH`."""

from dataclasses import dataclass

from dreamvid.errors import SourceError
from dreamvid.video.source import FfmpegSource, SourceOptions, hash_content

_PREFIX = "lavfi:"


@dataclass(frozen=True, kw_only=True)
class GraphSource(FfmpegSource):
    """A filter graph. It starts at time 0, so that no clock is needed to keep its sound in step."""

    kind: str = "lavfi"
    graph: str
    endless: bool = True
    has_clock: bool = False

    def input_args(self) -> list[str]:
        """List ffmpeg's options that open the graph."""
        return ["-f", "lavfi", "-i", self.graph]

    def fingerprint(self) -> str:
        """Hash the graph's text."""
        return hash_content(self.kind, [f"{_PREFIX}{self.graph}"])


class _Lavfi:
    form = "lavfi:GRAPH"

    def claims(self, text: str) -> bool:
        return text.startswith(_PREFIX)

    def open(self, text: str, options: SourceOptions) -> GraphSource:
        if not text.removeprefix(_PREFIX).strip():
            raise SourceError(
                "'lavfi:' lacks its filter graph. Write for example 'lavfi:testsrc2=size=640x360:rate=30:duration=5'."
            )
        return GraphSource(text=text, graph=text.removeprefix(_PREFIX), stream=options.stream)


PLUGIN = _Lavfi()
