"""Plan a render before anything is dreamed: which frames there are, their times, and where the work is cut."""

import functools
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

from dreamvid.coherence.pace import Pace
from dreamvid.errors import FfmpegError, SourceError
from dreamvid.image.tensors import to_8_bits
from dreamvid.settings import Settings
from dreamvid.video.bars import NO_BARS, Bars, Edges, frame_edges, locate_bars
from dreamvid.video.decode import FrameReader, Pixels, irregular_frames
from dreamvid.video.encode import StreamSpec
from dreamvid.video.probe import (
    ALIKE,
    FrameLog,
    Irregularities,
    Scan,
    VideoInfo,
    frames_to_scan,
    refuse_endless,
    scan,
    scan_of_log,
)
from dreamvid.video.shots import detection_size, find_cuts
from dreamvid.video.source import FfmpegSource, Source

# At most this much video is dreamed again after a crash, and as much that an encoder had not finished yet. Each segment
# costs one key frame and the start of an encoder; encoders put a key frame at such distances by themselves (x264 at
# least every 250 frames).
SEGMENT_SECONDS = 4


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop` (exclusive; numbers of the source's frames) that are encoded to one file.

    `new_shot`: its first frame depends on nothing before it. `bars`: black bars of the source that are not dreamed, in
    pixels of the source. `pre_roll`: where a long shot is split, so many frames before `start` are dreamed and thrown
    away, as if the shot began with them. `overlap`: where a long shot is split, the last segment of a piece and the
    first one of the next have the same frames, and the result shows how the one dissolves into the other.
    """

    index: int
    start: int
    stop: int
    new_shot: bool
    bars: Bars = NO_BARS
    pre_roll: int = 0
    overlap: bool = False

    @property
    def ends_piece(self) -> bool:
        """Tell if its frames are also those of the next segment, which counts them."""
        return self.overlap and not self.pre_roll

    @property
    def shown(self) -> int:
        """Number of frames of the result that it stands for."""
        return 0 if self.ends_piece else self.count

    @property
    def stands_alone(self) -> bool:
        """Tell if the segment can be rendered without the state at the end of the one before."""
        return self.new_shot or self.pre_roll > 0

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """The frames of a render and its segments.

    start: number of the first frame. pts: when each frame is shown, in units of `time_base` seconds on the source's
    clock. end_pts: when the last one ends, None if the source ends with it. constant_rate, rate: as in `Scan`, of the
    result. trimmed: the render leaves out some of the source. damage: what the source has lost, as sentences.
    keyframes: numbers of the frames that are dreamed, in order; those between them are interpolated. irregularities:
    what readers of the source have to know.
    """

    start: int
    pts: tuple[int, ...]
    end_pts: int | None
    time_base: Fraction
    constant_rate: bool
    rate: Fraction
    trimmed: bool
    damage: tuple[str, ...]
    segments: tuple[Segment, ...]
    keyframes: tuple[int, ...]
    irregularities: Irregularities = ALIKE

    @property
    def count(self) -> int:
        """Number of frames that are rendered."""
        return len(self.pts)

    def segment_pts(self, segment: Segment) -> tuple[int, ...]:
        """Return when each frame of a segment is shown."""
        return self.pts[segment.start - self.start : segment.stop - self.start]

    def count_keyframes(self, segment: Segment) -> int:
        """Return how many frames of a segment are dreamed."""
        return bisect_left(self.keyframes, segment.stop) - bisect_left(self.keyframes, segment.start)

    def elapsed_seconds(self, index: int) -> float:
        """Return the time from the frame before frame `index` to it; one period of the rate for the first frame."""
        position = index - self.start
        if self.constant_rate or position == 0:
            return float(1 / self.rate)  # the times themselves may be rounded to milliseconds
        return float((self.pts[position] - self.pts[position - 1]) * self.time_base)

    def time_seconds(self, index: int) -> float:
        """Return the time of frame `index` since the source's first one, so that a part renders as in the whole."""
        return float(self.start / self.rate + (self.pts[index - self.start] - self.pts[0]) * self.time_base)

    def scan(self) -> Scan:
        """Return what a reader has to know about the source, without the times, which this plan has."""
        return Scan((), self.constant_rate, self.rate, irregularities=self.irregularities)

    def spec(self, info: VideoInfo, settings: Settings) -> StreamSpec:
        """Return what all frames of the result have in common."""
        seen = Scan(self.pts, self.constant_rate, self.rate)
        video = settings.video
        return StreamSpec.from_source(info, seen, size=video.size_pixels(), fps=video.rate())

    def to_json(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self) | {"time_base": str(self.time_base), "rate": str(self.rate)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            start=int(values["start"]),
            pts=tuple(map(int, values["pts"])),
            end_pts=values["end_pts"],
            time_base=Fraction(values["time_base"]),
            constant_rate=bool(values["constant_rate"]),
            rate=Fraction(values["rate"]),
            trimmed=bool(values["trimmed"]),
            damage=tuple(values["damage"]),
            segments=tuple(Segment(**{**segment, "bars": Bars(**segment["bars"])}) for segment in values["segments"]),
            keyframes=tuple(map(int, values["keyframes"])),
            irregularities=Irregularities(
                **{
                    **values["irregularities"],
                    "corrections": tuple((int(a), int(b)) for a, b in values["irregularities"]["corrections"]),
                }
            ),
        )


def make_plan(
    source: Source,
    info: VideoInfo,
    settings: Settings,
    *,
    frames: tuple[int, int | None] | None = None,
    on_frame: Callable[[int], None] | None = None,
    on_reader: Callable[[FrameReader], None] | None = None,
    changes: list[float] | None = None,
) -> Plan:
    """Decode the source once, to small frames, without dreaming it: find its times, damage, shots and black bars.

    A second time is only needed for a source that changes on the way, in a way that its frames depend on.

    frames: the first one and the one behind the last; None for those of the settings. on_frame: called with the number
    of frames that were looked at. on_reader: called with each reader of all frames, which another thread may close.
    changes: is filled with how much each frame differs from the one before, as the mean over small images, 0 to 255;
    None where nobody wants to know.

    Raises SourceError when no frame can be decoded or none lies in the range asked for, FfmpegError.
    """
    start, stop = frames or settings.video.frame_range()
    fps = settings.video.rate()

    def look(seen: Scan | None = None, log: FrameLog | None = None) -> tuple[_Look, FrameReader]:
        # One frame more than is rendered tells when the last one ends, and whether there is more.
        further, size = None if stop is None else stop + 1, detection_size(info)
        with FrameReader(source, info, scan=seen, stop=further, size=size, fps=fps, queue_frames=8, log=log) as reader:
            if on_reader is not None:
                on_reader(reader)
            pace = Pace(*settings.coherence.cadence_range(fps or info.frame_rate))
            return _look(reader, source, start, stop, pace, on_frame, changes), reader

    if isinstance(source, FfmpegSource):
        log = FrameLog()
        try:
            found, reader = look(log=log)
        except FfmpegError as error:
            if log.stamps:
                raise
            raise SourceError(f"no frame of {source.text} could be decoded: {error}") from error
        assert reader.process is not None
        if fps is None and found.pts and found.end_pts is None:
            log.extend(start + len(found.pts))
        seen = scan_of_log(source, info, log, reader.process, stop=_scanned(log, found, info, stop, fps))
        if irregular_frames(seen.irregularities, info, fps):
            found, _ = look(seen)
    else:
        seen = scan(source, info, frames_to_scan(source, info, stop, fps))
        found, _ = look(seen)
    if not found.pts:
        raise _nothing(settings, None if fps is not None else seen.count)
    rate = fps or seen.frame_rate
    cuts, count = found.cuts, len(found.pts)
    keeps_bars = settings.video.bars == "keep"
    bars = locate_bars(source, info, found.edges, cuts, scan=seen, start=start, fps=fps) if keeps_bars else ()
    coherence = settings.coherence
    alone = coherence.alone_at(rate)
    keys = choose_keyframes(count, cuts, coherence.cadence_at(rate), found.keyframes)
    return Plan(
        start=start,
        pts=tuple(found.pts) if fps is not None else seen.pts[start : start + count],
        end_pts=found.end_pts,
        time_base=info.time_base if fps is None else 1 / fps,
        constant_rate=fps is not None or seen.constant_rate,
        rate=rate,
        trimmed=start > 0 or found.end_pts is not None,
        damage=(*seen.notes, *seen.damage),
        segments=cut_segments(count, cuts, rate, start=start, alone=alone, keyframes=keys, bars=bars),
        keyframes=tuple(start + key for key in keys),
        irregularities=seen.irregularities,
    )


@dataclass
class _Look:
    """What small frames tell, of the frames to render.

    pts: their times as they are stored. end_pts: when the last one ends, if the source goes on. cuts: positions (from
    0) of those that begin a new shot. keyframes: positions that `Pace` has chosen; empty if it has no choice. edges:
    their black borders.
    """

    pts: list[int] = field(default_factory=list)
    end_pts: int | None = None
    cuts: list[int] = field(default_factory=list)
    keyframes: list[int] = field(default_factory=list)
    edges: list[Edges | None] = field(default_factory=list)


def _look(
    reader: FrameReader,
    source: Source,
    start: int,
    stop: int | None,
    pace: Pace,
    on_frame: Callable[[int], None] | None,
    changes: list[float] | None,
) -> _Look:
    found, began = _Look(), time.monotonic()
    distinct: list[int] = []
    if changes is not None:
        changes.clear()

    def small_frames() -> Iterator[npt.NDArray[np.uint8]]:
        shown: Pixels | None = None
        small: npt.NDArray[np.uint8] | None = None
        for frame in reader:
            if stop is not None and frame.index >= stop:
                found.end_pts = frame.pts
                return
            if on_frame is not None:
                on_frame(frame.index + 1)
            if stop is None:
                refuse_endless(source, frame.index + 1, began)
            if frame.index < start:
                continue
            found.pts.append(frame.pts)
            if pace.least < pace.most and pace.add(functools.partial(to_8_bits, frame.pixels)):
                found.keyframes.append(len(found.pts) - 1)
            # A repeated frame would make the next one stand out as if it were a cut.
            if shown is None or not np.array_equal(shown, frame.pixels):
                shown = frame.pixels
                distinct.append(len(found.pts) - 1)
                before, small = small, to_8_bits(shown)
                found.edges.append(frame_edges(small))
                if changes is not None:
                    changes.append(0.0 if before is None else float(cv2.absdiff(small, before).mean()))
                yield small
            else:
                found.edges.append(found.edges[-1])
                if changes is not None:
                    changes.append(0.0)

    found.cuts = [distinct[cut] for cut in find_cuts(small_frames())]
    return found


def _scanned(log: FrameLog, found: _Look, info: VideoInfo, stop: int | None, fps: Fraction | None) -> int | None:
    """Count the frames of the source up to the end of the range; None if that is the source's end."""
    if found.end_pts is None or fps is None:
        return stop if found.end_pts is not None else None
    end = found.end_pts / fps
    return max(1, sum(stamp is None or stamp * info.time_base < end for stamp in log.stamps))


def cut_segments(
    count: int,
    cuts: Sequence[int],
    rate: Fraction,
    *,
    start: int = 0,
    alone: bool = False,
    keyframes: Sequence[int] | None = None,
    bars: Sequence[Bars] = (),
) -> tuple[Segment, ...]:
    """Divide `count` frames into shots at `cuts` (positions from 0), and long shots into equal segments.

    rate: frames per second. start: number of the first frame. alone: no frame depends on another. keyframes: positions
    of those that are dreamed, in order; None for all. Segments end with such a frame, so that the next one has all that
    it needs. bars: the black bars of each shot; empty for none.
    """
    longest = longest_segment(rate)
    segments: list[Segment] = []
    marks = [0, *cuts, count]
    for shot, (begin, end) in enumerate(pairwise(marks)):
        kept = bars[shot] if bars else NO_BARS
        for first, last in pairwise(divide(begin, end, longest, keyframes)):
            segments.append(Segment(len(segments), start + first, start + last, alone or first == begin, kept))
    return tuple(segments)


def longest_segment(rate: Fraction) -> int:
    """Return the most frames that a segment has."""
    return max(1, round(SEGMENT_SECONDS * rate))


def divide(begin: int, end: int, longest: int, keyframes: Sequence[int] | None) -> list[int]:
    """Divide frames into parts as equal as they can be, of at most `longest` frames; list their begins and the end.

    keyframes: the frames that are dreamed, in order; each part ends with one of them. None for all.
    """
    parts = -(-(end - begin) // longest)
    inner = (_behind_keyframe(begin + (end - begin) * part // parts, keyframes) for part in range(1, parts))
    return list(dict.fromkeys((begin, *(mark for mark in inner if mark > begin), end)))


def _behind_keyframe(position: int, keyframes: Sequence[int] | None) -> int:
    """Return the last position up to `position` that follows a keyframe."""
    return position if keyframes is None else keyframes[max(0, bisect_left(keyframes, position) - 1)] + 1


def choose_keyframes(count: int, cuts: Sequence[int], most: int, chosen: Sequence[int] = ()) -> list[int]:
    """List the positions of the frames to dream, in order: the first and the last one of each shot, and others.

    cuts: positions (from 0) that begin a shot. most: the others are every so many frames; or those of
    `chosen`, if there are any.
    """
    keys = {0, *cuts, *(cut - 1 for cut in cuts), count - 1}
    if chosen:
        return sorted(keys.union(chosen))
    return sorted(keys.union(*(range(begin, end, most) for begin, end in pairwise([0, *cuts, count]))))


def _nothing(settings: Settings, count: int | None) -> SourceError:
    frames = "fewer frames" if count is None else f"{count} frame{'s' if count != 1 else ''}"
    remedy = "" if count is None else f" Allowed is START below {count}, such as `frames=0:{count}`."
    return SourceError(f"There is no frame in the range {settings.video.frames}: the source has {frames}.{remedy}")
