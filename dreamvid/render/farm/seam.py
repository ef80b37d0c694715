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
) -> None:
    """Encode each seam of a plan to the file `seam_path`. Raises DreamvidError.

    source_frames: gives the frames of the source of a segment, at the size of the result.
    """
    dtype = np.uint8 if spec.bit_depth <= 8 else np.uint16
    for before, after in pairwise(plan.segments):
        if not before.ends_piece:
            continue
        writer = sink.open_segment(store.seam_path(after), spec)
        try:
            sides = (_frames(store, before), _frames(store, after), source_frames(after))
            for pts, pixels in zip(plan.segment_pts(after), dissolve(*sides, after.count, dtype), strict=True):
                writer.write(pixels, pts)
            writer.close()
        except ValueError as error:  # of zip
            raise FfmpegError(
                f"the frames {after.start}:{after.stop} of a seam cannot be read back: {error}"
            ) from error
        finally:
            writer.abort()


def dissolve(
    before: Iterable[Pixels], after: Iterable[Pixels], source: Iterable[Pixels], count: int, dtype: type
) -> Iterator[Pixels]:
    """Turn what one piece adds to the frames of the source into what the next one adds, in equal steps."""
    for number, (earlier, later, plain) in enumerate(zip(before, after, source, strict=True), 1):
        cpu = torch.device("cpu")
        bare = to_tensor(plain, cpu)
        mixed = mix(to_tensor(earlier, cpu) - bare, to_tensor(later, cpu) - bare, 1 - number / (count + 1))
        yield download((bare + mixed).clamp(0, 1), dtype).wait()


def _frames(store: SegmentStore, segment: Segment) -> Iterator[Pixels]:
    source = open_source(store.segment_path(segment))
    with FrameReader(source, probe(source)) as reader:
        for frame in reader:
            yield frame.pixels
