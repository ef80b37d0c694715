"""Makes a frozen TensorFlow 1 classifier a module: the operations of its graph, computed as TensorFlow does.

The graph's layout is (N, H, W, C), the module's (N, C, H, W). TensorFlow's SAME padding gives ceil(size / stride)
positions and puts the odd pixel of padding behind: zeros for convolutions, -inf for max-pools.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.same_padding import Conv2dSame, SameMaxPool2d
from dreamvid.networks.tensorflow.graphdef import GraphNode

_NAME = re.compile(r"[A-Za-z0-9_/]+")


class ResponseNorm(nn.LocalResponseNorm):
    """TensorFlow's LRN: x / (bias + alpha · Σ x²)^beta, the sum over `depth_radius` channels to either side.

    PyTorch's divides alpha by the number of channels in the window. Squares of float16 overflow, so float16 is computed
    in float32.
    """

    def __init__(self, depth_radius: int, bias: float, alpha: float, beta: float) -> None:
        size = 2 * depth_radius + 1
        super().__init__(size, alpha * size, beta, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W)."""
        wide = x if x.dtype == torch.float64 else x.float()
        return super().forward(wide).to(x.dtype)


class Concat(nn.Module):
    """Joins branches along the channels."""

    def forward(self, *branches: Tensor) -> Tensor:
        """Join tensors (N, C_i, H, W) to (N, ΣC_i, H, W)."""
        return torch.cat(branches, 1)


class Flatten(nn.Module):
    """TensorFlow's reshape of (N, H, W, C) to vectors, for which the network was made at one image size.

    At that size it is that reshape. Features of other sizes are first averaged to the grid that it expects.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, side · side · C)."""
        return F.adaptive_avg_pool2d(x, self.side).permute(0, 2, 3, 1).flatten(1)


class FrozenGraph(nn.Module):
    """The network of a frozen graph; each operation is a submodule under its node's name.

    A convolution (or matrix product) and its bias are one module under the name of the bias's node, such as
    `mixed4c_1x1_pre_relu`. Takes what the graph's placeholder takes, as (N, 3, H, W); returns node `output`.
    Raises NetworkError for an operation, or a use of one, that such classifiers do not have.
    """

    def __init__(self, nodes: Sequence[GraphNode], output: str) -> None:
        super().__init__()
        self.load_nodes(nodes, output)

    def load_nodes(self, nodes: Sequence[GraphNode], output: str) -> None:
        """Replace the network by that of other nodes."""
        self._modules.clear()
        self._steps: list[tuple[str, tuple[str, ...]]] = []
        self._source = ""
        builder = _Builder(self._add)
        for node in nodes:
            builder.read(node)
            if node.op == "Placeholder":
                self._source = node.name
        if not self._source:
            raise NetworkError("The graph has no placeholder for an image.")
        if output not in dict(self._steps):
            raise NetworkError(f"The graph has no operation {output!r}.")
        self._output = output
        self.eval()

    def _add(self, name: str, sources: tuple[str, ...], module: nn.Module) -> None:
        if not _NAME.fullmatch(name) or hasattr(self, name):
            raise NetworkError(
                f"The graph's node {name!r} cannot be a layer: its name is taken or has forbidden characters."
            )
        self.add_module(name, module)
        self._steps.append((name, sources))

    def forward(self, x: Tensor) -> Tensor:
        """Compute `output`; meant to be traced, as it keeps every layer until the end."""
        values = {self._source: x}
        for name, sources in self._steps:
            values[name] = self.get_submodule(name)(*(values[source] for source in sources))
        return values[self._output]


