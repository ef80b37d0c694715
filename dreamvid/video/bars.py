"""Find black bars: letterbox and pillarbox borders that stay black for a whole shot.

Planning measures the black border of every small frame (`frame_edges`). The border that all frames of a shot share is
its bars (`find_bars`), to within a few pixels. `refine_bars` finds their exact edges in a few frames of full size.

A dark scene has no bars. The picture next to a bar has to end in a straight line that is bright over much of its length
in at least one frame of the shot; a lamp in a dark room or a skyline has no such line. Bars usually come in pairs, at
top and bottom or at left and right; the evidence for a single bar has to be stronger. Stars, which disappear in small
frames, are visible in those of full size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvid.image.tensors import to_8_bits
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import Scan, VideoInfo
from dreamvid.video.shots import detection_size
from dreamvid.video.source import Source

_Pixels = npt.NDArray[np.uint8]

_BLACK = 20  # highest channel of a bar's pixels: black as 16 of 255 and some noise
# Share of an edge that has to be bright: for a pair of equal bars, a pair of unequal bars, a single bar.
_EQUAL, _UNEQUAL, _SINGLE = 0.4, 0.6, 0.8
_LEAST_PICTURE = 0.2  # share of the width and of the height that the picture has at least
_SLACK = 4  # small pixels by which bars may be wrong in a small frame
_SAMPLES = 4  # frames of full size to look at
# Share of a line's pixels that compression may have made brighter than black, in small frames and in full size.
_SPARKS, _SPARKS_IN_FULL = 0.02, 0.1
_NOT_BLACK = 48  # a channel above this is not in a bar, in full size

# Lines of pixels over which compression may spread a picture into its bar, and how faintly.
_BLUR, _FAINT = 3, 0.35


@dataclass(frozen=True)
class Bars:
    """Heights of the bars at the top and bottom, widths of those at the left and right, in pixels."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.bottom, self.left, self.right))

    def __str__(self) -> str:
        sizes = [f"{getattr(self, item.name)} at the {item.name}" for item in fields(self)]
        return " and ".join(size for size in sizes if not size.startswith("0 "))

    def scaled(self, size: Size, to: Size) -> "Bars":
        """Convert from frames of `size` to those of size `to`, rounded up: no part of a bar is left."""
        across, down = to.width / size.width, to.height / size.height
        counts = (self.top * down, self.bottom * down, self.left * across, self.right * across)
        return Bars(*(int(np.ceil(count - 1e-6)) for count in counts))

    def inner(self, size: Size) -> tuple[slice, slice]:
        """Rows and columns of the picture inside the bars, in a frame of `size`."""
        return slice(self.top, size.height - self.bottom), slice(self.left, size.width - self.right)


NO_BARS = Bars()


@dataclass(frozen=True)
class Edges:
    """The black border of one frame, at its sides top, bottom, left and right.

    counts: how many lines of pixels are black. bright: share of the line behind them that is not black, 0 to 1.
    """

    counts: tuple[int, int, int, int]
    bright: tuple[float, float, float, float]


def frame_edges(frame: _Pixels) -> Edges | None:
    """Measure the black border of a frame, uint8 RGB (H, W, 3), best small; None for one that is black."""
    light = np.maximum(np.maximum(frame[..., 0], frame[..., 1]), frame[..., 2]) > _BLACK
    if light.mean() <= _SPARKS:
        return None
    counts, bright = [], []
    for lines in (light, light[::-1], light.T, light.T[::-1]):
        shares = lines.mean(axis=1)
        count = int((shares > _SPARKS).argmax())
        counts.append(count)
        bright.append(float(shares[count : count + 1 + _SLACK].max()))  # the first lines may be a mixture
    return Edges((counts[0], counts[1], counts[2], counts[3]), (bright[0], bright[1], bright[2], bright[3]))


def find_bars(edges: Sequence[Edges | None], cuts: Sequence[int], size: Size) -> list[Bars]:
    """Find the bars of each shot from the edges of its frames, in pixels of these frames, which have one size.

    cuts: positions of the frames that begin a new shot, without the first. A shot that is too dark to tell, such as a
    fade, has the bars that most frames of the video have, if it is black there.
    """
    shots = [edges[begin:end] for begin, end in pairwise((0, *cuts, len(edges)))]
    found = [_shot_bars([edge for edge in shot if edge is not None], size) for shot in shots]
    lengths: dict[Bars, int] = {}
    for bars, shot in zip(found, shots, strict=True):
        lengths[bars] = lengths.get(bars, 0) + len(shot)
    usual = max((bars for bars in lengths if bars), key=lambda bars: lengths[bars], default=NO_BARS)
    return [usual if usual and _fits(usual, bars, shot) else bars for bars, shot in zip(found, shots, strict=True)]


def _fits(usual: Bars, own: Bars, shot: Sequence[Edges | None]) -> bool:
    """Tell a shot that has the usual bars, or is black where they are and has none of its own."""
    if own:
        return all(abs(a - b) <= _SLACK for a, b in zip(_sides(usual), _sides(own), strict=True))
    least = np.min([edge.counts for edge in shot if edge is not None] or [_sides(usual)], axis=0)
    return bool((least >= np.array(_sides(usual)) - 1).all())


