"""Growth on a frame that carries a dream: what came into view grows by steps of its own, the rest is renewed.

A place that comes into view lies between others that are dreamed already. A few large steps on the whole frame make
grain there; several small ones make shapes. They are taken on patches that hold such places, or, where patches would
cost more, on the whole frame. What fades is renewed on the whole frame, in as few steps as it takes: a calm frame needs
one, water needs several.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from dreamvid.dream.cutting import Place
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.dream.patches import cover, find_corners, grow_patches, patches_pay
from dreamvid.settings.size import Size

# Coarse structure persists by itself. Renewed as often as fine detail it outgrows the first frame and clips; never
# renewed, it fades. So on a frame that carries a dream, the octaves below the finest take two of three steps, half as
# long where they renew; where a dream is to grow the steps are as long as the finest octave's, as shapes begin there.
COARSER_STEPS, COARSER_RENEWAL = Fraction(2, 3), 1 / 2
# How much of what a place lacks counts as grown after the steps of the whole frame. An object that enters the frame is
# first visible as a thin strip, and dreaming on a thin strip makes noise: the rest grows while more is in view.
GROWN = 0.55
# A patch shows the network less of the frame, so below the finest octave, where shapes begin and steps cost little, it
# takes this many times as many steps as the whole frame would.
COARSER_PATCH_STEPS = Fraction(5, 4)
# The few steps of patches reach less of the objective than a whole dream's many, at the same change of pixels: so they
# are this many times as long. Chosen on real clips so that new regions are dreamed as strongly as in frames alone.
PATCH_GAIN = 1.3
# What fades is renewed in steps that are on average at most this many times as long as those of a dream from scratch.
LONGEST_STEP = 0.8
# The most of a whole dream that a place grows in one step of the whole frame, because it is missing and because it
# fades: longer steps make grain. The rest of it grows in the next keyframes.
MOST_GROWTH, MOST_RENEWAL = 0.15, 0.1


@dataclass(frozen=True)
class Growth:
    """The steps that a whole frame takes after its patches, and what is carried then.

    residual: (1, 3, h, w). amount: (1, 1, h, w), how much of a whole dream is there, the growth of these steps counted
    in. grown: (1, 1, h, w), which part of a whole dream grows where it is missing, on patches and by these steps.
    iterations, step: of the finest octave; the step's map (1, 1, h, w) is the mean change of a pixel.
    coarser_iterations, coarser_step: of the octaves below.
    """

    residual: Tensor
    amount: Tensor
    grown: Tensor
    iterations: int
    step: Tensor
    coarser_iterations: int
    coarser_step: Tensor


def grow_disocclusions(
    ascent: OctaveAscent,
    source: Tensor,
    residual: Tensor,
    amount: Tensor,
    *,
    lack: Tensor,
    renewal: Tensor,
    whole: float,
    whole_iterations: int,
    sizes: Sequence[Size],
    warm_iterations: int,
    own_iterations: int,
    shifts: Shifts,
    most: float = 1.0,
) -> Growth:
    """Grow what came into view on patches if that pays, and plan the steps of the whole frame.

    source, residual: (1, 3, h, w) at the finest of `sizes`. amount: (1, 1, h, w), the part of a whole dream that is
    carried. lack, renewal: (1, 1, h, w), by which part of a whole dream each position is to grow because it is missing,
    and because it fades. whole, whole_iterations: the mean change of a pixel by a whole dream, and its steps.
    warm_iterations: the most steps for what fades. own_iterations: steps for what is missing alone; 0 lets it share the
    `warm_iterations` of the whole frame, all of which are then taken. most: the part of a whole dream that is grown in
    this frame at most. Below 1, what comes into view takes no steps of its own: it grows over several frames.
    """
    if most < 1:
        lack, own_iterations = lack.clamp_max(most), 0
    if whole == 0:
        own_iterations = 0  # a step of length 0 still clips the image to [0, 1]
    iterations = needed = warm_iterations
    corners: list[list[Place]] = []
    grown = torch.zeros_like(lack)
    if own_iterations:
        corners, due = find_corners(lack, sizes, renewal)
        needed = max(1, math.ceil(due * whole_iterations / LONGEST_STEP))
        iterations = min(iterations, needed)
    coarser, coarser_renewal = math.ceil(iterations * COARSER_STEPS), COARSER_RENEWAL
    own_coarser = math.ceil(own_iterations * COARSER_PATCH_STEPS)
    if own_iterations and patches_pay(
        corners, sizes, own=own_iterations, own_coarser=own_coarser, finest=iterations, coarser=coarser
    ):
        residual = grow_patches(
            *(ascent, source, residual, sizes, lack, corners),
            iterations=own_iterations,
            coarser_iterations=own_coarser,
            whole=PATCH_GAIN * whole,
            shifts=shifts,
        )
        grown = cover(lack, corners[-1]) * lack
        amount, lack = amount + grown, lack - grown
    elif own_iterations > iterations:
        coarser_renewal *= coarser / own_iterations
        iterations = coarser = own_iterations
    if own_iterations:
        renewal = renewal.clamp_max(MOST_RENEWAL * iterations)
        if iterations < own_iterations:
            lack = lack.clamp_max(MOST_GROWTH * iterations)
        if needed == iterations == 1:
            # Coarse octaves carry most of a dream's strength, and fine detail is held by its spectrum. The finest
            # octave costs as much as all others: half of the calm frames, chosen at random, leave it out.
            iterations, _ = shifts.draw(len(sizes), 1, (2, 1))[0]
    each = whole / max(1, iterations)
    step, coarser_step = (lack + renewal) * each, (lack + coarser_renewal * renewal) * each
    return Growth(residual, amount + GROWN * lack, grown + lack, iterations, step, coarser, coarser_step)
