"""Which classifiers there are to dream with, without building or downloading any."""

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import timm
import torch
from huggingface_hub.constants import HF_HUB_CACHE

from dreamvid.networks import efficientnet_lite
from dreamvid.networks.registry import inception5h_archive, torchvision_names, torchvision_weights
from dreamvid.networks.tensorflow import inception5h

# Networks that dream well and differ from one another.
_TRIED = (
    *(
        "googlenet",
        "inception_v3",
        "vgg16",
        "vgg19",
        "resnet50",
        "densenet121",
        "squeezenet1_1",
        "mobilenet_v3_large",
    ),
    *(
        "efficientnet_b0",
        "convnext_tiny",
        "regnet_y_400mf",
        "timm:tf_efficientnet_lite0",
        "timm:convnext_atto",
    ),
)


@dataclass(frozen=True)
class ModelEntry:
    """One classifier: `name` is what `load_network` takes.

    `weights` says where its published weights are: with the installation, in the libraries' caches, to be
    downloaded, or nowhere. `licence` and `size_mb` (of the weights, 10⁶ bytes) are None where the library
    does not say.
    """

    name: str
    library: Literal["dreamvid", "timm", "torchvision", "tensorflow"]
    licence: str | None
    weights: Literal["embedded", "downloaded", "needs a download", "none published"]
    size_mb: float | None


def available_models(pattern: str | None = None) -> list[ModelEntry]:
    """List classifiers: without `pattern` a short tried list, the embedded one first.

    `pattern` is a part of a name or a shell pattern (`resnet*`, `*`), over all of torchvision's and timm's; a
    timm model whose name torchvision has too is listed with `timm:` in front. `load_network` refuses the few
    that do not trace.
    """
    if pattern is None:
        names = [efficientnet_lite.NAME, inception5h.NAME, *_TRIED]
    else:
        wanted = pattern if any(character in pattern for character in "*?[") else f"*{pattern}*"
        in_torchvision = set(torchvision_names())
        in_timm = [f"timm:{n}" if n in in_torchvision or n == efficientnet_lite.NAME else n for n in timm.list_models()]
        everything = [efficientnet_lite.NAME, inception5h.NAME, *sorted(in_torchvision), *in_timm]
        names = [name for name in everything if fnmatch.fnmatchcase(name.removeprefix("timm:"), wanted)]
    return [_entry(name) for name in names]


def model_counts() -> dict[str, int]:
    """Count each library's classifiers."""
    return {"torchvision": len(torchvision_names()), "timm": len(timm.list_models())}


def _entry(name: str) -> ModelEntry:
    if name == efficientnet_lite.NAME:
        return ModelEntry(name, "dreamvid", "apache-2.0", "embedded", None)
    if name == inception5h.NAME:
        there = inception5h_archive().is_file()
        weights: Literal["downloaded", "needs a download"] = "downloaded" if there else "needs a download"
        return ModelEntry(name, "tensorflow", "apache-2.0", weights, inception5h.SIZE_MB)
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    if name in torchvision_names():
        published = torchvision_weights(name)
        there = (checkpoints / published.url.rsplit("/", 1)[-1]).is_file()
        size = published.meta.get("_file_size")
        return ModelEntry(name, "torchvision", None, "downloaded" if there else "needs a download", size)
    config = timm.get_pretrained_cfg(name.removeprefix("timm:"))
    if config is None or not config.has_weights:
        return ModelEntry(name, "timm", None, "none published", None)
    there = bool(config.url) and (checkpoints / str(config.url).rsplit("/", 1)[-1]).is_file()
    if config.hf_hub_id:
        folder = f"models--{config.hf_hub_id}".replace("/", "--")
        there = there or (Path(HF_HUB_CACHE) / folder / "snapshots").is_dir()
    return ModelEntry(name, "timm", config.license, "downloaded" if there else "needs a download", None)
