"""A classifier's forward pass as a graph, with a name for what each of its modules computes."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.models import get_notrace_functions, is_notrace_module
from torch import fx, nn

from dreamvid.errors import NetworkError

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

# A module that the tracer cannot enter becomes one node. A network that needs this many times is no
# feed-forward classifier, and each time costs a pass over the whole network.
_MAX_OPAQUE_MODULES = 64


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
    def result(self) -> fx.Node | None:
        """The node of the network's own output, None if that is not a single tensor."""
        value = next(node for node in self.module.graph.nodes if node.op == "output").args[0]
        return value if isinstance(value, fx.Node) else None


class _Tracer(fx.Tracer):
    def __init__(self, opaque: set[str]) -> None:
        opaque_functions = tuple(get_notrace_functions())  # type: ignore[no-untyped-call]
        super().__init__(autowrap_functions=opaque_functions)
        self.opaque = opaque
        self.outputs: dict[str, fx.Node] = {}
        self.kinds: dict[str, str] = {}
        self.failed_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            module_qualified_name in self.opaque
            or is_notrace_module(type(m))
            # timm's norm + activation in one: kept whole, so that its batch norm can be folded.
            or isinstance(m, nn.BatchNorm2d)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
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


def trace(module: nn.Module, name: str) -> Traced:
    """Trace `module` (put in eval mode, its in-place operations made plain; its weights are shared).

    A submodule whose Python code depends on the values or sizes of tensors stays one opaque node.
    Raises NetworkError if the network as a whole cannot be traced.
    """
    module.eval().requires_grad_(False)
    for submodule in module.modules():
        if getattr(submodule, "inplace", False) is True:
            submodule.inplace = False  # type: ignore[assignment]
    opaque: set[str] = set()
    while True:
        tracer = _Tracer(opaque)
        try:
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
    if traced.result is not None and traced.result not in tracer.outputs.values():
        tracer.outputs["logits"] = traced.result  # computed by no module, as behind SqueezeNet's last pooling
        tracer.kinds["logits"] = "output"
    return traced


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
