"""Resolves an objective against a network and the image files that its terms name."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dreamvid.dream.objectives.objective import Objective, ResolvedObjective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.term import TERMS, Reduction, no_encoder
from dreamvid.image.io import read_image
from dreamvid.image.tensors import resize, to_tensor
from dreamvid.networks.class_map import find_class_map
from dreamvid.networks.clip import Clip, load_clip
from dreamvid.networks.network import Network
from dreamvid.networks.truncate import Truncated
from dreamvid.runtime.autograd import outside_inference_mode
from dreamvid.settings import NetworkSettings
from dreamvid.settings.objective_timeline import parse_timeline

# Larger guides are shrunk: a network recognizes things at about the size of the images that it was trained on.
LARGEST_SIDE = 448


def encoder_loader(settings: NetworkSettings, device: torch.device | str) -> Callable[[], Clip]:
    """Return a function that loads the settings' encoder of texts and images at its first call, and keeps it."""
    return functools.cache(lambda: load_clip(settings.text_model, settings.text_weights, device))


def resolve_objective(
    objective: Objective,
    network: Network,
    *,
    reduction: Reduction = "auto",
    encoder: Callable[[], Clip] = no_encoder,
) -> ResolvedObjective:
    """Resolve an objective; the files that it names are relative to the current folder.

    encoder: from `encoder_loader`; only terms such as text("…") need it.

    Raises ObjectiveError, NetworkError, and SourceError for an image that cannot be read.
    """

    def features(layer: str, file: str) -> Tensor:
        truncated = network.truncate([layer])
        with outside_inference_mode(), torch.no_grad():
            image = _guide(file).to(truncated.scale.device, truncated.scale.dtype)
            activation: Tensor = truncated(fit_network(truncated, image))[layer]
        return activation

    with outside_inference_mode():  # what a term keeps is read by the gradient
        return objective.resolve(
            network.table,
            reduction=reduction,
            features=features,
            class_map=functools.cache(lambda: find_class_map(network)),
            encoder=encoder,
        )


def layer_network(network: Network, layers: Sequence[str]) -> nn.Module:
    """Cut the network off behind the layers that objectives read, as `Network.truncate` does; there may be none."""
    return network.truncate(layers) if layers else _NoLayers()


def fit_network(network: nn.Module, image: Tensor) -> Tensor:
    """Stretch an image (1, 3, H, W) to the only size that the network takes; leave it as it is if there are others."""
    side = network.sizes.only if isinstance(network, Truncated) else None
    return image if side is None else resize(image, (side, side)).clamp(0, 1)


class _NoLayers(nn.Module):
    """Stands for the network where all terms of an objective bring their own."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {}


def objective_fingerprints(timeline: str) -> list[str]:
    """List what the terms of an objective timeline depend on besides their text: files, and the versions of plugins.

    Raises as `resolve_objective`.
    """
    texts = parse_timeline(timeline).objectives
    terms = dict.fromkeys(term for text in texts for _, term in parse_objective(text).terms)
    origins: dict[type, str] = {
        TERMS.load(name): TERMS.origin(name) for name in TERMS.names() if TERMS.origin(name) and name in timeline
    }
    parts = (part for term in terms for part in (origins.get(type(term), ""), term.fingerprint()))
    return [part for part in parts if part]


def _guide(name: str) -> Tensor:
    image = to_tensor(read_image(Path(name).expanduser()))
    scale = LARGEST_SIDE / max(image.shape[2:])
    if scale >= 1:
        return image
    size = max(1, round(scale * image.shape[2])), max(1, round(scale * image.shape[3]))
    return resize(image, size).clamp(0, 1)
