"""Runs gradient ascent over octaves, coarse to fine, and carries only what was added to the next octave."""

import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dreamvid.dream.optimizer import Adam, UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.image.tensors import resize
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings.size import Size

# Networks recognize nothing in smaller images; octaves below this size are left out.
SMALLEST_SIDE = 32
# An octave that is larger than the image by at most this factor is not left out.
HARDLY_LARGER = 1.1
# Lines that a frame needs for a network to see its shapes, and the most pixels to which it is enlarged for that.
ENOUGH_LINES = 240
_MOST_ENLARGED = 240 * 427
# Largest shift of a whole image: covers every phase of the network's strides, so that no grid becomes visible.
JITTER = 32


def octave_sizes(height: int, width: int, *, dream_height: int, octaves: int, octave_scale: float) -> list[Size]:
    """Compute the sizes (h, w) at which an image of height × width is dreamed, coarse to fine; at least one.

    Octave k has a height of dream_height / octave_scale**k at every image size, so patterns keep their size relative to
    the image. Octaves that are larger than the image are left out, and so are those with a side below 32 pixels. An
    octave that is hardly larger than the image gets the image's own size; so does an image that is smaller than every
    octave.
    """
    sizes = []
    for k in range(octaves):
        scale = dream_height / octave_scale**k / height
        if scale > HARDLY_LARGER:
            continue
        scale = min(scale, 1.0)
        size = Size(max(1, round(height * scale)), max(1, round(width * scale)))
        if min(size) >= SMALLEST_SIDE:
            sizes.append(size)
    return sizes[::-1] or [Size(height, width)]


def enlarged_size(height: int, width: int, *, dream_height: int) -> Size:
    """Size to which a small frame of height × width is enlarged to be dreamed; its own for all others.

    A network sees shapes of some hundred pixels: in a frame of 144 lines it sees too little, and the dream is grain. So
    the frame is enlarged to 240 lines, but to no more than `dream_height` and no more pixels than 240 lines have at
    16:9. The residual is reduced to the frame again.
    """
    lines = min(ENOUGH_LINES, dream_height)
    scale = min(lines / height, math.sqrt(_MOST_ENLARGED / (height * width)))
    return Size(height, width) if scale <= 1 else Size(round(height * scale), round(width * scale))


@dataclass(frozen=True)
class Shifts:
    """Random shifts of one frame; they depend on the seed and the frame's index alone."""

    seed: int
    frame: int

    def draw(self, octave: int, iterations: int, reach: tuple[int, int]) -> list[tuple[int, int]]:
        """Draw `iterations` shifts (down, right), each from 0 up to `reach`."""
        random = np.random.default_rng((self.seed, self.frame, octave))
        return [
            (int(down), int(right))
            for down, right in zip(
                random.integers(0, reach[0], iterations), random.integers(0, reach[1], iterations), strict=True
            )
        ]


@dataclass(frozen=True)
class AscentStep:
    """A step that was just taken.

    lines: height of its octave. octave: its number from 0, of `octaves`. done: steps of the octave that are taken, of
    `steps`. residual: computes the residual so far, (1, 3, h, w) at the octave's size.
    """

    lines: int
    octave: int
    octaves: int
    done: int
    steps: int
    residual: Callable[[], Tensor]


# Rules whose recordings are kept: schedules of the number of Laplacian levels go through a few.
_MOST_RULES = 8


