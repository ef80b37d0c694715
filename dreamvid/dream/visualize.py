"""What a feature looks for: pictures grown from grey noise, in the three ways of the TensorFlow DeepDream notebook.

naive       steps at the final size
multiscale  the picture is enlarged between rounds of steps, which gives lower frequencies their say
laplacian   as multiscale, each Laplacian level of the gradient evened out: smooth pictures
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dreamvid.dream.octaves import Shifts, resize
from dreamvid.dream.tiles import TiledGradient
from dreamvid.dream.update import UpdateRule

Method = Literal["naive", "multiscale", "laplacian"]

# The notebook's numbers, its pictures being from 0 to 255.
_STEP = 1 / 255
_GREY = 100 / 255
_NOISE = 1 / 255
_OCTAVE_SCALE = 1.4
_DISPLAY_DEVIATION = 0.1


@dataclass(frozen=True)
class _Way:
    rule: UpdateRule
    octaves: int
    iterations: int  # in each octave
    jitter: bool


_PLAIN = UpdateRule(levels=0, normalize="std", space="rgb", clip="end")
_WAYS: dict[Method, _Way] = {
    "naive": _Way(_PLAIN, octaves=1, iterations=20, jitter=False),
    "multiscale": _Way(_PLAIN, octaves=3, iterations=10, jitter=True),
    "laplacian": _Way(
        UpdateRule(levels=4, normalize="none", space="rgb", clip="end"), octaves=3, iterations=10, jitter=True
    ),
}


def visualize(
    gradient: TiledGradient,
    method: Method,
    *,
    size: tuple[int, int],
    iterations: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Grow a picture (1, 3, *size) of what the gradient's objective is; `for_display` makes it fit to look at.

    iterations: steps in each octave, the notebook's number without. The noise and the shifts come from `seed` alone,
    so that pictures of one seed begin alike.
    """
    way = _WAYS[method]
    steps = way.iterations if iterations is None else iterations
    scales = [_OCTAVE_SCALE ** (way.octaves - 1 - octave) for octave in range(way.octaves)]
    sizes = [(max(1, round(size[0] / scale)), max(1, round(size[1] / scale))) for scale in scales]
    noise = torch.rand(1, 3, *sizes[0], generator=torch.Generator().manual_seed(seed))
    x = (_GREY + _NOISE * noise).to(device)
    for octave, octave_size in enumerate(sizes):
        x = resize(x, octave_size)
        shifts = Shifts(seed, 0).draw(octave, steps, octave_size) if way.jitter else [(0, 0)] * steps
        for shift in shifts:
            x = way.rule(x, gradient(x, shift), _STEP)
    return x


def for_display(x: Tensor) -> Tensor:
    """Bring a picture (1, 3, H, W) of any range to a mean of ½ and a standard deviation of 0.1, in [0, 1]."""
    deviation = x.std(correction=0).clamp_min(1e-4 / 255)
    return (0.5 + _DISPLAY_DEVIATION * (x - x.mean()) / deviation).clamp(0, 1)
