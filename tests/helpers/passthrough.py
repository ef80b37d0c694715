"""The whole way of a film without a dream: decode, encode in segments, join."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dreamvid.video.decode import FrameReader, VideoFrame
from dreamvid.video.encode import StreamSpec
from dreamvid.video.probe import Scan, VideoInfo, probe, scan
from dreamvid.video.sink import Recording, open_sink
from dreamvid.video.source import Source, open_source


@dataclass
class Read:
    """A source decoded completely."""

    source: Source
    info: VideoInfo
    scan: Scan
    frames: list[VideoFrame]


def read(path: str | Path, stop: int | None = None) -> Read:
    source = open_source(path)
    info = probe(source)
    found = scan(source, info, stop)
    with FrameReader(source, info, stop=stop) as reader:
        return Read(source, info, found, list(reader))


def pass_through(
    path: str | Path,
    output: str | Path,
    folder: Path,
    *,
    codec: str | None = None,
    cuts: Sequence[int] = (7, 8, 20),
    start: int = 0,
    stop: int | None = None,
    fps: Fraction | None = None,
) -> list[str]:
    """Write `path` again as `output`, in segments that begin at the frames `cuts`; the join's warnings."""
    source = open_source(path)
    info = probe(source)
    found = scan(source, info, stop)
    sink = open_sink(output, codec)
    spec = StreamSpec.from_source(info, found, fps=fps)
    with FrameReader(source, info, start=start, stop=stop, fps=fps) as reader:
        frames = list(reader)
    pieces = [frames[a:b] for a, b in zip((0, *cuts), (*cuts, len(frames)), strict=True) if frames[a:b]]
    paths = []
    for number, piece in enumerate(pieces):
        paths.append(folder / f"piece {number} %d '{sink.segment_suffix}")
        writer = sink.open_segment(paths[-1], spec)
        for frame in piece:
            writer.write(frame.pixels, frame.pts)
        writer.close()
    recording = Recording(
        paths,
        spec,
        [[frame.pts for frame in piece] for piece in pieces],
        source=source,
        info=info,
        trimmed=start > 0 or stop is not None,
    )
    target = Path(output)
    return sink.join(recording, target if sink.sequence is None else sink.sequence.folder(target))
