"""The octave ladder: ascent from coarse to fine, carrying only what was added."""

import functools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from dreamvid.dream.optimizer import Adam, UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.image.tensors import resize
from dreamvid.runtime.cuda import CudaGraphCache

# A network sees nothing in less; the coarsest octaves of small images are left out.
SMALLEST_SIDE = 32
# An octave that is larger than the image by this factor or less is not worth losing.
HARDLY_LARGER = 1.1
# Shifts of a whole image: enough for every phase of the network's strides, so that no grid stays.
JITTER = 32


def octave_sizes(
    height: int, width: int, *, dream_height: int, octaves: int, octave_scale: float
) -> list[tuple[int, int]]:
    """Sizes (h, w) at which an image of height × width is dreamed, coarse to fine; at least one.

    The ladder hangs from `dream_height`: octave k works at dream_height / octave_scale**k lines, whatever the
    image's size, so the patterns keep their size relative to the image. Octaves that would be larger than the
    image itself are left out, and so are those with a side below 32 pixels; one that is hardly larger works at the
    image's own size, and so does all of an image that is below every octave.
    """
    sizes = []
    for k in range(octaves):
        scale = dream_height / octave_scale**k / height
        if scale > HARDLY_LARGER:
            continue
        scale = min(scale, 1.0)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        if min(size) >= SMALLEST_SIDE:
            sizes.append(size)
    return sizes[::-1] or [(height, width)]


@dataclass(frozen=True)
class Shifts:
    """Random shifts of one frame, decided by the seed and the frame's index alone."""

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


# Rules whose recordings are kept: schedules of the number of Laplacian levels go through a few.
_MOST_RULES = 8


class OctaveAscent:
    """Gradient ascent on an image over octaves (Mordvintsev et al. 2015, "Inceptionism")."""

    def __init__(
        self, gradient: TiledGradient, rule: UpdateRule, *, octave_carry: Literal["residual", "image"]
    ) -> None:
        self.gradient = gradient
        self.rule = rule
        self.octave_carry = octave_carry
        self._recordings: OrderedDict[UpdateRule, CudaGraphCache] = OrderedDict()

    def grow(
        self,
        image: Tensor,
        carried: Tensor | None,
        sizes: list[tuple[int, int]],
        *,
        iterations: int,
        step: float | Tensor,
        shifts: Shifts,
        coarser_iterations: int | None = None,
        coarser_step: float | Tensor | None = None,
    ) -> Tensor:
        """Grow the dream of `image`; return the new residual at the finest size, (1, 3, h, w).

        image: (1, 3, H, W) in [0, 1]. carried: residual (1, 3, h, w) that is there already, or None. step: the mean
        change of a pixel in one step; a map (1, 1, h, w) makes it local. coarser_iterations, coarser_step: of the
        octaves below the finest, where those are not `iterations` and `step`. The image plus the residual stays in
        [0, 1].
        """
        source = resize(image, sizes[-1])
        carried = None if carried is None else resize(carried, sizes[-1])
        start = source if carried is None else source + carried
        added = None
        for octave, size in enumerate(sizes):
            finest = octave == len(sizes) - 1
            count = iterations if finest or coarser_iterations is None else coarser_iterations
            here = step if finest or coarser_step is None else coarser_step
            base = resize(start, size)
            if added is None:
                x = base
            elif self.octave_carry == "residual":
                x = base + resize(added, size)
            else:
                x = resize(x, size)
            local_step = resize(here, size).clamp_min(0) if isinstance(here, Tensor) else here
            reach = self._reach(size)
            moments = self.rule.moments()
            for shift in shifts.draw(octave, count, reach):
                x = self._update(x, self.gradient(x, shift), local_step, moments)
            added = x - base
        assert added is not None
        residual = added if carried is None else carried + added
        return self.rule.add(source, residual) - source

    def _update(self, x: Tensor, gradient: Tensor, step: float | Tensor, moments: Adam | None) -> Tensor:
        """Take one step by the rule; on a GPU it is recorded, unless Adam's moments make each step another one."""
        if x.device.type != "cuda" or moments is not None:
            return self.rule(x, gradient, step, moments)
        step = step if isinstance(step, Tensor) else x.new_full((1, 1, 1, 1), step)
        if not self.rule.total_variation:
            return self.recording()(x, gradient, step)
        return self.recording()(x, gradient, step, x.new_full((1, 1, 1, 1), self.rule.total_variation))

    def recording(self) -> CudaGraphCache:
        """Return the recordings of the present rule, which schedules may change at every frame."""
        rule = self.rule.recorded
        found = self._recordings.pop(rule, None) or CudaGraphCache(functools.partial(_step, rule))
        self._recordings[rule] = found  # the latest comes last
        if len(self._recordings) > _MOST_RULES:
            self._recordings.popitem(last=False)
        return found

    def _reach(self, size: tuple[int, int]) -> tuple[int, int]:
        """Range of shifts: a few strides for a whole image, everything for tiles, whose seams must not stay."""
        if max(size) <= self.gradient.tile:
            return min(JITTER, size[0]), min(JITTER, size[1])
        return size


def _step(rule: UpdateRule, x: Tensor, gradient: Tensor, step: Tensor, total_variation: Tensor | None = None) -> Tensor:
    return rule(x, gradient, step, None, total_variation)
