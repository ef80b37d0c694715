"""Shows what a feature responds to: images grown from noise.

The three methods of the TensorFlow notebook of 2015, from gray noise:

naive       steps at the final size
multiscale  the image is enlarged between rounds of steps, which strengthens low frequencies
laplacian   as multiscale, with each Laplacian level of the gradient normalized: smooth images

And the methods of later years, `fourier` and `maco`, which optimize a spectrum: see spectrum.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvid.dream.objectives.binding import encoder_loader, layer_network, resolve_objective
from dreamvid.dream.objectives.layers import LayerTerm
from dreamvid.dream.objectives.objective import Objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import Shifts
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import InputError
from dreamvid.figures import spectrum
from dreamvid.figures.contact_sheet import check_layout, contact_sheet
from dreamvid.image.tensors import resize, to_pixels
from dreamvid.networks.network import Network, load_network
from dreamvid.runtime.device import resolve_device
from dreamvid.settings import Settings, as_settings
from dreamvid.settings.size import Size

Method = Literal["naive", "multiscale", "laplacian"]
AnyMethod = Literal["naive", "multiscale", "laplacian", "fourier", "maco"]

# The notebook's numbers, for its images from 0 to 255.
_STEP = 1 / 255
_GRAY = 100 / 255
_NOISE = 1 / 255
_OCTAVE_SCALE = 1.4
_DISPLAY_DEVIATION = 0.1


@dataclass(frozen=True)
class _Recipe:
    rule: UpdateRule
    octaves: int
    iterations: int  # in each octave
    jitter: bool


_PLAIN = UpdateRule(laplacian_levels=0, gradient_norm="std", color_space="rgb", clamp="end")
_RECIPES: dict[Method, _Recipe] = {
    "naive": _Recipe(_PLAIN, octaves=1, iterations=20, jitter=False),
    "multiscale": _Recipe(_PLAIN, octaves=3, iterations=10, jitter=True),
    "laplacian": _Recipe(
        UpdateRule(laplacian_levels=4, gradient_norm="none", color_space="rgb", clamp="end"),
        octaves=3,
        iterations=10,
        jitter=True,
    ),
}


def visualize(
    gradient: TiledGradient,
    method: Method,
    *,
    size: Size,
    iterations: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Grow an image (1, 3, *size) that maximizes the gradient's objective; `for_display` scales it for viewing.

    iterations: steps in each octave, None for the notebook's number. The noise and the shifts depend on `seed` alone,
    so images with the same seed begin alike.
    """
    recipe = _RECIPES[method]
    steps = recipe.iterations if iterations is None else iterations
    scales = [_OCTAVE_SCALE ** (recipe.octaves - 1 - octave) for octave in range(recipe.octaves)]
    sizes = [Size(max(1, round(size.height / scale)), max(1, round(size.width / scale))) for scale in scales]
    noise = torch.rand(1, 3, *sizes[0], generator=torch.Generator().manual_seed(seed))
    x = (_GRAY + _NOISE * noise).to(device)
    for octave, octave_size in enumerate(sizes):
        x = resize(x, octave_size)
        shifts = Shifts(seed, 0).draw(octave, steps, octave_size) if recipe.jitter else [(0, 0)] * steps
        for shift in shifts:
            x = recipe.rule(x, gradient(x, shift), _STEP)
    return x


def for_display(x: Tensor) -> Tensor:
    """Scale an image (1, 3, H, W) of any range to a mean of ½ and a standard deviation of 0.1, in [0, 1]."""
    deviation = x.std(correction=0).clamp_min(1e-4 / 255)
    return (0.5 + _DISPLAY_DEVIATION * (x - x.mean()) / deviation).clamp(0, 1)


SMALLEST, LARGEST = 16, 4096  # pixels
MOST_DIVERSE = 16
_SPECTRAL = ("fourier", "maco")


