"""Runs the dream core with settings that change between frames."""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from dreamvid.dream.objectives.binding import encoder_loader, fit_network, layer_network, resolve_objective
from dreamvid.dream.objectives.objective import ResolvedObjective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, octave_sizes
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient, read_activations
from dreamvid.networks.network import load_network
from dreamvid.runtime.device import configure_backend, resolve_device
from dreamvid.settings import Settings
from dreamvid.settings.objective_timeline import ObjectiveTimeline, parse_timeline
from dreamvid.settings.size import Size

# Cut-off networks that are kept for objectives that come back.
_MOST_GRADIENTS = 4


class DreamSession:
    """Network, objective and ascent, built once from settings and set to the time of each frame.

    Raises NetworkError, ObjectiveError, DeviceError, SettingsError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device: torch.device = resolve_device(settings.render.device)
        configure_backend(self.device)
        self._dtype: torch.dtype = getattr(torch, settings.render.precision)
        self._network = load_network(settings.network.model, settings.network.weights, device=self.device)
        self._encoder = encoder_loader(settings.network, self.device)
        self._objectives: dict[str, ResolvedObjective] = {}
        self._gradients: OrderedDict[tuple[str, ...], TiledGradient] = OrderedDict()
        self._timeline = self._resolve(settings.dream.objective)
        self.ascent = OctaveAscent(
            self._gradient(), UpdateRule.from_settings(settings.dream), octave_carry=settings.dream.octave_carry
        )

    def update(self, settings: Settings) -> None:
        """Take other settings between two frames; network, precision, device, tiles and reduction stay as they are.

        Raises ObjectiveError for an objective that the network does not have, and changes nothing then.
        """
        if settings.dream.objective != self.settings.dream.objective:
            self._timeline = self._resolve(settings.dream.objective)
            self.ascent.gradient = self._gradient()
        self.settings = settings

    def resolve(self, objective: str) -> ResolvedObjective:
        """Resolve an objective's text against the network. Raises ObjectiveError, NetworkError, SourceError."""
        found = self._objectives.get(objective)
        if found is None:
            found = resolve_objective(
                parse_objective(objective),
                self._network,
                reduction=self.settings.dream.reduction,
                encoder=self._encoder,
            )
        return found

    def _resolve(self, text: str) -> ObjectiveTimeline:
        timeline = parse_timeline(text)
        self._objectives = {objective: self.resolve(objective) for objective in timeline.objectives}
        return timeline

    def _gradient(self) -> TiledGradient:
        """Return the gradient of the present objectives: the network, cut off behind the layers that they need."""
        layers = tuple(dict.fromkeys(layer for found in self._objectives.values() for layer in found.layers))
        gradient = self._gradients.pop(layers, None) or TiledGradient(
            layer_network(self._network, layers).to(self._dtype),
            self._objectives[self._timeline.objectives[0]],
            tile=self.settings.dream.tile,
            runtime=self.settings.render.runtime,
        )
        self._gradients[layers] = gradient  # the latest comes last
        if len(self._gradients) > _MOST_GRADIENTS:
            self._gradients.popitem(last=False)
        return gradient

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
