"""Dissolve the pieces of a split shot into one another, once both are there."""

import functools
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch

from dreamvid.coherence.keyframes import mix
from dreamvid.errors import FfmpegError
from dreamvid.image.tensors import download, to_tensor
from dreamvid.render.farm.segment_store import SegmentStore
from dreamvid.render.plan import Plan, Segment
from dreamvid.video.decode import FrameReader, Pixels
from dreamvid.video.encode import StreamSpec
from dreamvid.video.probe import probe
from dreamvid.video.sink import Sink, open_sink
from dreamvid.video.source import open_source

MOST_CHANGE = 1.2
"""A seam at which frames change more than so many times as much as without it is told to the user."""


@functools.cache
def overlap_sink() -> Sink:
    """Return what encodes the segments that dissolve into one another: without loss."""
    return open_sink("overlap.mkv", "ffv1")


def write_seams(
    store: SegmentStore,
    plan: Plan,
    spec: StreamSpec,
    sink: Sink,
    source_frames: Callable[[Segment], Iterable[Pixels]],
) -> list[str]:
    """Encode each seam of a plan to the file `seam_path`; return warnings of those that show. Raises DreamvidError.

    source_frames: gives the frames of the source of a segment, at the size of the result.
    """
    dtype = np.uint8 if spec.bit_depth <= 8 else np.uint16
    warnings: list[str] = []
    for before, after in pairwise(plan.segments):
        if not before.ends_piece:
            continue
        writer, change = sink.open_segment(store.seam_path(after), spec), SeamChange()
        try:
            sides = (_frames(store, before), _frames(store, after), source_frames(after))
            for pts, pixels in zip(plan.segment_pts(after), dissolve(*sides, after.count, dtype, change), strict=True):
                writer.write(pixels, pts)
            writer.close()
        except ValueError as error:  # of zip
            raise FfmpegError(
                f"the frames {after.start}:{after.stop} of a seam cannot be read back: {error}"
            ) from error
        finally:
            writer.abort()
        if change.ratio > MOST_CHANGE:
            warnings.append(
                f"where two pieces of a shot meet, in frames {after.start}:{after.stop}, frames change "
                f"{change.ratio:.1f} times as much as in the pieces: look there, or render without `split_seconds`"
            )
    return warnings


class SeamChange:
    """How much frames change from one to the next across a seam, and in the two pieces that meet there.

    largest, usual: the largest mean difference of two frames in a row, in levels of 8 bits.
    """

    def __init__(self) -> None:
        self.largest = self.usual = 0.0
        self._last: tuple[Pixels, ...] | None = None

    def add(self, *frames: Pixels) -> None:
        """Take in the next frame: of the piece before, of the piece after, and as it is shown."""
        if self._last is not None:
            before, after, shown = map(_difference, self._last, frames)
            self.usual, self.largest = max(self.usual, before, after), max(self.largest, shown)
        self._last = frames

    @property
    def ratio(self) -> float:
        """How many times as much the frames change as without the seam; less than a level does not show."""
        return self.largest / max(self.usual, 1.0)


def _difference(one: Pixels, other: Pixels) -> float:
    levels = 1 if one.dtype == np.uint8 else 257
    return float(np.abs(one.astype(np.float32) - other).mean()) / levels


def dissolve(
    before: Iterable[Pixels],
    after: Iterable[Pixels],
    source: Iterable[Pixels],
    count: int,
    dtype: type,
    change: "SeamChange",
) -> Iterator[Pixels]:
    """Turn what one piece adds to the frames of the source into what the next one adds, in equal steps.

    change: is told of all frames.
    """
    for number, (earlier, later, plain) in enumerate(zip(before, after, source, strict=True), 1):
        cpu = torch.device("cpu")
        bare = to_tensor(plain, cpu)
        mixed = mix(to_tensor(earlier, cpu) - bare, to_tensor(later, cpu) - bare, 1 - number / (count + 1))
        shown = download((bare + mixed).clamp(0, 1), dtype).wait()
        change.add(earlier, later, shown)
        yield shown


def _frames(store: SegmentStore, segment: Segment) -> Iterator[Pixels]:
    source = open_source(store.segment_path(segment))
    with FrameReader(source, probe(source)) as reader:
        for frame in reader:
            yield frame.pixels
