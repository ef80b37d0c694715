"""Where a classifier of a given name comes from: its code, its normalisation and its published weights."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dreamvid.errors import NetworkError, nearest
from dreamvid.image.tensors import IMAGENET_MEAN, IMAGENET_STD
from dreamvid.networks import efficientnet_lite
from dreamvid.networks.tensorflow import inception5h
from dreamvid.networks.weights import load_embedded, load_state

# Its module turns the normalisation of torchvision's other models back into that of TensorFlow, under which
# it was trained. Without that detour the normalisation is this one.
_TENSORFLOW_TRAINED = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Architecture:
    """A classifier that can be built: `build()` gives it untrained, `load_published(module)` fills it."""

    library: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int
    build: Callable[[], nn.Module]
    load_published: Callable[[nn.Module], None]


def find(model: str) -> Architecture:
    """Find the architecture called `model`. Raises NetworkError with the nearest names."""
    library, _, name = model.rpartition(":")
    if library not in ("", "torchvision", "timm"):
        raise NetworkError(
            f"Model {model!r}: {library!r} is no library of models. Write `torchvision:NAME` or `timm:NAME`."
        )
    if not library and name == efficientnet_lite.NAME:
        return _embedded()
    if not library and name == inception5h.NAME:
        return _inception5h()
    import timm

    in_torchvision, in_timm = torchvision_names(), timm.list_models()
    if library != "timm" and name in in_torchvision:
        return _torchvision(name)
    if library != "torchvision" and timm.is_model(name):
        return _timm(name)
    own = [efficientnet_lite.NAME, inception5h.NAME]
    allowed = {"torchvision": in_torchvision, "timm": in_timm, "": [*own, *in_torchvision, *in_timm]}[library]
    raise NetworkError(f"There is no model {model!r}.{nearest(name, allowed)} `dreamvid models` lists them.")


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's image classifiers."""
    models = _torchvision_models()
    return tuple(models.list_models(module=models))


def torchvision_weights(name: str) -> Any:
    """The published weights of a torchvision classifier, an enum member.

    Where there are two it is the first training, which published dreams used; later recipes (label smoothing,
    mixup) may give other features.
    """
    members = _torchvision_models().get_model_weights(name)
    return members.__members__.get("IMAGENET1K_V1", members.DEFAULT)


def _torchvision_models() -> Any:
    """Its module; loading it takes seconds, so that only networks of torchvision's wait for it.

    Untyped: it says neither what it exports nor what its enums of weights hold.
    """
    import torchvision

    return torchvision.models


def _torchvision(name: str) -> Architecture:
    preset = torchvision_weights(name).transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    options: dict[str, Any] = {}  # initialisations of their own take seconds, for weights that are replaced
    if name in _TENSORFLOW_TRAINED:
        mean = std = (0.5, 0.5, 0.5)
        options = {"transform_input": False, "aux_logits": False, "init_weights": False}
    elif name.startswith("vgg"):
        options = {"init_weights": False}
    return Architecture(
        "torchvision",
        mean,
        std,
        preset.crop_size[0],
        lambda: _torchvision_models().get_model(name, weights=None, **options),
        functools.partial(_load_torchvision, name=name),
    )


def _timm(name: str) -> Architecture:
    import timm  # takes seconds, like torchvision

    published = timm.get_pretrained_cfg(name)
    return Architecture(
        "timm",
        tuple(published.mean) if published else IMAGENET_MEAN,
        tuple(published.std) if published else IMAGENET_STD,
        published.input_size[-1] if published else 224,
        lambda: timm.create_model(name, pretrained=False),
        functools.partial(_load_timm, name=name),
    )


def _embedded() -> Architecture:
    return Architecture(
        "dreamvid",
        (efficientnet_lite.MEAN,) * 3,
        (efficientnet_lite.STD,) * 3,
        efficientnet_lite.INPUT_SIZE,
        efficientnet_lite.EfficientNetLite2,
        load_embedded,
    )


def _inception5h() -> Architecture:
    return Architecture(
        "tensorflow",
        (inception5h.MEAN,) * 3,
        (inception5h.STD,) * 3,
        inception5h.INPUT_SIZE,
        inception5h.Inception5h,
        _load_inception5h,
    )


def inception5h_archive() -> Path:
    """Where the published archive of inception5h is kept once it is downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "inception5h.zip"


def _load_inception5h(module: nn.Module) -> None:
    assert isinstance(module, inception5h.Inception5h)
    place = inception5h_archive()
    try:
        inception5h.fetch(place)
    except inception5h.FETCH_ERRORS as error:
        raise _not_had(inception5h.NAME, inception5h.URL, place, error) from error
    module.load(place)


def _load_torchvision(module: nn.Module, name: str) -> None:
    published = torchvision_weights(name)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = published.url.rsplit("/", 1)[-1]
    try:
        state = published.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # URLError, HTTPException, a wrong hash …: all mean that the file is not to be had
        raise _not_had(name, published.url, folder / file, error) from error
    load_state(module, state, f"torchvision's weights of {name}", f"Delete {str(folder / file)!r} and try again.")


def _load_timm(module: nn.Module, name: str) -> None:
    import timm
    from huggingface_hub.constants import HF_HUB_CACHE

    published = timm.get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise NetworkError(
            f"timm has no published weights for {name!r}. Give a checkpoint with --weights FILE, or choose "
            "another model: `dreamvid models` lists them."
        )
    try:
        timm.models.load_pretrained(module, pretrained_cfg=dataclasses.asdict(published))
    except Exception as error:  # of whichever HTTP library the hub's client uses
        if published.hf_hub_id:
            place = Path(HF_HUB_CACHE) / f"models--{published.hf_hub_id.replace('/', '--')}"
            raise _not_had(name, f"huggingface.co/{published.hf_hub_id}", place, error) from error
        url = str(published.url)
        place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
        raise _not_had(name, url, place, error) from error


def _not_had(name: str, url: str, place: Path, error: Exception) -> NetworkError:
    return NetworkError(
        f"The weights of {name!r} could not be downloaded from {url} ({type(error).__name__}: {error}); "
        f"they would be kept at {str(place)!r}. Give a file that you have with `--weights FILE`, or use the "
        "model that needs no download: leave --model away."
    )
