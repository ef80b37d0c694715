"""Traces a classifier's forward pass into a graph, with a name for the output of each module."""

import operator
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.same_padding import Conv2dSame, SameMaxPool2d
from dreamvid.networks.tensorflow.ops import ResponseNorm

# Python's `x += y` and the tensor methods that write into their operand. A layer's activation must stay what
# the layer computed, so the graph calls the plain twin.
_PLAIN_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    torch.relu_: torch.relu,
    F.relu_: F.relu,
}
_PLAIN_METHODS = {
    "add_": "add",
    "sub_": "sub",
    "mul_": "mul",
    "div_": "div",
    "relu_": "relu",
    "clamp_": "clamp",
}

# Python code that looks at sizes or dtypes cannot be traced. A batch norm with an activation in it is kept whole, so
# that it can be folded.
_OPAQUE = (Conv2dSame, SameMaxPool2d, ResponseNorm, nn.BatchNorm2d)

# A module that the tracer cannot enter becomes one node. A network that needs this many times is no
# feed-forward classifier, and each costs a pass over the whole network.
_MAX_OPAQUE_MODULES = 64

# PyTorch's tracer replaces the call of every module in the process while it runs, and puts back what it found. Two at
# a time would put back each other's.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Traced:
    """The graph of a network in eval mode, and the node that holds each module's output.

    `outputs` maps the module's dotted path to its node, in order of execution; a module that runs several
    times has `path`, `path_1`, `path_2` … as torchvision names them. `kinds` are the modules' classes.
    """

    module: fx.GraphModule
    outputs: dict[str, fx.Node]
    kinds: dict[str, str]

    @property
    def output(self) -> fx.Node | None:
        """The node of the network's own output, None if that is not a single tensor."""
        value = next(node for node in self.module.graph.nodes if node.op == "output").args[0]
        return value if isinstance(value, fx.Node) else None


class _Tracer(fx.Tracer):
    """Traces one thread's network; the modules that other threads call meanwhile run as they are."""

    def __init__(
        self,
        opaque: set[str],
        opaque_functions: tuple[Callable[..., Any], ...],
        opaque_types: tuple[type[nn.Module], ...],
    ) -> None:
        super().__init__(autowrap_functions=opaque_functions)
        self.opaque = opaque
        self.opaque_types = opaque_types
        self.outputs: dict[str, fx.Node] = {}
        self.kinds: dict[str, str] = {}
        self.failed_in: str | None = None
        self.thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            module_qualified_name in self.opaque
            or isinstance(m, _OPAQUE)
            or type(m) in self.opaque_types
            or super().is_leaf_module(m, module_qualified_name)
        )

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        path = self.path_of_module(m)
        try:
            result = super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed_in = self.failed_in or path  # the innermost one sees the exception first
            raise
        if isinstance(result, fx.Proxy) and not isinstance(m, nn.Identity | nn.Dropout):
            name, count = path, 0
            while name in self.outputs:
                count += 1
                name = f"{path}_{count}"
            self.outputs[name] = result.node
            self.kinds[name] = type(m).__name__
        return result

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def trace(module: nn.Module, name: str) -> Traced:
    """Trace `module` into a graph that shares its weights.

    The module is put into eval mode, its in-place operations are replaced, and timm's convolutions with SAME padding
    become those of dreamvid. A submodule whose Python code depends on the values or sizes of tensors stays one opaque
    node. Raises NetworkError if the network as a whole cannot be traced.
    """
    module.eval().requires_grad_(False)
    for submodule in module.modules():
        if getattr(submodule, "inplace", False) is True:
            submodule.inplace = False  # type: ignore[assignment]
    functions, types = _adopt_timm(module)
    opaque: set[str] = set()
    while True:
        tracer = _Tracer(opaque, functions, types)
        try:
            with _ONE_AT_A_TIME:
                graph = tracer.trace(module)
            break
        except Exception as error:
            if not tracer.failed_in or len(opaque) == _MAX_OPAQUE_MODULES:
                raise NetworkError(
                    f"Network {name!r} cannot be dreamed with: its forward pass does not trace into a graph "
                    f"({type(error).__name__}: {error}). Convolutional classifiers do; "
                    "`dreamvid models` lists tried ones."
                ) from error
            opaque = opaque | {tracer.failed_in}
    _make_plain(graph)
    traced = Traced(fx.GraphModule(module, graph), tracer.outputs, tracer.kinds)
    if traced.output is not None and traced.output not in tracer.outputs.values():
        tracer.outputs["logits"] = traced.output  # computed by no module, as behind SqueezeNet's last pooling
        tracer.kinds["logits"] = "output"
    return traced


def _adopt_timm(module: nn.Module) -> tuple[tuple[Callable[..., Any], ...], tuple[type[nn.Module], ...]]:
    """Replace timm's convolutions with SAME padding; return the functions and modules that timm calls untraceable.

    Loading timm takes seconds, so this looks for modules of timm first.
    """
    if not any(type(submodule).__module__.startswith("timm.") for submodule in module.modules()):
        return (), ()
    from timm.layers.conv2d_same import Conv2dSame as TimmConv2dSame
    from timm.models import get_notrace_functions, get_notrace_modules

    twins: dict[nn.Module, Conv2dSame] = {}
    for path, submodule in list(module.named_modules(remove_duplicate=False)):
        if type(submodule) is TimmConv2dSame and path:
            twins.setdefault(submodule, Conv2dSame.from_conv(submodule))
            module.set_submodule(path, twins[submodule])
    return tuple(get_notrace_functions()), tuple(get_notrace_modules())  # type: ignore[no-untyped-call]


def _make_plain(graph: fx.Graph) -> None:
    """Replace in-place operations by their plain twins and drop checks of the input's size."""
    for node in reversed(list(graph.nodes)):
        if node.kwargs.get("inplace"):
            node.update_kwarg("inplace", False)
        if node.op == "call_function":
            if node.target is torch._assert:
                graph.erase_node(node)
                continue
            node.target = _PLAIN_FUNCTIONS.get(node.target, node.target)
        elif node.op == "call_method":
            node.target = _PLAIN_METHODS.get(node.target, node.target)


IMAGE = ""  # stands for the network's input among a layer's sources


@dataclass(frozen=True)
class LayerInputs:
    """The position of a layer in its network.

    alias_of: the innermost layer whose output is this layer's too (a block's last module), or its own name. sources:
    the layers, named as by `alias_of`, that it is computed from without another layer in between; "" is the image.
    """

    name: str
    alias_of: str
    sources: tuple[str, ...]


def layer_flow(traced: Traced, layers: Collection[str]) -> dict[str, LayerInputs]:
    """Follow the graph from each of `layers` (names in `traced.outputs`) back to the others, in order of execution."""
    innermost: dict[fx.Node, str] = {}
    for name, node in traced.outputs.items():  # inner modules end before those around them
        if name in layers:
            innermost.setdefault(node, name)
    reached: dict[fx.Node, tuple[str, ...]] = {}
    for node in traced.module.graph.nodes:  # in order of execution: what a node reads was reached before
        if node.op == "placeholder":
            reached[node] = (IMAGE,)
            continue
        read = (innermost[source] if source in innermost else reached[source] for source in node.all_input_nodes)
        reached[node] = tuple(
            dict.fromkeys(name for names in read for name in ((names,) if isinstance(names, str) else names))
        )
    return {
        name: LayerInputs(name, innermost[node], reached[node])
        for name, node in traced.outputs.items()
        if name in layers
    }
