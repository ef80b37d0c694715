"""Objectives with the guide pictures that they name."""

import hashlib
from pathlib import Path

from torch import Tensor

from dreamvid.dream.networks import Network
from dreamvid.dream.objective import BoundObjective, Measure, Objective, parse_objective
from dreamvid.dream.octaves import resize
from dreamvid.pipeline.pixels import to_tensor
from dreamvid.settings.stations import parse_stations
from dreamvid.video.image import read_image

# Larger guides are shrunk: a network knows things at about the size of the pictures that it was trained on.
LARGEST_SIDE = 448


def bind_objective(objective: Objective, network: Network, *, measure: Measure = "auto") -> BoundObjective:
    """Bind an objective to the network and the files of its guides, which are relative to the current folder.

    Raises ObjectiveError, NetworkError, and SourceError for a guide that cannot be read.
    """
    return objective.bind(network, {name: _guide(name) for name in objective.guides}, measure=measure)


def guide_fingerprints(objective: str) -> list[str]:
    """Hash the pictures that an objective's text, its stations too, names as guides; raises as `bind_objective`."""
    texts = parse_stations(objective).objectives
    names = dict.fromkeys(name for text in texts for name in parse_objective(text).guides)
    return [hashlib.sha256(read_image(Path(name).expanduser()).tobytes()).hexdigest() for name in names]


def _guide(name: str) -> Tensor:
    picture = to_tensor(read_image(Path(name).expanduser()))
    scale = LARGEST_SIDE / max(picture.shape[2:])
    if scale >= 1:
        return picture
    size = max(1, round(scale * picture.shape[2])), max(1, round(scale * picture.shape[3]))
    return resize(picture, size).clamp(0, 1)
