"""Describes the layers of a network: channels, stride and receptive field."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dreamvid.errors import NetworkError, nearest
from dreamvid.networks.same_padding import Conv2dSame, same_padding_amount
from dreamvid.networks.trace import Traced
from dreamvid.networks.truncate import ImageSizes, blank


@dataclass(frozen=True)
class LayerInfo:
    """One dreamable layer.

    `stride` is the distance in input pixels between neighboring positions, None for a layer without
    positions (a classifier's vector). `receptive_field` is the side in pixels (the longer one) of the square
    of input that one position depends on, None if that is the whole image. `kind` is the module's class.
    """

    name: str
    channels: int
    stride: int | None
    receptive_field: int | None
    kind: str


@dataclass(frozen=True)
class _Axis:
    """A spatial axis of a tensor: its dimension, and position i reads the pixels stride·i + [low, high]."""

    dim: int
    stride: float
    low: float
    high: float

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> "_Axis":
        """Compute the axis behind a convolution or pooling."""
        low = self.low - self.stride * padding
        high = self.high + self.stride * (dilation * (kernel - 1) - padding)
        return _Axis(self.dim, self.stride * stride, low, high)


@dataclass(frozen=True)
class LayerTable:
    """The layers of a network that can be dreamed, in order of execution.

    network: its name, for messages. rows: by the network's own names. aliases: names of the same layers in the
    well-known notebooks. logits_layer: the layer of class logits, None if there is none. sizes: which images the
    network takes, None if that depends on the layer.
    """

    network: str
    rows: Mapping[str, LayerInfo]
    aliases: Mapping[str, str]
    logits_layer: str | None
    sizes: ImageSizes | None = None

    @property
    def logits(self) -> str:
        """The layer of the classifier's output, (N, classes); raises NetworkError for a network without one."""
        if self.logits_layer is None:
            raise NetworkError(f"Network {self.network!r} has no layer of class logits; name one of its layers.")
        return self.logits_layer

    def resolve(self, layer: str) -> str:
        """Return the network's own name of `layer` or alias. Raises NetworkError with the nearest names."""
        for name in (layer, self.aliases.get(layer, layer)):
            if name in self.rows:
                return name
        raise NetworkError(
            f"Network {self.network!r} has no layer {layer!r}.{nearest(layer, self.rows)} "
            f"`dreamvid layers {self.network}` lists them."
        )

    def channels(self, layer: str) -> int:
        """Count the channels of `layer` (alias or own name)."""
        return self.rows[self.resolve(layer)].channels


_Field = tuple[_Axis, ...]  # (vertical, horizontal), or () for a tensor without positions

_POINTWISE_MODULES = (
    *(
        kind
        for kind in vars(nn.modules.activation).values()
        if isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and kind not in (nn.Module, nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin)
    ),
    nn.BatchNorm2d,
    nn.LocalResponseNorm,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
)
_POINTWISE_FUNCTIONS = {
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
    *(torch.add, torch.sub, torch.mul, torch.div, torch.relu, torch.sigmoid, torch.tanh, torch.clamp),
    *(F.relu, F.relu6, F.hardtanh, F.gelu, F.silu, F.hardswish, F.hardsigmoid, F.sigmoid, F.mish, F.elu),
    *(F.leaky_relu, F.softplus, F.dropout, F.batch_norm),
}
_POINTWISE_NAMES = {
    *("add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "clamp", "contiguous", "clone", "float", "to"),
    *("type_as", "stochastic_depth", "drop_path"),
}


def describe_layers(traced: Traced, input_size: int) -> tuple[dict[str, LayerInfo], int]:
    """Describe every module output of shape (N, C, h, w) or (N, C), in order of execution; also count the others.

    Shapes are those of a square image of `input_size` pixels; what can be left out of the arithmetic is. Strides and
    receptive fields follow from the operators by interval arithmetic (Dumoulin and Visin, "A guide to
    convolution arithmetic for deep learning", 2016), branches joined. Raises whatever an operator says of a
    wrong size.
    """
    reader = _FieldReader(traced.module)
    with torch.no_grad():
        reader.run(blank(traced.module, 2, input_size, input_size))
    table, others = {}, 0
    for name, node in traced.outputs.items():
        shape, field = reader.shapes.get(node.name), reader.fields.get(node.name)
        if shape is None or field is None or shape[0] != 2:
            continue
        kind = traced.kinds[name]
        if len(shape) == 4 and [axis.dim for axis in field] == [2, 3]:
            span = max(axis.high - axis.low for axis in field)
            stride = round(max(axis.stride for axis in field))
            table[name] = LayerInfo(name, shape[1], stride, round(span) + 1 if math.isfinite(span) else None, kind)
        elif len(shape) == 2:
            table[name] = LayerInfo(name, shape[1], None, None, kind)
        else:
            others += 1
    return table, others


class _FieldReader(fx.Interpreter):
    """Runs a graph for its shapes, and follows which pixels each position of each tensor depends on.

    The values are undefined. Convolutions, matrix products and pointwise operators, nearly all of the
    arithmetic, are not computed. Tensors of PyTorch's meta device would do the same, but they load its compiler, which
    takes 2 seconds.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, torch.Size] = {}
        self.fields: dict[str, _Field] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(str(target))
        if isinstance(module, _POINTWISE_MODULES):
            return args[0]
        # Exactly these: a kind derived from them may pad or reshape in its own way.
        if type(module) in (nn.Conv2d, Conv2dSame):
            return args[0].new_empty(_convolved(module, args[0].shape))
        if type(module) is nn.Linear:
            return args[0].new_empty((*args[0].shape[:-1], module.out_features))
        return super().call_module(target, args, kwargs)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operands = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        # Not between Python numbers, such as sizes. The other tensors of a batch norm are not operands like the first.
        if operands and target in _POINTWISE_FUNCTIONS and target is not F.batch_norm:
            return operands[0].new_empty(np.broadcast_shapes(*(operand.shape for operand in operands)))
        return super().call_function(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        first = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(first, Tensor):
            self.shapes[n.name] = first.shape
            if n.op == "placeholder":
                self.fields[n.name] = tuple(_Axis(dim, 1, 0, 0) for dim in (2, 3))
            elif n.op != "output":
                self.fields[n.name] = self._field(n, first.shape)
        return result

    def _field(self, node: fx.Node, shape: torch.Size) -> _Field:
        sources = [source.name for source in node.all_input_nodes if source.name in self.fields]
        spatial = [name for name in sources if self.fields[name]]
        if not spatial:
            return ()
        field = self.fields[spatial[0]]
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        if node.op == "call_module":
            after = self._through_module(self.fetch_attr(str(node.target)), field)
        else:
            after = self._through_call(node, args, kwargs, spatial, shape)
        return self._global(shape, spatial[0]) if after is None else after

    def _global(self, shape: torch.Size, source: str) -> _Field:
        """Compute the field of a tensor of which each position may depend on the whole image."""
        before, size = self.fields[source], self.shapes[source]
        if len(shape) != 4 or len(size) != 4 or not all(shape):
            return ()
        return tuple(
            _Axis(axis.dim, axis.stride * size[axis.dim] / shape[axis.dim], -math.inf, math.inf) for axis in before
        )

    @staticmethod
    def _through_module(module: nn.Module, field: _Field) -> _Field | None:
        if isinstance(module, nn.Conv2d):
            return _windows(field, module.kernel_size, module.stride, _padding(module), module.dilation)
        if isinstance(module, nn.MaxPool2d):
            return _windows(field, module.kernel_size, module.stride, module.padding, module.dilation)
        if isinstance(module, nn.AvgPool2d):
            return _windows(field, module.kernel_size, module.stride, module.padding, 1)
        if isinstance(module, _POINTWISE_MODULES):
            return field
        if isinstance(module, nn.Linear | nn.LayerNorm):  # along the last dimensions, pointwise over the others
            reach = 1 if isinstance(module, nn.Linear) else len(module.normalized_shape)
            return field if max(axis.dim for axis in field) < 4 - reach else None
        return None

    def _through_call(
        self,
        node: fx.Node,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        spatial: list[str],
        shape: torch.Size,
    ) -> _Field | None:
        target = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        field, size = self.fields[spatial[0]], self.shapes[spatial[0]]
        if target is operator.getitem and isinstance(node.args[0], fx.Node):
            return field if isinstance(args[0], tuple | list) else None  # one of several parts
        if target in _POINTWISE_FUNCTIONS or name in _POINTWISE_NAMES:
            return self._join(spatial, shape)
        if name in ("cat", "concat"):
            dim = kwargs.get("dim", args[1] if len(args) > 1 else 0) % len(shape)
            return None if dim in [axis.dim for axis in field] else self._join(spatial, shape)
        if name in ("chunk", "split"):
            dim = kwargs.get("dim", args[2] if len(args) > 2 else 0) % len(size)
            return None if dim in [axis.dim for axis in field] else field
        if name in ("permute", "transpose"):
            order = _order(name, args[1:], kwargs, len(size))
            return tuple(_Axis(order.index(axis.dim), axis.stride, axis.low, axis.high) for axis in field)
        if name in ("view", "reshape", "flatten") and [a.dim - len(size) for a in field] == [-2, -1]:
            kept = shape[-2:] == size[-2:] and len(shape) > 2  # channels regrouped
            dims = (len(shape) - 2, len(shape) - 1)
            return (
                tuple(_Axis(dim, axis.stride, axis.low, axis.high) for dim, axis in zip(dims, field, strict=True))
                if kept
                else None
            )
        if name == "layer_norm":
            reach = len(kwargs.get("normalized_shape", args[1] if len(args) > 1 else ()))
            return field if max(axis.dim for axis in field) < len(size) - reach else None
        if target in (F.max_pool2d, torch.max_pool2d, F.avg_pool2d) or name in ("max_pool2d", "avg_pool2d"):
            names = ("kernel_size", "stride", "padding")
            given = dict(zip(names, args[1:], strict=False)) | kwargs
            kernel = given["kernel_size"]
            stride = given.get("stride")
            return _windows(
                field,
                kernel,
                kernel if stride is None else stride,
                given.get("padding", 0),
                given.get("dilation", 1),
            )
        return None

    def _join(self, sources: list[str], shape: torch.Size) -> _Field | None:
        """Compute the union of the fields of several operands of one operator."""
        fields = [self.fields[name] for name in sources]
        if any([a.dim for a in field] != [a.dim for a in fields[0]] for field in fields):
            return None
        joined = []
        for axes in zip(*fields, strict=True):
            dim = axes[0].dim
            # An operand of one position (a squeeze-and-excitation gate) is spread over the others' positions.
            full = [axis for axis, name in zip(axes, sources, strict=True) if self.shapes[name][dim] == shape[dim]]
            low, high = min(axis.low for axis in axes), max(axis.high for axis in axes)
            joined.append(_Axis(dim, (full or list(axes))[0].stride, low, high))
        return tuple(joined)


def _windows(field: _Field, kernel: Any, stride: Any, padding: Any, dilation: Any) -> _Field | None:
    if [axis.dim for axis in field] != [2, 3]:
        return None
    sizes = (_pair(kernel), _pair(stride), _pair(padding), _pair(dilation))
    return tuple(axis.window(*numbers) for axis, *numbers in zip(field, *sizes, strict=True))


def _convolved(convolution: nn.Conv2d, shape: torch.Size) -> tuple[int, ...]:
    """Compute the shape of a convolution's result. Raises ValueError for an image that its kernel does not fit into."""
    reaches = [d * (k - 1) + 1 for k, d in zip(convolution.kernel_size, convolution.dilation, strict=True)]
    if isinstance(convolution, Conv2dSame) or convolution.padding == "same":
        totals = [same_padding_amount(n, r, s) for n, r, s in zip(shape[2:], reaches, convolution.stride, strict=True)]
    else:
        totals = [2 * padding for padding in _padding(convolution)]
    sides = [
        (size + total - reach) // stride + 1
        for size, total, reach, stride in zip(shape[2:], totals, reaches, convolution.stride, strict=True)
    ]
    if min(sides) < 1:
        raise ValueError(f"a kernel that spans {reaches} pixels does not fit into {list(shape[2:])}")
    return (shape[0], convolution.out_channels, *sides)


def _padding(convolution: nn.Conv2d) -> tuple[int, int]:
    """Return the padding in front; SAME padding depends on the size, so for it that of a multiple of the stride."""
    if not isinstance(convolution, Conv2dSame) and not isinstance(convolution.padding, str):
        return _pair(convolution.padding)
    if convolution.padding == "valid":
        return 0, 0
    sizes = zip(_pair(convolution.kernel_size), _pair(convolution.stride), _pair(convolution.dilation), strict=True)
    vertical, horizontal = (max(d * (k - 1) + 1 - s, 0) // 2 for k, s, d in sizes)
    return vertical, horizontal


def _order(name: str, args: Sequence[Any], kwargs: dict[str, Any], ndim: int) -> list[int]:
    """Return, for each dimension of the result, the dimension of the operand that it was."""
    if name == "transpose":
        first, second = (
            kwargs.get("dim0", args[0] if args else 0),
            kwargs.get("dim1", args[-1] if args else 1),
        )
        order = list(range(ndim))
        order[first], order[second] = order[second], order[first]
        return order
    dims = kwargs.get("dims", args[0] if len(args) == 1 else args)
    return [dim % ndim for dim in dims]


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
