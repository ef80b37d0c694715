"""Image classifiers of timm, with its weights."""

import functools
import inspect
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dreamvid.errors import NetworkError
from dreamvid.networks.family import (
    IMAGENET_MEAN,
    IMAGENET_SIZE,
    IMAGENET_STD,
    Architecture,
    PublishedWeights,
    not_downloaded,
)


class TimmFamily:
    """All classifiers that timm lists. Loading it takes seconds, so only a search among them does."""

    tried: Sequence[str] = (
        *("tf_efficientnet_lite0", "convnext_atto", "vit_base_patch16_224", "vit_small_patch14_dinov2"),
        *("vit_small_patch16_dinov3", "vit_base_patch16_siglip_224", "swin_tiny_patch4_window7_224"),
        "eva02_tiny_patch14_224",
    )

    @functools.cache  # noqa: B019 - there is one family
    def names(self) -> Sequence[str]:
        """List timm's names."""
        import timm

        return tuple(timm.list_models())

    def find(self, name: str) -> Architecture | None:
        """Find a classifier by timm's name, which may have a tag of its weights behind a dot."""
        import timm

        if not timm.is_model(name):
            return None
        published = timm.get_pretrained_cfg(name)
        return Architecture(
            build=functools.partial(_build, name),
            load_published=functools.partial(_load_published, name=name),
            mean=tuple(published.mean) if published else IMAGENET_MEAN,
            std=tuple(published.std) if published else IMAGENET_STD,
            input_size=published.input_size[-1] if published else IMAGENET_SIZE,
            fingerprint=f"timm {version('timm')}",
        )

    def published(self, name: str) -> PublishedWeights:
        """Look for the file in the caches of the Hugging Face hub and of PyTorch."""
        import timm

        published = timm.get_pretrained_cfg(name)
        if published is None or not published.has_weights:
            return PublishedWeights("none published")
        kept = (_hub_folder(published.hf_hub_id) / "snapshots").is_dir() if published.hf_hub_id else False
        kept = kept or (bool(published.url) and _download(str(published.url)).is_file())
        return PublishedWeights("downloaded" if kept else "needs a download", published.license)


PLUGIN = TimmFamily()


def _build(name: str, **changes: Any) -> nn.Module:
    """Build a classifier for images of any size, where it can interpolate its position embeddings.

    changes: arguments of timm's, such as a smaller depth.
    """
    import timm

    options: dict[str, Any] = {"dynamic_img_size": True} if _takes_any_size(name) else {}
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, **options, **changes)
    except TypeError:  # another class in the same module takes the option
        module = timm.create_model(name, pretrained=False, **changes)
    return module


def _takes_any_size(name: str) -> bool:
    from timm.models import model_entrypoint

    origin = sys.modules[model_entrypoint(name.partition(".")[0]).__module__]
    classes = (value for value in vars(origin).values() if inspect.isclass(value) and issubclass(value, nn.Module))
    return any("dynamic_img_size" in inspect.signature(kind.__init__).parameters for kind in classes)


def _hub_folder(hub_id: str) -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def _download(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _load_published(module: nn.Module, name: str) -> None:
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise NetworkError(
            f"timm has no published weights for {name!r}. Give a checkpoint with `weights=FILE`, or choose "
            "another model: `dreamvid models` lists them."
        )
    try:
        # timm alone knows how to bring the names in older files to today's.
        state = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of whichever HTTP library the hub's client uses
        if published.hf_hub_id:
            url, kept = f"huggingface.co/{published.hf_hub_id}", _hub_folder(published.hf_hub_id)
        else:
            url, kept = str(published.url), _download(str(published.url))
        raise not_downloaded(name, url, kept, error) from error
    module.load_state_dict(state)
