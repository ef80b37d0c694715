"""Divide a plan into chunks: what one worker, one task of a farm or one machine renders in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

from dreamvid.render.plan import Plan, Segment


@dataclass(frozen=True)
class Chunk:
    """Segments that follow one another and depend on nothing before them: a whole shot, or a piece of a long one.

    The command line calls it a segment of the plan. number: counts from 0.
    """

    number: int
    segments: tuple[Segment, ...]

    @property
    def count(self) -> int:
        """Number of frames of its result."""
        return sum(segment.shown for segment in self.segments)

    @property
    def span(self) -> str:
        """Write its frames as START:STOP, as the setting `frames` does."""
        shown = [segment for segment in self.segments if segment.shown] or self.segments
        return f"{shown[0].start}:{shown[-1].stop}"


def chunks(plan: Plan) -> tuple[Chunk, ...]:
    """List the chunks of a plan, in order; together they have all of its segments."""
    groups: list[list[Segment]] = []
    for segment in plan.segments:
        if segment.stands_alone or not groups:
            groups.append([])
        groups[-1].append(segment)
    return tuple(Chunk(number, tuple(group)) for number, group in enumerate(groups))


def chunks_of(segments: Sequence[Segment], plan: Plan) -> list[Chunk]:
    """Choose the chunks that have any of some segments, each with those segments only."""
    wanted = {segment.index for segment in segments}
    left = [
        Chunk(chunk.number, tuple(segment for segment in chunk.segments if segment.index in wanted))
        for chunk in chunks(plan)
    ]
    return [chunk for chunk in left if chunk.segments]
