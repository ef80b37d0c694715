"""Reads the weights of a classifier from files: as data, never as code."""

import argparse
import os
import pickle
import re
import threading
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from dreamvid.errors import NetworkError

# Parts of names that wrappers add: DataParallel, torch.compile, FSDP and activation checkpointing.
_WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# Names of torchvision's DenseNets until 2018, which its published files still have.
_OLD_NAMES = ((re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\."), r"\1\2."),)
_MOST_NESTING = 4
_SHOWN = 3  # names in a message

# Training scripts keep their arguments and numbers of NumPy next to the weights: names with values, no code.
_scalar = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    argparse.Namespace,
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),  # before NumPy 2, and since
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)},
]
# The list of what a file may hold belongs to the process.
_ONE_AT_A_TIME = threading.Lock()

State = OrderedDict[str, Tensor]
"""Weights by name; as PyTorch writes it, its attribute `_metadata` may hold the version of each module's layout."""


def load_checkpoint(module: nn.Module, path: Path) -> None:
    """Load a file of weights into the network that it belongs to; raises NetworkError."""
    state = read_checkpoint(path, module.state_dict())
    remedy = "They are of another architecture: give the matching `model`."
    load_state(module, state, f"The weights in {str(path)!r}", remedy)


def read_checkpoint(path: Path, names: Collection[str] = ()) -> State:
    """Read a state dict from a `.safetensors` file or one written by `torch.save`.

    names: those of the network's own weights. Of several state dicts in the file the one that fits them best is taken,
    the first of equals, and names are changed by `fit_names`. A pickle that would have to run code is refused, as is
    anything else without a state dict: NetworkError.
    """
    content = _read(path)
    found = [fit_names(state, names) for state in _state_dicts(content)]
    if not found:
        raise NetworkError(
            f"{str(path)!r} holds no state dict (names of weights with tensors) but a "
            f"{type(content).__name__}. Save one with torch.save(model.state_dict(), FILE)."
        )
    wanted = set(names)
    return max(found, key=lambda state: len(wanted & state.keys()))


def _read(path: Path) -> Any:
    if not os.path.isfile(path):  # noqa: PTH113 - Path's raises for names that are too long
        raise NetworkError(f"There is no checkpoint file {str(path)!r}. Give a .pth, .pt or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if _is_torchscript(path):
            raise NetworkError(
                f"{str(path)!r} is not loaded: it is a TorchScript program, which would run. Save the weights alone: "
                "torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)."
            )
        with _ONE_AT_A_TIME, torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except NetworkError:
        raise
    except pickle.UnpicklingError as error:
        raise NetworkError(
            f"{str(path)!r} is not loaded: it holds more than tensors, and reading it would run code from "
            "the file. Save the weights alone with torch.save(model.state_dict(), FILE) or as .safetensors."
        ) from error
    except Exception as error:  # damaged files raise errors of many types in the readers
        first_line = str(error).partition("\n")[0]
        raise NetworkError(
            f"{str(path)!r} cannot be read as a checkpoint ({type(error).__name__}: {first_line[:200]}). Is it "
            "complete? Fetch it again, or save it with torch.save(model.state_dict(), FILE)."
        ) from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())


def _state_dicts(content: Any) -> Iterator[State]:
    """Find the mappings with tensors, from the outermost inwards, each once."""
    level, seen = [content], set[int]()
    for _ in range(_MOST_NESTING):
        mappings = [value for value in level if isinstance(value, Mapping) and id(value) not in seen]
        seen.update(map(id, mappings))
        for mapping in mappings:
            state = State((str(name), value) for name, value in mapping.items() if isinstance(value, Tensor))
            if state:
                yield _with_metadata(state, getattr(mapping, "_metadata", None))
        level = [value for mapping in mappings for value in mapping.values()]


def _with_metadata(state: State, metadata: Any) -> State:
    if isinstance(metadata, Mapping):
        state._metadata = metadata  # type: ignore[attr-defined]
    return state


def fit_names(state: State, names: Collection[str]) -> State:
    """Bring a state dict's names to a network's own, as far as that makes more of them fit.

    First the parts that wrappers add are removed. Then the prefix before most of the network's names is removed
    (`model.`, `backbone.`, `encoder_q.` …), together with the entries that do not begin with it. Then old names are
    replaced by those of today.
    """
    wanted = set(names)

    def fitting(state: State) -> int:
        return len(wanted & state.keys())

    for change in (_without_wrappers, _without_prefix, _without_old_names):
        changed = change(state, wanted)
        if fitting(changed) > fitting(state):
            state = changed
    return state


def _without_wrappers(state: State, wanted: set[str]) -> State:
    return _renamed(state, lambda name: ".".join(part for part in name.split(".") if part not in _WRAPPERS))


def _without_prefix(state: State, wanted: set[str]) -> State:
    counts: Counter[str] = Counter()
    for name in state:
        starts = [0, *(match.end() for match in re.finditer(r"\.", name))]
        counts.update(name[:start] for start in starts if name[start:] in wanted)
    if not counts:
        return state
    prefix = max(counts, key=counts.__getitem__)
    # The path of a module, in the metadata, has no dot behind it.
    return _renamed(state, lambda name: f"{name}.".removeprefix(prefix)[:-1] if f"{name}.".startswith(prefix) else None)