def _shot_bars(edges: Sequence[Edges], size: Size) -> Bars:
    if not edges:
        return NO_BARS
    counts = np.array([edge.counts for edge in edges])
    least = counts.min(axis=0)
    # Only a frame that is bright up to the edge tells how straight it is.
    at_edge = counts <= least + _SLACK
    bright = np.where(at_edge, [edge.bright for edge in edges], 0).max(axis=0)
    kept = [0, 0, 0, 0]
    for first, second, length in ((0, 1, size.height), (2, 3, size.width)):
        pair = least[first], least[second]
        if length - sum(pair) < _LEAST_PICTURE * length:
            continue
        equal = abs(int(pair[0]) - int(pair[1])) <= _SLACK
        weaker = min(bright[first], bright[second])
        if min(pair) > 0 and weaker >= (_EQUAL if equal else _UNEQUAL):
            kept[first], kept[second] = int(pair[0]), int(pair[1])
            continue
        for side in (first, second):
            if bright[side] >= _SINGLE and least[side] > 0:
                kept[side] = int(least[side])
    return Bars(*kept)


def _sides(bars: Bars) -> tuple[int, int, int, int]:
    return bars.top, bars.bottom, bars.left, bars.right


def locate_bars(
    source: Source,
    info: VideoInfo,
    edges: Sequence[Edges | None],
    cuts: Sequence[int],
    *,
    scan: Scan | None = None,
    start: int = 0,
    fps: Fraction | None = None,
) -> list[Bars]:
    """Find the bars of each shot of a source, in pixels of the source.

    edges: of frames of `detection_size`, from frame `start` on. cuts: as in `find_bars`. scan, fps: as in
    `FrameReader`. Only where there seem to be bars, a few frames are decoded. Raises FfmpegError, SourceError.
    """
    size = detection_size(info)
    found = find_bars(edges, cuts, size)
    exact = {NO_BARS: NO_BARS}
    for bars in dict.fromkeys(found):
        if bars:
            samples = _sample_frames(edges, cuts, found, bars)
            with FrameReader(
                source, info, start=start + min(samples), stop=start + max(samples) + 1, fps=fps
            ) as reader:
                frames = (to_8_bits(frame.pixels) for frame in reader if frame.index - start in samples)
                exact[bars] = refine_bars(bars, size, frames)
    return [exact[bars] for bars in found]


def _sample_frames(edges: Sequence[Edges | None], cuts: Sequence[int], found: Sequence[Bars], wanted: Bars) -> set[int]:
    """Choose positions of a few frames that are bright next to the bars `wanted`, the earliest that will do."""
    chosen: set[int] = set()
    for (begin, end), bars in zip(pairwise((0, *cuts, len(edges))), found, strict=True):
        if bars != wanted or len(chosen) >= _SAMPLES:
            continue
        for side, count in enumerate(_sides(bars)):
            shares = [
                edge.bright[side] if edge is not None and edge.counts[side] <= count + _SLACK else 0.0
                for edge in edges[begin:end]
            ]
            if count and max(shares) > 0:
                chosen.add(begin + next(n for n, share in enumerate(shares) if share >= 0.9 * max(shares)))
    return chosen


def refine_bars(coarse: Bars, size: Size, frames: Iterable[_Pixels]) -> Bars:
    """Find the exact bars in frames of full size, uint8 RGB (H, W, 3), around those found in small frames.

    coarse: bars in pixels of small frames of `size`. A side whose bar is not black in all frames, or has
    no straight edge where it should be, is left out.
    """
    peaks = None
    bright: list[npt.NDArray[np.bool_]] = []
    for frame in frames:
        light = frame.max(axis=2)
        peaks = light if peaks is None else np.maximum(peaks, light)
        bright.append(light > _BLACK)
    if peaks is None:
        return NO_BARS
    height, width = peaks.shape
    scales = height / size.height, height / size.height, width / size.width, width / size.width
    kept = []
    for side, (count, scale) in enumerate(zip(_sides(coarse), scales, strict=True)):
        expected, slack = count * scale, _SLACK * scale + 1
        peak = _from_side(peaks, side)
        black = (peak > _BLACK).mean(axis=1) <= _SPARKS_IN_FULL
        lines = _without_blur(peak, int(black.argmin()) if not black.all() else len(black))
        straight = max(
            float(_from_side(light, side)[lines : lines + 3].mean(axis=1).max(initial=0)) for light in bright
        )
        solid = not count or (peak[: max(1, lines - 8)] <= _NOT_BLACK).all()
        fine = count > 0 and abs(lines - expected) <= slack and straight >= _EQUAL and solid
        kept.append(lines if fine else 0)
    return Bars(*kept)


def _without_blur(peak: npt.NDArray[np.uint8], lines: int) -> int:
    """Count the lines of a bar, including those that are not black only because compression blurred its edge."""
    for line in range(lines, min(lines + _BLUR, len(peak) - _BLUR - 1)):
        picture = peak[line + _BLUR + 1]
        bright = picture > _BLACK
        if not bright.any() or (peak[line] > _FAINT * picture)[bright].mean() > 0.5:
            return line
        lines = line + 1
    return lines


def _from_side(image: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Turn an image (H, W) so that its lines count from a side: top, bottom, left, right."""
    return (image, image[::-1], image.T, image.T[::-1])[side]
