"""Image classifiers of torchvision, with its weights."""

import functools
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dreamvid.networks.family import Architecture, PublishedWeights, not_downloaded
from dreamvid.networks.weights import fit_names, load_state

# Its module turns the normalization of torchvision's other models back into that of TensorFlow, under which
# it was trained. Without that detour the normalization is this one.
_TENSORFLOW_TRAINED = ("googlenet", "inception_v3")


class TorchvisionFamily:
    """All classifiers that torchvision lists. Loading it takes seconds, so only a search among them does."""

    tried: Sequence[str] = (
        *("googlenet", "inception_v3", "vgg16", "vgg19", "resnet50", "densenet121", "squeezenet1_1"),
        *("mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "regnet_y_400mf"),
    )

    @functools.cache  # noqa: B019 - there is one family
    def names(self) -> Sequence[str]:
        """List torchvision's names."""
        models = _models()
        return tuple(sorted(models.list_models(module=models)))

    def find(self, name: str) -> Architecture | None:
        """Find a classifier by torchvision's name."""
        if name not in self.names():
            return None
        published = _weights(name)
        preset = published.transforms()
        mean, std = tuple(preset.mean), tuple(preset.std)
        options: dict[str, Any] = {}  # initializations of their own take seconds, for weights that are replaced
        if name in _TENSORFLOW_TRAINED:
            mean = std = (0.5, 0.5, 0.5)
            options = {"transform_input": False, "aux_logits": False, "init_weights": False}
        elif name.startswith("vgg"):
            options = {"init_weights": False}
        return Architecture(
            build=lambda: _models().get_model(name, weights=None, **options),
            load_published=functools.partial(_load_published, name=name),
            mean=mean,
            std=std,
            input_size=preset.crop_size[0],
            fingerprint=f"torchvision {version('torchvision')}, {_file(published)}",
        )

    def published(self, name: str) -> PublishedWeights:
        """Look for the file in PyTorch's cache."""
        published = _weights(name)
        state = "downloaded" if _kept(published).is_file() else "needs a download"
        return PublishedWeights(state, size_mb=published.meta.get("_file_size"))  # type: ignore[arg-type]


PLUGIN = TorchvisionFamily()


def _models() -> Any:
    """Its module, untyped: it says neither what it exports nor what its enums of weights hold."""
    import torchvision

    return torchvision.models


def _weights(name: str) -> Any:
    """The published weights of a classifier, an enum member.

    Where there are two it is the first training, which published dreams used; later recipes (label smoothing,
    mixup) may give other features.
    """
    members = _models().get_model_weights(name)
    return members.__members__.get("IMAGENET1K_V1", members.DEFAULT)


def _file(published: Any) -> str:
    return str(published.url).rsplit("/", 1)[-1]


def _kept(published: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / _file(published)


def _load_published(module: nn.Module, name: str) -> None:
    published = _weights(name)
    kept = _kept(published)
    try:
        state = published.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # URLError, HTTPException, a wrong hash …: all mean that the file is not to be had
        raise not_downloaded(name, published.url, kept, error) from error
    state = fit_names(state, module.state_dict())
    load_state(module, state, f"torchvision's weights of {name}", f"Delete {str(kept)!r} and try again.")
