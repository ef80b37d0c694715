"""Loads classifiers by name, and cuts them off behind the layers that are dreamed."""

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from torch import nn

from dreamvid.errors import NetworkError
from dreamvid.networks import efficientnet_lite
from dreamvid.networks.layer_table import LayerTable, describe_layers
from dreamvid.networks.registry import find
from dreamvid.networks.tokens import TokenNetwork
from dreamvid.networks.trace import LayerInputs, Traced, layer_flow, trace
from dreamvid.networks.truncate import Truncated, truncate, use_best_memory_format
from dreamvid.runtime.autograd import outside_inference_mode
from dreamvid.runtime.device import out_of_memory

# Names of the same layers in the well-known notebooks.
_ALIASES = {
    # DeepDream's of 2015 (TensorFlow's graph of GoogLeNet) to torchvision's GoogLeNet.
    **{f"mixed{block}": f"inception{block}" for block in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")},
    # Keras's Inception V3 to torchvision's and timm's.
    **{
        f"mixed{index}": f"Mixed_{block}"
        for index, block in enumerate(("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))
    },
}

# The least part of the layers with positions that are maps (N, C, h, w); in a transformer most are tokens.
_LEAST_MAPS = 1 / 3

# Networks are built from PyTorch's own random state, which belongs to the process.
_ONE_AT_A_TIME = threading.Lock()


class Network:
    """A frozen classifier with named layers.

    `mean` and `std` are its normalization per channel of RGB in [0, 1]: it was trained on (x - mean) / std.
    `input_size` is the side in pixels of the images it was trained on. The layers are read off the graph of its
    operators; where there is none, or most layers in it are lists of tokens, by hooks. Raises NetworkError if no image
    gets through.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        input_size: int = 224,
    ) -> None:
        self.name = name
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.input_size = input_size
        self.module = module
        self._traced: Traced | None = None
        self._tokens: TokenNetwork | None = None
        try:
            self._traced = trace(module, name)
        except NetworkError as error:
            try:
                self._tokens = TokenNetwork(module, name, input_size)
            except NetworkError:
                raise error from None

    @functools.cached_property
    def table(self) -> LayerTable:
        """Describe the layers that can be dreamed. Raises NetworkError if that fails."""
        if self._traced is None or self._tokens is not None:
            return self._token_table()
        try:
            rows, others = describe_layers(self._traced, self.input_size)
        except Exception as error:  # whatever operators raise for shapes that they do not accept
            if out_of_memory(error):
                raise
            first_line = str(error).partition("\n")[0]
            raise NetworkError(
                f"The layers of {self.name!r} cannot be worked out ({type(error).__name__}: {first_line}). "
                "Choose another one: `dreamvid models` lists them."
            ) from error
        maps = sum(row.stride is not None for row in rows.values())
        if maps < _LEAST_MAPS * (maps + others):
            return self._token_table()
        outputs = [name for name in rows if self._traced.outputs[name] is self._traced.output]
        logits = outputs[-1] if outputs and rows[outputs[-1]].stride is None else None
        return LayerTable(self.name, rows, _ALIASES, logits)

    def _token_table(self) -> LayerTable:
        if self._tokens is None:
            self._tokens = TokenNetwork(self.module, self.name, self.input_size)
        return LayerTable(self.name, self._tokens.rows, _ALIASES, self._tokens.logits, self._tokens.sizes)

    def dataflow(self) -> dict[str, LayerInputs]:
        """Describe for each layer of `table`, in order of execution, which layers it is computed from."""
        rows = self.table.rows
        if self._tokens is not None:
            return self._tokens.dataflow()
        assert self._traced is not None
        return layer_flow(self._traced, rows)

    def truncate(self, layers: Sequence[str]) -> Truncated:
        """Cut the network off behind `layers` (own names or aliases).

        The module takes RGB (N, 3, H, W) in [0, 1] and returns {layer: activation} under the network's own
        names:
        (N, C, h, w), or (N, C) behind the pooling. Batch norms are folded into convolutions; gradients flow
        to the image only. Raises NetworkError for an unknown layer.
        """
        if not layers:
            raise NetworkError("No layer was asked for; name at least one.")
        with outside_inference_mode():
            own = [self.table.resolve(layer) for layer in layers]
            if self._tokens is not None:
                return self._tokens.truncate(own, self.mean, self.std)
            assert self._traced is not None
            return truncate(self._traced, own, self.mean, self.std, self.name, self.input_size)


_shared: ContextVar[dict[tuple[str, str | None, str], Network] | None] = ContextVar("_shared", default=None)


@contextmanager
def share_networks() -> Iterator[None]:
    """Let `load_network` return one network for the same arguments; all of them are kept until the context ends."""
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


@outside_inference_mode()
def load_network(
    model: str = efficientnet_lite.NAME, weights: str | None = None, *, device: torch.device | str = "cpu"
) -> Network:
    """Load a classifier.

    model: its name, or FAMILY:NAME, as `dreamvid models` lists them. weights: None for the published ones (downloaded
    and checked where they are not here yet), a checkpoint file (inception5h's is the frozen graph), or "random" for a
    fixed random network. Raises NetworkError if any of it cannot be had.
    """
    shared, key = _shared.get(), (model, weights, str(device))
    if shared is None:
        return _load(model, weights, device)
    if key not in shared:
        shared[key] = _load(model, weights, device)
    return shared[key]


def _load(model: str, weights: str | None, device: torch.device | str) -> Network:
    architecture = find(model)
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # of the CPU only
        module = architecture.build()
    if weights is None:
        architecture.load_published(module)
    elif weights != "random":
        architecture.load_file(module, Path(weights).expanduser())
    module = module.to(device)
    use_best_memory_format(module)
    return Network(model, module, architecture.mean, architecture.std, architecture.input_size)
