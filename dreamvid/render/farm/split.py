"""Split long shots into pieces that stand alone, so that several workers can share a shot, where it shows least.

A piece begins so many half-lives before its frames that its dream is grown by then. It never becomes the dream of the
piece before, as patterns that have grown stay. So the pieces overlap, and the one dissolves into the other.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from dreamvid.render.plan import Plan, Segment, divide, longest_segment

# python -m benchmarks.scale measures what these lead to.
PRE_ROLL_HALF_LIVES = 2
DISSOLVE_SECONDS = 1
SEARCH_SECONDS = 1
"""So far from the equal division of a shot a seam may lie, where its frames change less."""


def split_shots(plan: Plan, split_seconds: float, half_life_seconds: float, changes: Sequence[float] = ()) -> Plan:
    """Let pieces of long shots stand alone, each after a pre-roll.

    split_seconds: how long they are, about. half_life_seconds: of the carried dream. changes: how much each frame
    differs from the one before, as `make_plan` measures it; a seam is where the largest of them is smallest. Empty: the
    pieces are as equal as they can be. A pre-roll begins with a frame that is dreamed in the whole shot as well, so
    that the same frames are dreamed.
    """
    segments: list[Segment] = []
    shots = 0

    def shot_of(segment: Segment) -> int:
        nonlocal shots
        shots += segment.new_shot
        return shots

    for _, group in groupby(plan.segments, shot_of):
        shot = list(group)
        seams = _seams(plan, shot[0].start, shot[-1].stop, split_seconds, changes)
        segments += _pieces(plan, shot[0], shot[-1].stop, seams, half_life_seconds) if seams else shot
    return replace(plan, segments=tuple(replace(segment, index=index) for index, segment in enumerate(segments)))


def _seams(plan: Plan, begin: int, end: int, split_seconds: float, changes: Sequence[float]) -> list[int]:
    """Choose the frames with which the pieces of a shot begin, but for the first piece."""
    count = math.ceil((end - begin) / max(1, split_seconds * plan.rate))
    reach = min(float(SEARCH_SECONDS * plan.rate), (end - begin) / count / 4)
    seams: list[int] = []
    free = begin  # the first frame that no overlap has
    for number in range(1, count):
        middle = begin + (end - begin) * number / count
        first, last = bisect_left(plan.keyframes, middle - reach - 1), bisect_right(plan.keyframes, middle + reach - 1)
        nearest = max(0, bisect_right(plan.keyframes, middle - 1) - 1)
        places = [keyframe + 1 for keyframe in (*plan.keyframes[first:last], plan.keyframes[nearest])]
        fitting = [place for place in places if place > free and _overlap_end(plan, place) < end]
        if fitting:
            seams.append(min(fitting, key=lambda place: (_change(plan, place, changes), abs(place - middle))))
            free = _overlap_end(plan, seams[-1])
    return seams


def _overlap_end(plan: Plan, seam: int) -> int:
    """Return the frame after those that a piece which begins with `seam` has in common with the one before."""
    dissolve = math.ceil(DISSOLVE_SECONDS * plan.rate)
    return plan.keyframes[min(bisect_left(plan.keyframes, seam + dissolve - 1), len(plan.keyframes) - 1)] + 1


def _change(plan: Plan, seam: int, changes: Sequence[float]) -> float:
    return max(changes[seam - plan.start : _overlap_end(plan, seam) + 1 - plan.start], default=0.0)


def _pieces(plan: Plan, first: Segment, end: int, seams: Sequence[int], half_life_seconds: float) -> list[Segment]:
    """Cut a shot at its seams. first: a segment of the shot."""
    wanted = max(1, math.ceil(PRE_ROLL_HALF_LIVES * half_life_seconds * plan.rate))
    marks = [first.start, *seams, end]
    pieces: list[Segment] = []
    for begin, stop in pairwise(marks):
        whole = begin
        if begin in seams:
            whole = _overlap_end(plan, begin)
            both = replace(first, start=begin, stop=whole, new_shot=False, overlap=True)
            frame = max(first.start, begin - wanted)
            keyframe = plan.keyframes[bisect_right(plan.keyframes, frame) - 1]
            pieces += [both, replace(both, pre_roll=begin - keyframe)]
        parts = divide(whole, stop, longest_segment(plan.rate), plan.keyframes)
        pieces += [
            replace(first, start=start, stop=behind, new_shot=first.new_shot and start == first.start)
            for start, behind in pairwise(parts)
        ]
    return pieces
