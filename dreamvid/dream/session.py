"""Runs the dream core with settings that change between frames."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from dreamvid.dream.objectives.binding import fit_network, layer_network, resolve_objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, octave_sizes
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient, read_activations
from dreamvid.networks.network import load_network
from dreamvid.runtime.device import configure_backend, resolve_device
from dreamvid.settings import Settings
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.settings.size import Size


class DreamSession:
    """Network, objective and ascent, built once from settings and set to the time of each frame.

    Raises NetworkError, ObjectiveError, DeviceError, SettingsError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device: torch.device = resolve_device(settings.render.device)
        configure_backend(self.device)
        dtype: torch.dtype = getattr(torch, settings.render.precision)
        network = load_network(settings.network.model, settings.network.weights, device=self.device)
        self._timeline = parse_timeline(settings.dream.objective)
        self._objectives = {
            text: resolve_objective(parse_objective(text), network, reduction=settings.dream.reduction)
            for text in self._timeline.objectives
        }
        layers = dict.fromkeys(layer for objective in self._objectives.values() for layer in objective.layers)
        gradient = TiledGradient(
            layer_network(network, tuple(layers)).to(dtype),
            self._objectives[self._timeline.objectives[0]],
            tile=settings.dream.tile,
        )
        self.ascent = OctaveAscent(
            gradient, UpdateRule.from_settings(settings.dream), octave_carry=settings.dream.octave_carry
        )

    def sizes(self, height: int, width: int, settings: Settings | None = None) -> list[Size]:
        """Compute the octave sizes (h, w) for images of height × width, coarse to fine."""
        dream = (settings or self.settings).dream
        return octave_sizes(
            height, width, dream_height=dream.dream_height, octaves=dream.octaves, octave_scale=dream.octave_scale
        )

    def set_time(
        self, time_seconds: float, frame: int, signals: Mapping[str, float] = MappingProxyType({})
    ) -> Settings:
        """Set objective and update rule to a time of the video; return the settings at that time."""
        settings = self.settings.at(time_seconds, frame, signals)
        self.ascent.gradient.objectives = tuple(
            (self._objectives[text], weight) for text, weight in self._timeline.at(time_seconds)
        )
        self.ascent.rule = UpdateRule.from_settings(settings.dream)
        return settings

    def density(self, image: Tensor) -> Tensor:
        """Map the present objective in an image (1, 3, H, W): (1, 1, h, w), on the layer's grid."""
        gradient = self.ascent.gradient
        with torch.no_grad():
            fitting = fit_network(gradient.network, image)
            images = fitting.to(gradient.dtype, memory_format=torch.channels_last)
            activations = read_activations(gradient.network, images)
            objective, _ = max(gradient.objectives, key=lambda pair: pair[1])
            return objective.density(activations).float()
