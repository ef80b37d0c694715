"""Measure what needs optical flow, by pure functions of images at one size, and track the ages of regions.

Images X are (1, 3, H, W) in [0, 1], flows (1, 2, H, W) backward in pixels, masks (1, 1, H, W) of 0 and 1.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from dreamvid.image.tensors import luma
from dreamvid.motion.averages import local_mean
from dreamvid.motion.warp import warp

# Ages up to this many frames are counted apart; everything older is the rest.
OLDEST = 12
# Errors are squares of values in [0, 1]; so one unit is the square of 1% of full scale.
ERROR_SCALE = 1e4
# With less of the image old than this there is no rest to compare with.
_LEAST_REST = 0.05
# Change is compared between pixels of like speed: these speeds, in pixels per frame, part them. With less of the image
# old and of one such range than this, there is nothing to compare with.
SPEEDS = (0.5, 2.0, 8.0)
_LEAST_ALIKE = 0.002
# Flow and rest are compared over squares of this part of the image's width. Rest explains the source as well as the
# flow does if its squared error is at most this many times that of the flow, plus that of one level of 255.
_SQUARE_PART, _AS_WELL, _A_LEVEL = 1 / 20, 1.25, (1 / 255) ** 2


def judging_flow(flow: Tensor, source: tuple[Tensor, Tensor], dream: tuple[Tensor, Tensor]) -> Tensor:
    """Choose the flow by which a dream is judged at each pixel: the source's, or rest where rest is as likely.

    flow: of the source, backward (1, 2, H, W). source, dream: this frame and the one before, (1, 3, H, W) each.

    In a sky without clouds an estimator finds the motion of noise. By that flow a dream that stands still perfectly
    changes the more, the stronger it is. So where rest explains the source as well as its flow does, over squares of a
    twentieth of the width, the source does not say which of the two is right, and the dream may do either: it is judged
    by the one that suits it better over that square.
    """
    window = int(flow.shape[3] * _SQUARE_PART) | 1
    by_flow, by_rest = (
        [local_mean(_squared_change(*pair, used), window) for pair in (source, dream)]
        for used in (flow, torch.zeros_like(flow))
    )
    rest_is_as_likely = by_rest[0] <= _AS_WELL * by_flow[0] + _A_LEVEL
    return torch.where(rest_is_as_likely & (by_rest[1] < by_flow[1]), torch.zeros_like(flow), flow)


def warping_error(this: Tensor, previous: Tensor, flow: Tensor, mask: Tensor) -> float:
    """Measure how much a video changes beyond its motion, over the pixels of the mask; NaN if there are none.

        E_t(X) = 1e4 · Σ_p m(p) · ‖X_t(p) − X_{t−1}(p + f(p))‖² / (3 · Σ_p m(p))

    with bilinear sampling, on values from 0 to 1: the warping error of Lai et al. 2018 ("Learning blind video
    temporal consistency") per channel, with the masks of Ruder et al. 2016 ("Artistic style transfer for
    videos"), whose temporal loss it is.
    """
    squares = _squared_change(this, previous, flow).double()
    return _ratio(ERROR_SCALE * float((mask * squares).sum()), float(mask.double().sum()))


def _squared_change(this: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Square the change of an image along a flow, mean of the channels: (1, 1, H, W)."""
    return (this - warp(previous, flow, mode="bilinear")).square().mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Tone:
    """The look of one image as numbers from 0 to 1.

    `brightness` is the mean luma, `contrast` the standard deviation of the luma over the image,
    `saturation` the mean over the pixels of the highest minus the lowest channel.
    """

    brightness: float
    contrast: float
    saturation: float

    @classmethod
    def from_image(cls, image: Tensor) -> Self:
        """Measure an image (1, 3, H, W)."""
        light = luma(image).double()
        saturation = (image.amax(dim=1) - image.amin(dim=1)).double().mean()
        return cls(float(light.mean()), float(light.std(correction=0)), float(saturation))


class RevealedPlaces:
    """Measure how the dream grows in disoccluded regions, by the time since they came into view.

    Each pixel has an age in frames: 0 where the flow does not hold, elsewhere one more than that of the pixel
    it came from. Everything older than `OLDEST`, and all of the first frame of a shot, is the rest. With D the
    map of the objective, d for the dream and s for the source, A the pixels of age a at time t and R the rest
    at that time:

        strength(a) = Σ_t Σ_A D_d / Σ_t (Σ_R D_d / Σ_R D_s) Σ_A D_s

    is the objective at pixels of age a, divided by its value at the strength that the rest has at that time:
    1 is no difference. The map is as fine as the layer's stride and the layer sees around each pixel, so a
    narrow strip is seen together with its surroundings.

    With r = dream − source and c(p) the mean of |r_t(p) − r_{t−1}(p + g(p))| over the channels, g by `judging_flow`,
    at pixels of the mask, and the pixels parted by their speed |f(p)| in the source into ranges k (`SPEEDS`):

        change(a) = Σ_t Σ_k Σ_{A_k} c / Σ_t Σ_k (mean_{R_k} c) |A_k|

    is the change of the residual from one frame to the next, divided by that of what moves as fast in the rest:
    above 1 it pops. What moves changes more than what stands still at any age, because no flow is exact.
    """

    def __init__(self) -> None:
        self._age: Tensor | None = None
        self._got = torch.zeros(2, OLDEST + 1, dtype=torch.float64)  # strength, change
        self._expected = torch.zeros(2, OLDEST + 1, dtype=torch.float64)
        self._pixels = torch.zeros(OLDEST + 1, dtype=torch.float64)
        self._all_pixels = 0

    def restart(self, like: Tensor) -> None:
        """Begin a shot: everything counts as old. `like`: any (1, C, H, W) of the size."""
        self._age = torch.full_like(like[:, :1], OLDEST + 1)

    def advance(self, flow: Tensor, carried: Tensor) -> Tensor:
        """Age all pixels by a frame; `carried` (1, 1, H, W) is true where the flow holds.

        Return the ages (1, 1, H, W): 0 to `OLDEST`, `OLDEST` + 1 for the rest.
        """
        assert self._age is not None, "restart comes first"
        older = (warp(self._age, flow, mode="nearest") + 1).clamp_max(OLDEST + 1)
        self._age = torch.where(carried.bool(), older, torch.zeros_like(older))
        return self._age

    def add(self, source_map: Tensor, dream_map: Tensor, change: Tensor, mask: Tensor, flow: Tensor) -> None:
        """Take in a frame after `advance`: maps, c and the mask at the pixels, each (1, 1, H, W); the flow."""
        assert self._age is not None, "restart comes first"
        age = self._age.flatten().long()
        source, dream, changed, valid_fraction = (x.flatten().double() for x in (source_map, dream_map, change, mask))
        old = age > OLDEST
        count = _sums(age, torch.ones_like(source))
        self._pixels += count
        self._all_pixels += len(age)
        if float(old.double().mean()) < _LEAST_REST:
            return
        rest_source = float(source[old].sum())
        if rest_source > 0:
            self._got[0] += _sums(age, dream)
            self._expected[0] += float(dream[old].sum()) / rest_source * _sums(age, source)
        changed = changed * valid_fraction
        speeds = torch.bucketize(flow.square().sum(dim=1).sqrt().flatten(), torch.tensor(SPEEDS, device=flow.device))
        for k in range(len(SPEEDS) + 1):
            alike = speeds == k
            rest = alike & old
            rest_trusted = float(valid_fraction[rest].sum())
            if rest_trusted > _LEAST_ALIKE * len(age):
                self._got[1] += _sums(age[alike], changed[alike])
                self._expected[1] += (
                    float(changed[rest].sum()) / rest_trusted * _sums(age[alike], valid_fraction[alike])
                )

    def strength(self) -> list[float]:
        """strength(a) for a = 0 … OLDEST; NaN for an age that never was."""
        return self._ratios(0)

    def change(self) -> list[float]:
        """change(a) for a = 0 … OLDEST; NaN for an age that never was, and at 0, which has no past."""
        return self._ratios(1)

    def share(self) -> list[float]:
        """Share of all pixels that had age a = 0 … OLDEST."""
        return [_ratio(float(n), self._all_pixels) for n in self._pixels]

    def _ratios(self, row: int) -> list[float]:
        return [
            _ratio(float(got), float(wanted)) for got, wanted in zip(self._got[row], self._expected[row], strict=True)
        ]


def _sums(age: Tensor, values: Tensor) -> Tensor:
    """Sum of values at each age from 0 to OLDEST."""
    return torch.bincount(age, values, minlength=OLDEST + 2)[: OLDEST + 1].cpu()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