def feature_sheet(
    targets: Sequence[str],
    settings: Settings | str | Path | None = None,
    *,
    method: AnyMethod = "laplacian",
    size: int = 224,
    iterations: int | None = None,
    diversity: int = 1,
    on_image: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Grow an image of `size` pixels a side for every feature; return it, or a labelled sheet of several, uint8 RGB.

    Arguments, and what is raised, as for `feature_images`.
    """
    cells = feature_images(
        targets,
        settings,
        method=method,
        size=size,
        iterations=iterations,
        diversity=diversity,
        on_image=on_image,
        check=lambda count: check_layout(count, Size(size, size)),
    )
    return cells[0][0] if len(cells) == 1 else contact_sheet(cells)


def feature_images(
    targets: Sequence[str],
    settings: Settings | str | Path | None = None,
    *,
    method: AnyMethod = "laplacian",
    size: int = 224,
    iterations: int | None = None,
    diversity: int = 1,
    on_image: Callable[[int, int], None] | None = None,
    check: Callable[[int], object] = lambda count: None,
) -> list[tuple[npt.NDArray[np.uint8], str]]:
    """Grow an image of `size` pixels a side for every feature; return each, uint8 RGB (size, size, 3), with its label.

    targets: `LAYER` is each of its channels, `LAYER:0-19` and `LAYER:1,5` these channels, one image each; any other
    objective, such as `a:1 + b:2`, is one image. settings: the network, seed, device and precision, as settings or the
    name or file of a preset; None for the default one. diversity: how many images of each feature, each unlike the
    others; more than one only with "fourier" and "maco". on_image: called with the number of images that are done and
    of all. check: called before the work with the number of images. Raises DreamvidError.
    """
    settings = as_settings(settings)
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"`size` got {size}: allowed is from {SMALLEST} to {LARGEST} pixels.")
    if iterations is not None and not 1 <= iterations <= 2000:
        raise InputError(f"`iterations` got {iterations}: allowed is from 1 to 2000.")
    if not 1 <= diversity <= MOST_DIVERSE:
        raise InputError(f"`diversity` got {diversity}: allowed is from 1 to {MOST_DIVERSE} images.")
    if diversity > 1 and method not in _SPECTRAL:
        raise InputError(f"`diversity` above 1 needs `method=fourier` or `method=maco`, not {method}.")
    device = resolve_device(settings.render.device)
    network = load_network(settings.network.model, settings.network.weights, device=device)
    objectives = [objective for target in targets for objective in _each(parse_objective(target), network)]
    encoder = encoder_loader(settings.network, device)
    # All names are checked before the work.
    resolved = [resolve_objective(objective, network, encoder=encoder) for objective in objectives]
    check(len(objectives) * diversity)
    dtype: torch.dtype = getattr(torch, settings.render.precision)
    cells: list[tuple[npt.NDArray[np.uint8], str]] = []
    gradients: dict[tuple[str, ...], TiledGradient] = {}
    for objective, target in zip(objectives, resolved, strict=True):
        if target.layers not in gradients:
            gradients = {
                target.layers: TiledGradient(
                    layer_network(network, target.layers).to(dtype), target, tile=settings.dream.tile
                )
            }
        gradient = gradients[target.layers]
        gradient.objectives = ((target, 1.0),)
        if method == "fourier" or method == "maco":
            if diversity > 1 and not target.layers:
                raise InputError(f"`diversity` needs an objective that reads a layer, not {objective}.")
            batch = spectrum.grow(
                gradient.network,
                target,
                method,
                size=Size(size, size),
                steps=spectrum.STEPS if iterations is None else iterations,
                seed=settings.render.seed,
                count=diversity,
                device=device,
            )
            images = [batch[index : index + 1] for index in range(diversity)]
        else:
            grown = visualize(
                gradient,
                method,
                size=Size(size, size),
                iterations=iterations,
                seed=settings.render.seed,
                device=device,
            )
            images = [for_display(grown)]
        cells += [(to_pixels(image), str(objective)) for image in images]
        if on_image is not None:
            on_image(len(cells), len(objectives) * diversity)
    return cells


def _each(objective: Objective, network: Network) -> list[Objective]:
    """Split a layer into its channels."""
    weight, term = objective.terms[0]
    if len(objective.terms) > 1 or weight != 1 or not isinstance(term, LayerTerm):
        return [objective]
    channels = term.channels or tuple(range(network.table.channels(term.layer)))
    return [Objective(((1.0, LayerTerm(term.layer, (channel,))),)) for channel in channels]
