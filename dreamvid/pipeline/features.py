"""Sheets of what features look for."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from dreamvid.dream.device import find_device
from dreamvid.dream.networks import Network, load_network
from dreamvid.dream.objective import LayerTerm, Objective, parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.dream.visualize import Method, for_display, visualize
from dreamvid.errors import InputError
from dreamvid.pipeline.guides import bind_objective
from dreamvid.pipeline.pixels import to_pixels
from dreamvid.settings import Settings, load_settings
from dreamvid.video.sheet import check_layout, contact_sheet

SMALLEST, LARGEST = 16, 4096  # pixels


def feature_sheet(
    targets: Sequence[str],
    settings: Settings | None = None,
    *,
    method: Method = "laplacian",
    size: int = 224,
    iterations: int | None = None,
    on_picture: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Grow a picture of `size` pixels a side for every feature; return it, or a labelled sheet of several, uint8 RGB.

    targets: `LAYER` is each of its channels, `LAYER:0-19` and `LAYER:1,5` these channels, one picture each; any other
    objective, such as `a:1 + b:2`, is one picture. settings: the network, seed, device and precision; the default
    preset's without. on_picture: called with the number of pictures that are done and of all. Raises DreamvidError.
    """
    settings = load_settings() if settings is None else settings
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"--size got {size}: allowed is from {SMALLEST} to {LARGEST} pixels.")
    if iterations is not None and not 1 <= iterations <= 2000:
        raise InputError(f"--iterations got {iterations}: allowed is from 1 to 2000.")
    device = find_device(settings.render.device)
    network = load_network(settings.network.model, settings.network.weights, device=device)
    objectives = [one for target in targets for one in _each(parse_objective(target), network)]
    bounds = [bind_objective(objective, network) for objective in objectives]  # a wrong name is told before the work
    check_layout(len(objectives), (size, size))
    dtype: torch.dtype = getattr(torch, settings.render.precision)
    cells = []
    gradients: dict[tuple[str, ...], TiledGradient] = {}
    for objective, bound in zip(objectives, bounds, strict=True):
        if bound.layers not in gradients:
            gradients = {
                bound.layers: TiledGradient(network.truncate(bound.layers).to(dtype), bound, tile=settings.dream.tile)
            }
        gradient = gradients[bound.layers]
        gradient.objectives = ((bound, 1.0),)
        picture = visualize(
            gradient,
            method,
            size=(size, size),
            iterations=iterations,
            seed=settings.render.seed,
            device=device,
        )
        cells.append((to_pixels(for_display(picture)), str(objective)))
        if on_picture is not None:
            on_picture(len(cells), len(objectives))
    return cells[0][0] if len(cells) == 1 else contact_sheet(cells)


def _each(objective: Objective, network: Network) -> list[Objective]:
    """Take a layer apart into its channels."""
    weight, term = objective.terms[0]
    if len(objective.terms) > 1 or weight != 1 or not isinstance(term, LayerTerm):
        return [objective]
    channels = term.channels or tuple(range(network.channels(term.layer)))
    return [Objective(((1.0, LayerTerm(term.layer, (channel,))),)) for channel in channels]
