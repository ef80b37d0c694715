"""Encodes images and text into one space with CLIP (Radford et al., 2021), by the package open_clip: extra `text`."""

import hashlib
import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError, nearest
from dreamvid.networks.weights import read_checkpoint

# Networks are built from PyTorch's own random state, which belongs to the process.
_ONE_AT_A_TIME = threading.Lock()
_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


class Clip:
    """A frozen CLIP. side: the images that it takes are squares of this many pixels."""

    def __init__(self, model: nn.Module, tokenize: Any, side: int, mean: Sequence[float], std: Sequence[float]) -> None:
        self._model, self._tokenize, self.side = model, tokenize, side
        self.device = next(model.parameters()).device
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)

    def images(self, images: Tensor) -> Tensor:
        """Encode images (N, 3, side, side) in [0, 1] as unit vectors (N, D)."""
        model: Any = self._model
        encoded: Tensor = model.encode_image((images - self._mean) / self._std)
        return F.normalize(encoded.float(), dim=1)

    def text(self, text: str) -> Tensor:
        """Encode a text as a unit vector (D,)."""
        model: Any = self._model
        with torch.no_grad():
            encoded: Tensor = model.encode_text(self._tokenize([text]).to(self.device))
        return F.normalize(encoded.float(), dim=1)[0]


def load_clip(model: str, weights: str | None, device: torch.device | str = "cpu") -> Clip:
    """Load a CLIP by open_clip's names: `MODEL:WEIGHTS`, such as `RN50:openai`.

    weights: None for the published ones, which are downloaded once and checked by their hash; a file of weights; or
    "random" for a fixed random network. Raises NetworkError for a model that does not exist and for weights that cannot
    be had.
    """
    try:
        open_clip: Any = importlib.import_module("open_clip")  # without types
    except ImportError as error:
        raise NetworkError(
            f'text("…") and like("…") need the package open_clip ({error}). Install it with: pip install '
            "'dreamvid[text]'"
        ) from None
    name, _, tag = model.partition(":")
    if name not in open_clip.list_models():
        raise NetworkError(
            f"`text_model` {model!r}: open_clip has no model {name!r}.{nearest(name, open_clip.list_models())} Write "
            "MODEL:WEIGHTS, such as ViT-B-32-256:datacomp_s34b_b86k or RN50:openai."
        )
    published: dict[str, Any] = dict(open_clip.get_pretrained_cfg(name, tag) or {}) if tag else {}
    file = None if weights == "random" else _file(name, tag, published) if weights is None else Path(weights)
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        built = open_clip.create_model(
            name, pretrained=None, precision="fp32", force_quick_gelu=bool(published.get("quick_gelu"))
        )
    if file is not None:
        _fill(built, file.expanduser())
    visual: Any = built.visual
    side = visual.image_size[0] if isinstance(visual.image_size, tuple | list) else int(visual.image_size)
    mean = published.get("mean") or visual.preprocess_cfg["mean"]
    std = published.get("std") or visual.preprocess_cfg["std"]
    try:
        tokenize = open_clip.get_tokenizer(name)
    except Exception as error:  # some models have a tokenizer of another package, which downloads it
        raise NetworkError(
            f"`text_model` {model!r} needs a tokenizer that is not here ({type(error).__name__}: {error}). "
            "Choose another one, such as ViT-B-32-256:datacomp_s34b_b86k."
        ) from error
    return Clip(built.eval().requires_grad_(False).to(device), tokenize, side, mean, std)


def _fill(model: nn.Module, file: Path) -> None:
    """Load a file of weights, as data."""
    state = read_checkpoint(file, model.state_dict())
    try:
        result = model.load_state_dict(state, strict=False)
        wrong = [f"{name} is missing" for name in result.missing_keys if "position_ids" not in name]
    except RuntimeError as error:
        wrong = [str(error).partition("\n")[2].strip()[:200] or str(error)[:200]]
    if wrong:
        raise NetworkError(
            f"The weights in {str(file)!r} are not those of the `text_model`: {wrong[0]}. Give the matching "
            "`text_model`, such as ViT-B-32-256:datacomp_s34b_b86k."
        )


def _file(name: str, tag: str, published: dict[str, Any]) -> Path:
    """Find the published weights in the cache of the Hugging Face hub, or download them."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository = str(published.get("hf_hub", "")).strip("/")
    if not repository:
        tags: list[str] = importlib.import_module("open_clip").list_pretrained_tags_by_model(name)
        raise NetworkError(
            f"`text_model`: {name} has no weights {tag!r} on the Hugging Face hub.{nearest(tag, tags)} Write "
            f"{name}:WEIGHTS with one of these: {', '.join(tags) or 'none are published'}; or give `text_weights=FILE`."
        )
    for file in _FILES:
        kept = try_to_load_from_cache(repository, file)
        if isinstance(kept, str):
            return Path(kept)
    failure: Exception | None = None
    for file in _FILES:
        try:
            found = Path(hf_hub_download(repository, file))
        except Exception as error:  # of whichever HTTP library the hub's client uses
            failure = failure or error
            if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
                continue  # the repository has the file under the other name
            break
        _check(found)
        return found
    raise NetworkError(
        f"The weights of {name}:{tag} could not be downloaded from huggingface.co/{repository} "
        f"({type(failure).__name__}: {str(failure).partition(chr(10))[0][:200]}). Download {_FILES[0]} from there on "
        "another machine, put it anywhere, and give `text_weights=FILE`."
    ) from failure


def _check(file: Path) -> None:
    """Compare a downloaded file with its SHA-256, by which the hub names it in its cache."""
    blob = file.resolve()
    if len(blob.name) != 64:
        return
    with blob.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != blob.name:
        blob.unlink()
        raise NetworkError(f"The downloaded weights {file.name} are damaged: their SHA-256 is {digest}. Try again.")