class OctaveAscent:
    """Gradient ascent on an image over octaves (Mordvintsev et al. 2015, "Inceptionism").

    on_step: called after each step of `grow`; what it raises ends the ascent.
    """

    def __init__(
        self, gradient: TiledGradient, rule: UpdateRule, *, octave_carry: Literal["residual", "image"]
    ) -> None:
        self.gradient = gradient
        self.rule = rule
        self.octave_carry = octave_carry
        self.on_step: Callable[[AscentStep], None] | None = None
        self._recordings: OrderedDict[UpdateRule, CudaGraphCache[Tensor]] = OrderedDict()

    def grow(
        self,
        image: Tensor,
        carried: Tensor | None,
        sizes: Sequence[Size],
        *,
        iterations: int,
        step: float | Tensor,
        shifts: Shifts,
        coarser_iterations: int | None = None,
        coarser_step: float | Tensor | None = None,
    ) -> Tensor:
        """Grow the dream of `image`; return the new residual at the finest size, (1, 3, h, w).

        image: (1, 3, H, W) in [0, 1]. carried: residual (1, 3, h, w) from the frame before, or None. step: the mean
        change of a pixel in one step; a map (1, 1, h, w) makes it local. coarser_iterations, coarser_step: for
        the octaves below the finest; None for `iterations` and `step`. The image plus the residual stays in
        [0, 1].
        """
        source = resize(image, sizes[-1])
        carried = None if carried is None else resize(carried, sizes[-1])
        start = source if carried is None else source + carried
        added = None
        for octave, size in enumerate(sizes):
            finest = octave == len(sizes) - 1
            count = iterations if finest or coarser_iterations is None else coarser_iterations
            octave_step = step if finest or coarser_step is None else coarser_step
            base = resize(start, size)
            if added is None:
                x = base
            elif self.octave_carry == "residual":
                x = base + resize(added, size)
            else:
                x = resize(x, size)
            local_step = resize(octave_step, size).clamp_min(0) if isinstance(octave_step, Tensor) else octave_step
            reach = self._reach(size)
            moments = self.rule.moments()
            for done, shift in enumerate(shifts.draw(octave, count, reach), 1):
                with self.gradient.measured_step(x):
                    x = self.update(x, self.gradient(x, shift), local_step, moments)
                if self.on_step is not None:
                    so_far = functools.partial(_residual, x, base, carried, size)
                    self.on_step(AscentStep(size.height, octave, len(sizes), done, count, so_far))
            added = x - base
        assert added is not None
        residual = added if carried is None else carried + added
        return self.rule.add(source, residual) - source

    def update(self, x: Tensor, gradient: Tensor, step: float | Tensor, moments: Adam | None) -> Tensor:
        """Take one step of (N, 3, h, w) by the rule; `step` is a number or a map (N, 1, h, w).

        On a GPU the step is recorded, unless Adam's moments make each step another one.
        """
        if x.device.type != "cuda" or moments is not None:
            return self.rule(x, gradient, step, moments)
        step = step if isinstance(step, Tensor) else x.new_full((len(x), 1, 1, 1), step)
        weight = self.rule.total_variation
        weights = (x.new_full((1, 1, 1, 1), weight),) if weight else ()
        recording, stepped, done = self.recording(), [], 0
        while done < len(x):
            # Powers of two, so that few shapes are recorded.
            part = slice(done, done + (1 << ((len(x) - done).bit_length() - 1)))
            stepped.append(recording(x[part], gradient[part], step[part], *weights))
            done = part.stop
        return stepped[0] if len(stepped) == 1 else torch.cat(stepped)

    def recording(self) -> CudaGraphCache[Tensor]:
        """Return the recordings of the present rule, which schedules may change at every frame."""
        rule = self.rule.recorded
        found = self._recordings.pop(rule, None) or CudaGraphCache(functools.partial(_step, rule))
        self._recordings[rule] = found  # the latest comes last
        if len(self._recordings) > _MOST_RULES:
            self._recordings.popitem(last=False)
        return found

    def _reach(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the range of shifts: a few strides for a whole image; everything for tiles, so that no seam stays."""
        if max(size) <= self.gradient.tile:
            return min(JITTER, size[0]), min(JITTER, size[1])
        return size


def _residual(x: Tensor, base: Tensor, carried: Tensor | None, size: Size) -> Tensor:
    """Return what an octave has added and what was carried to it, at the octave's size."""
    return x - base if carried is None else x - base + resize(carried, size)


def _step(rule: UpdateRule, x: Tensor, gradient: Tensor, step: Tensor, total_variation: Tensor | None = None) -> Tensor:
    return rule(x, gradient, step, None, total_variation)