def _without_old_names(state: State, wanted: set[str]) -> State:
    def rename(name: str) -> str:
        for old, new in _OLD_NAMES:
            name = old.sub(new, name)
        return name

    return _renamed(state, rename)


def _renamed(state: State, rename: Callable[[str], str | None]) -> State:
    """Rename entries and their metadata; those whose new name is None are left out."""
    renamed = State((new, value) for name, value in state.items() if (new := rename(name)) is not None)
    metadata: Mapping[str, Any] = getattr(state, "_metadata", None) or {}
    return _with_metadata(
        renamed, {new: value for name, value in metadata.items() if (new := rename(str(name))) is not None} or None
    )


def load_state(module: nn.Module, state: Mapping[str, Tensor], origin: str, remedy: str) -> None:
    """Load `state` into `module`; raise NetworkError naming the first entries that do not fit.

    Heads that only training uses (auxiliary classifiers) may be missing or superfluous. The classifying head is resized
    to the number of classes of the weights; without weights for it, it is left out with a warning.
    """
    own = module.state_dict()
    heads = _resize_heads(module, own, state)
    wrong = [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape and name not in heads
    ]
    missing: list[str] = []
    unknown: list[str] = []
    failure = ""
    if not wrong:
        kept = State(state)
        metadata = getattr(state, "_metadata", None)
        if metadata is None and all(
            name in state or _optional(name) for name in own
        ):  # today's layout, which some modules have to know
            metadata = getattr(own, "_metadata", None)
        try:
            # Modules rename their own old entries while they load.
            result = module.load_state_dict(_with_metadata(kept, metadata), strict=False)
            missing = [name for name in result.missing_keys if not _optional(name)]
            unknown = [name for name in result.unexpected_keys if not _optional(name)]
        except (RuntimeError, ValueError) as error:  # sparse, without content, of an unknown version …
            failure = str(error)[:300]
    if wrong or failure:
        missing = [name for name in own if name not in state and not _optional(name)]
        unknown = [name for name in state if name not in own and not _optional(name)]
    elif missing and _leave_out_head(module, missing, unknown):
        warnings.warn(
            f"{origin} have no classifying head ({missing[0]} is missing): classes cannot be dreamed with them, "
            "layers can.",
            stacklevel=2,
        )
        return
    wrong += [f"{name} is missing" for name in missing] + [f"{name} is unknown" for name in unknown]
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        both = ""
        if missing and unknown:
            both = f" The network has {', '.join(missing[:_SHOWN])} …; the file has {', '.join(unknown[:_SHOWN])} …."
        raise NetworkError(
            f"{origin} do not fit {type(module).__name__}: {', '.join(wrong[:_SHOWN])}{more}.{both} {remedy}"
        )
    if failure:
        raise NetworkError(f"{origin} cannot be used: {failure} {remedy}")


def _head(module: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d] | None:
    """The module that computes a classifier's logits: its last matrix product, or convolution."""
    found = None
    for path, part in module.named_modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            found = path, part
    return found


def _resize_heads(module: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> set[str]:
    """Give the head, or several heads, the number of classes that the weights have; return the names of their entries.

    Changes nothing and returns no names if anything else differs.
    """
    different = [name for name, value in own.items() if name in state and state[name].shape != value.shape]
    last = _head(module)
    paths = {name.rpartition(".")[0] for name in different}
    if last is None or last[0] not in paths:
        return set()
    heads: list[nn.Linear | nn.Conv2d] = []
    for path in paths:
        head, weight = module.get_submodule(path), state.get(f"{path}.weight")
        if (
            not isinstance(head, nn.Linear | nn.Conv2d)
            or weight is None
            or weight.shape[1:] != head.weight.shape[1:]
            or head.weight.shape[0] != last[1].weight.shape[0]
            or not len(weight)
            or (head.bias is not None and getattr(state.get(f"{path}.bias"), "shape", None) != weight.shape[:1])
        ):
            return set()
        heads.append(head)
    for path, head in zip(paths, heads, strict=True):
        classes = len(state[f"{path}.weight"])
        head.weight = nn.Parameter(head.weight.new_empty(classes, *head.weight.shape[1:]))
        if head.bias is not None:
            head.bias = nn.Parameter(head.bias.new_empty(classes))
        if isinstance(head, nn.Linear):
            head.out_features = classes
        else:
            head.out_channels = classes
    return set(different)


def _leave_out_head(module: nn.Module, missing: list[str], unknown: list[str]) -> bool:
    """Leave the head out if nothing else is missing, so that the features become the output; return True if so."""
    last = _head(module)
    if last is None or set(missing) != {f"{last[0]}.{name}" for name in last[1].state_dict()}:
        return False
    tops = {name.partition(".")[0] for name in module.state_dict()}
    if any(not name.startswith(f"{last[0]}.") and name.partition(".")[0] in tops for name in unknown):
        return False
    module.set_submodule(last[0], nn.Identity())
    return True


def _optional(name: str) -> bool:
    return name.startswith(("aux", "AuxLogits")) or name.endswith("num_batches_tracked")