class _Builder:
    """Turns nodes into modules, one after another; each may only read those before it."""

    def __init__(self, add: Callable[[str, tuple[str, ...], nn.Module], None]) -> None:
        self._add = add
        self._constants: dict[str, np.ndarray] = {}
        self._alias_of: dict[str, str] = {}  # nodes that only pass on another
        self._without_bias: dict[str, tuple[str, nn.Conv2d | nn.Linear]] = {}
        self._channels: dict[str, int] = {}
        self._vectors: set[str] = set()  # layers without positions

    def read(self, node: GraphNode) -> None:
        operation = {
            "Const": self._const,
            "Placeholder": self._placeholder,
            "Identity": self._identity,
            "Conv2D": self._conv,
            "MatMul": self._matmul,
            "BiasAdd": self._bias,
            "Relu": self._relu,
            "MaxPool": self._max_pool,
            "AvgPool": self._avg_pool,
            "LRN": self._response_norm,
            "Concat": self._concat,
            "Reshape": self._reshape,
            "Softmax": self._softmax,
        }.get(node.op)
        if operation is None:
            raise _unknown(node, "is not one of those that such a classifier has")
        inputs = [name.partition(":")[0] for name in node.inputs if not name.startswith("^")]
        operation(node, [self._alias_of.get(name, name) for name in inputs])

    def _const(self, node: GraphNode, _: list[str]) -> None:
        value = node.attributes.get("value")
        if isinstance(value, np.ndarray):
            self._constants[node.name] = value

    def _placeholder(self, node: GraphNode, _: list[str]) -> None:
        if self._channels:
            raise _unknown(node, "is a second input")
        self._channels[node.name] = 3

    def _identity(self, node: GraphNode, inputs: list[str]) -> None:
        (source,) = self._layers(node, inputs, 1)
        self._alias_of[node.name] = source

    def _conv(self, node: GraphNode, inputs: list[str]) -> None:
        (source,) = self._layers(node, inputs[:1], 1)
        weight = self._constant(node, inputs, 1, ndim=4)
        height, width, before, after = weight.shape
        if before != self._channels[source] or height != width or source in self._vectors:
            raise _unknown(node, f"has a filter of the shape {weight.shape} on {self._channels[source]} channels")
        stride = _square(node, "strides")
        if _same(node) and (stride > 1 or height % 2 == 0):
            convolution: nn.Conv2d = Conv2dSame(before, after, height, stride=stride)
        else:
            convolution = nn.Conv2d(before, after, height, stride, height // 2 if _same(node) else 0)
        _fill(convolution, "weight", weight.transpose(3, 2, 0, 1))
        self._without_bias[node.name] = (source, convolution)

    def _matmul(self, node: GraphNode, inputs: list[str]) -> None:
        (source,) = self._layers(node, inputs[:1], 1)
        weight = self._constant(node, inputs, 1, ndim=2)
        turned = node.attributes.get("transpose_a") or node.attributes.get("transpose_b")
        if weight.shape[0] != self._channels[source] or source not in self._vectors or turned:
            raise _unknown(node, f"multiplies {self._channels[source]} channels with the shape {weight.shape}")
        linear = nn.Linear(*weight.shape)
        _fill(linear, "weight", weight.T)
        self._without_bias[node.name] = (source, linear)

    def _bias(self, node: GraphNode, inputs: list[str]) -> None:
        bias = self._constant(node, inputs, 1, ndim=1)
        if inputs[0] not in self._without_bias:
            raise _unknown(
                node, f"adds a bias to {inputs[0]!r}, which is not a convolution or matrix product before it"
            )
        source, module = self._without_bias[inputs[0]]
        channels = module.weight.shape[0]
        if len(bias) != channels:
            raise _unknown(node, f"has {bias.size} values for {channels} channels")
        _fill(module, "bias", bias)
        self._layer(node, (source,), module, channels)

    def _relu(self, node: GraphNode, inputs: list[str]) -> None:
        self._pointwise(node, inputs, nn.ReLU())

    def _softmax(self, node: GraphNode, inputs: list[str]) -> None:
        self._pointwise(node, inputs, nn.Softmax(dim=1))

    def _response_norm(self, node: GraphNode, inputs: list[str]) -> None:
        defaults = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}  # TensorFlow's
        numbers: dict[str, Any] = {name: node.attributes.get(name, value) for name, value in defaults.items()}
        if not isinstance(numbers["depth_radius"], int) or not 0 <= numbers["depth_radius"] <= 1000:
            raise _unknown(node, f"has the depth_radius {numbers['depth_radius']!r}")
        self._pointwise(node, inputs, ResponseNorm(**numbers))

    def _max_pool(self, node: GraphNode, inputs: list[str]) -> None:
        kernel, stride = _square(node, "ksize"), _square(node, "strides")
        if not _same(node):
            self._pointwise(node, inputs, nn.MaxPool2d(kernel, stride))
        elif kernel % 2 and stride == 1:
            self._pointwise(node, inputs, nn.MaxPool2d(kernel, 1, kernel // 2))
        elif stride > 1:
            self._pointwise(node, inputs, SameMaxPool2d(kernel, stride))
        else:
            raise _unknown(node, "has an even kernel without a stride")

    def _avg_pool(self, node: GraphNode, inputs: list[str]) -> None:
        if _same(node):
            raise _unknown(node, "averages with SAME padding")
        self._pointwise(node, inputs, nn.AvgPool2d(_square(node, "ksize"), _square(node, "strides")))

    def _concat(self, node: GraphNode, inputs: list[str]) -> None:
        if self._constant(node, inputs, 0, ndim=0) != 3:
            raise _unknown(node, "joins along another dimension than the channels")
        sources = self._layers(node, inputs[1:], len(inputs) - 1)
        self._layer(node, tuple(sources), Concat(), sum(self._channels[source] for source in sources))

    def _reshape(self, node: GraphNode, inputs: list[str]) -> None:
        (source,) = self._layers(node, inputs[:1], 1)
        shape = self._constant(node, inputs, 1, ndim=1)
        channels = self._channels[source]
        positions, rest = divmod(int(shape[-1]), channels) if shape.size == 2 else (0, 1)
        side = round(positions**0.5) if positions > 0 else 0
        if rest or shape[0] != -1 or side * side != positions or not side:
            raise _unknown(node, f"reshapes {channels} channels to {shape.tolist()}")
        if source in self._vectors:
            self._alias_of[node.name] = source
            return
        self._layer(node, (source,), Flatten(side), int(shape[-1]))
        self._vectors.add(node.name)

    def _pointwise(self, node: GraphNode, inputs: list[str], module: nn.Module) -> None:
        (source,) = self._layers(node, inputs, 1)
        self._layer(node, (source,), module, self._channels[source])

    def _layer(self, node: GraphNode, sources: tuple[str, ...], module: nn.Module, channels: int) -> None:
        self._add(node.name, sources, module)
        self._channels[node.name] = channels
        if self._vectors.intersection(sources):
            self._vectors.add(node.name)

    def _layers(self, node: GraphNode, names: list[str], count: int) -> list[str]:
        absent = [name for name in names if name not in self._channels]
        if absent or len(names) != count or not names:
            raise _unknown(node, f"reads {absent or names}, which are not layers before it")
        return names

    def _constant(self, node: GraphNode, inputs: list[str], index: int, ndim: int) -> np.ndarray:
        value = self._constants.get(inputs[index]) if index < len(inputs) else None
        if value is None or value.ndim != ndim or not value.size:
            raise _unknown(node, f"has no constant of {ndim} dimensions")
        return value


def _square(node: GraphNode, attribute: str) -> int:
    """Return the side of a window or stride [1, side, side, 1]."""
    value = node.attributes.get(attribute)
    if (
        not isinstance(value, tuple)
        or len(value) != 4
        or value[1] != value[2]
        or (value[0], value[3]) != (1, 1)
        or not 1 <= value[1] <= 1000
        or node.attributes.get("data_format", "NHWC") != "NHWC"
        or any(dilation != 1 for dilation in _dilations(node))
    ):
        raise _unknown(node, f"has {attribute} {value!r}")
    return value[1]


def _dilations(node: GraphNode) -> tuple[int, ...]:
    value = node.attributes.get("dilations")
    return value if isinstance(value, tuple) else ()


def _same(node: GraphNode) -> bool:
    padding = node.attributes.get("padding")
    if padding not in ("SAME", "VALID"):
        raise _unknown(node, f"has the padding {padding!r}")
    return padding == "SAME"


def _fill(module: nn.Module, name: str, values: np.ndarray) -> None:
    with torch.no_grad():
        module.get_parameter(name).copy_(torch.from_numpy(np.array(values, np.float32)))


def _unknown(node: GraphNode, reason: str) -> NetworkError:
    return NetworkError(f"The graph's operation {node.name!r} ({node.op}) {reason}: this graph cannot be dreamed with.")
