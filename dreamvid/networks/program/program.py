"""Runs a frozen network, and its gradient with respect to the image, as a fixed list of operators.

For a small image, autograd and PyTorch's search for the right form of each operator take longer than the arithmetic. A
frozen network needs neither: its operators are known, each has one gradient, and their weights are packed once.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

from dreamvid.networks.program.convolutions import Made, Pointwise, Spatial
from dreamvid.networks.program.fused_conv import FusedConvolution, clamp_ceiling, pair
from dreamvid.networks.program.operators import AveragePool, Clamp, Concatenation, MaxPool, Operator, Pair, Sum


@dataclass(frozen=True)
class Step:
    """One operator: computes the value `target` from the values `sources`.

    last_uses: the values that no later step reads, and that are no results.
    """

    operator: Operator
    sources: tuple[str, ...]
    target: str
    last_uses: tuple[str, ...] = ()

    @property
    def takes_sum(self) -> bool:
        """Whether the operator can add a value to its result too."""
        convolution = isinstance(self.operator, Pointwise | Spatial) and self.operator.ceiling is None
        return convolution and len(self.sources) == 1


class Program:
    """The steps of a network in order; `outputs` names the values of its layers, `image` that of the image."""

    def __init__(self, image: str, steps: Sequence[Step], outputs: Mapping[str, str]) -> None:
        self.image = image
        self.outputs = dict(outputs)
        self.steps = _with_last_uses(steps, set(outputs.values()))

    @functools.cached_property
    def channels(self) -> dict[str, int]:
        """The number of channels of each layer."""
        found = {self.image: 3}  # by value
        for step in self.steps:
            if isinstance(step.operator, Pointwise | Spatial):
                count = step.operator.layer.get_buffer("kernel_00").shape[0]
            elif isinstance(step.operator, Concatenation):
                count = sum(found[name] for name in step.sources)
            else:
                count = found[step.sources[0]]
            found[step.target] = count
        return {layer: found[value] for layer, value in self.outputs.items()}

    def __deepcopy__(self, memo: object) -> Program:
        return self  # it is never changed

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalized image (N, 3, H, W), float32 on the CPU, to {layer: (N, C, h, w)}; autograd can follow."""
        found: tuple[Tensor, ...] = _Run.apply(image, self)
        return dict(zip(self.outputs, found, strict=True))

    @property
    def is_fixed(self) -> bool:
        """Whether what operators keep for images of one size stays when others go through."""
        return all(step.operator.is_fixed for step in self.steps if isinstance(step.operator, Spatial))

    def tensors(self) -> list[Tensor]:
        """Return the weights that its operators read, in every form that they have so far."""
        found = (step.operator.tensors() for step in self.steps if isinstance(step.operator, Pointwise | Spatial))
        return [tensor for tensors in found for tensor in tensors]

    def gradient(self, image: Tensor, objective: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
        """Compute the gradient of an objective with respect to a normalized image (N, 3, H, W), of the same shape.

        image: as for a call. objective: maps the activations of all layers to (N,). The bits are those of autograd.
        """
        values = self._forward(image, keeps_all=True)
        activations = {
            layer: values[name][0].permute(0, 3, 1, 2).detach().requires_grad_() for layer, name in self.outputs.items()
        }
        with torch.enable_grad():
            value = objective(activations).sum()
        gradients = torch.autograd.grad(value, list(activations.values()), allow_unused=True)
        found = self._backward(values, gradients)
        assert found is not None, "the objective reads none of the layers"
        return found

    def _forward(self, image: Tensor, *, keeps_all: bool) -> dict[str, Made]:
        """Compute what the steps make, by name; without keeps_all only that of the outputs."""
        values: dict[str, Made] = {self.image: (image.permute(0, 2, 3, 1).contiguous(),)}
        for step in self.steps:
            values[step.target] = step.operator.forward([values[name][0] for name in step.sources])
            if not keeps_all:
                for name in step.last_uses:
                    del values[name]
        return values

    def _backward(self, values: dict[str, Made], gradients: Sequence[Tensor | None]) -> Tensor | None:
        """Map gradients of the outputs (N, C, h, w), in their order, to that of the image; `values` is used up."""
        # By value, as far as they were reached. Masks are written in place, but not into the caller's gradients.
        found = {
            name: gradient.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
            for name, gradient in zip(self.outputs.values(), gradients, strict=True)
            if gradient is not None
        }
        for step in reversed(self.steps):
            # What a step has computed is needed for its own gradient last. Then its memory is free for others.
            gradient, made = found.pop(step.target, None), values.pop(step.target)
            if gradient is None:
                continue
            read = [values[name][0] for name in step.sources]
            parts = step.operator.backward(gradient, read, made, found.pop(step.sources[0], None))
            for name, part in zip(step.sources, parts, strict=True):
                found[name] = found[name] + part if name in found else part
        image = found.get(self.image)
        return None if image is None else image.permute(0, 3, 1, 2)


class _Run(torch.autograd.Function):
    """A program as one node of autograd."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, program: Program) -> tuple[Tensor, ...]:
        values = program._forward(image, keeps_all=ctx.needs_input_grad[0])
        ctx.program, ctx.values = program, values
        ctx.set_materialize_grads(False)
        return tuple(values[name][0].permute(0, 3, 1, 2) for name in program.outputs.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        program: Program = ctx.program
        values: dict[str, Made] = dict(ctx.values) if _graph_is_kept() else ctx.values
        return program._backward(values, gradients), None


# Whether the backward pass at work was called with `retain_graph=True`.
_graph_is_kept: Callable[[], bool] = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


def compile_program(body: fx.GraphModule) -> Program | None:
    """Turn a truncated network into a program; None if an operator is none of those that programs have."""
    steps: dict[fx.Node, Step] = {}  # by the node of the step's result
    image, outputs = "", dict[str, str]()
    for node in body.graph.nodes:
        if node.op == "placeholder":
            image = node.name
        elif node.op == "output":
            outputs = {layer: value.name for layer, value in node.args[0].items()}
        elif node.target is operator.add:
            if not _add_sum(node, steps):
                return None
        else:
            found = _operator(body, node, steps)
            if found is None:
                return None
            # A concatenation may read one value twice.
            values = node.args[0] if isinstance(found, Concatenation) else node.all_input_nodes
            steps[node] = Step(found, tuple(value.name for value in values), node.name)
    return Program(image, list(steps.values()), outputs)


def _add_sum(node: fx.Node, steps: dict[fx.Node, Step]) -> bool:
    """Add the step for a sum, to the convolution before it if possible; return False for one that is not of values."""
    values = [value for value in node.args if isinstance(value, fx.Node)]
    if node.kwargs or len(values) != 2:
        return False
    first, second = values
    for summand, other in ((second, first), (first, second)):
        step = steps.get(summand)
        if step and summand is next(reversed(steps)) is not other and len(summand.users) == 1 and step.takes_sum:
            del steps[summand]
            steps[node] = replace(step, sources=(*step.sources, other.name), target=node.name)
            return True
    steps[node] = Step(Sum(), (first.name, second.name), node.name)
    return True


def _operator(body: fx.GraphModule, node: fx.Node, steps: Mapping[fx.Node, Step]) -> Operator | None:
    """Make the operator of a node that is no sum."""
    module = body.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(module, FusedConvolution):
        if module.dilation != (1, 1):
            return None
        return Pointwise(module) if Pointwise.takes(module) else Spatial(module)
    ceiling = clamp_ceiling(body, node)
    if ceiling is not None:
        (x,) = node.all_input_nodes
        return Clamp(ceiling, in_place=len(x.users) == 1 and x in steps and _forgets_its_result(steps[x].operator))
    function: Any = type(module) if module is not None else node.target
    make = _MAKERS.get(function)
    if make is None:
        return None
    if module is None:
        return make(*node.args, **node.kwargs)
    names = list(inspect.signature(make).parameters)[1:]
    return make(None, *(getattr(module, name) for name in names))


def _forgets_its_result(operator: Operator) -> bool:
    """Whether an operator's gradient does without what it has computed, which may then be overwritten."""
    return isinstance(operator, Sum) or (isinstance(operator, Pointwise | Spatial) and operator.ceiling is None)


# With the parameters of PyTorch's functions, which are the attributes of its modules.


def _concatenate(tensors: object, dim: int = 0) -> Concatenation | None:
    return Concatenation() if dim == 1 else None


def _max_pool(
    input: object,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> MaxPool | None:
    if return_indices:
        return None
    shape = (pair(kernel_size), pair(stride or kernel_size), pair(padding), pair(dilation))
    return MaxPool(*shape, ceil_mode=ceil_mode)


def _average_pool(
    input: object,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> AveragePool | None:
    if divisor_override is not None:
        return None
    shape = (pair(kernel_size), pair(stride or kernel_size), pair(padding))
    return AveragePool(*shape, ceil_mode=ceil_mode, counts_padding=count_include_pad)


_MAKERS: dict[object, Callable[..., Operator | None]] = {
    torch.cat: _concatenate,
    F.max_pool2d: _max_pool,
    nn.MaxPool2d: _max_pool,
    F.avg_pool2d: _average_pool,
    nn.AvgPool2d: _average_pool,
}


def _with_last_uses(steps: Sequence[Step], kept: set[str]) -> tuple[Step, ...]:
    """Note at each step which values nothing needs after it, except those that are kept."""
    result: list[Step] = []
    needed = set(kept)
    for step in reversed(steps):
        read = dict.fromkeys(step.sources)
        result.append(replace(step, last_uses=tuple(name for name in read if name not in needed)))
        needed.update(read)
    return tuple(reversed(result))
