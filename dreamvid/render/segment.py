"""What goes from the dreaming thread to the encoding thread, and how segments are grouped."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from dreamvid.image.tensors import Download
from dreamvid.render.plan import Segment

_ENCODE_QUEUE = 4  # frames that may wait: enough to even out, few enough for 8K


@dataclass(frozen=True)
class _Image:
    """A dreamed frame for the encoder."""

    index: int
    pixels: Download


@dataclass(frozen=True)
class _SegmentEnd:
    """All frames of the segment have been sent. `state` is what the next one needs, None if nothing."""

    state: dict[str, Tensor] | None


class _EarlyEnd:
    """The segment is given up; what there is of it is still wanted."""


_Message = Segment | _Image | _SegmentEnd | _EarlyEnd


def _contiguous(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Group segments that follow one another without a gap."""
    runs: list[list[Segment]] = []
    for segment in segments:
        if runs and runs[-1][-1].index + 1 == segment.index:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs
