"""Runs a frozen network, and its gradient with respect to the image, as a fixed list of operators.

For a small image, autograd and PyTorch's search for the right form of each operator take longer than the arithmetic. A
frozen network needs neither: its operators are known, each has one gradient, and their weights are packed once.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.autograd.function import once_differentiable

from dreamvid.networks.program.fused_conv import FusedConvolution
from dreamvid.networks.program.operators import Pointwise, Spatial, Sum


@dataclass(frozen=True)
class Step:
    """One operator: computes the value `target` from the value `source`, and adds the value `add` if there is one.

    last_uses: the values that no later step reads, and that are no results.
    """

    operator: Pointwise | Spatial | Sum
    source: str
    target: str
    add: str | None = None
    last_uses: tuple[str, ...] = ()

    @property
    def takes_sum(self) -> bool:
        """Whether the operator can add a value to its result too."""
        return self.add is None and not isinstance(self.operator, Sum) and self.operator.ceiling is None


class Program:
    """The steps of a network in order; `outputs` names the values of its layers, `image` that of the image."""

    def __init__(self, image: str, steps: Sequence[Step], outputs: Mapping[str, str]) -> None:
        self.image = image
        self.outputs = dict(outputs)
        self.steps = _with_last_uses(steps, set(outputs.values()))

    @functools.cached_property
    def channels(self) -> dict[str, int]:
        """The number of channels of each layer."""
        found: dict[str, int] = {}  # by value
        for step in self.steps:
            if isinstance(step.operator, Sum):
                found[step.target] = found[step.source]
            else:
                found[step.target] = step.operator.layer.get_buffer("kernel_00").shape[0]
        return {layer: found[value] for layer, value in self.outputs.items()}

    def __deepcopy__(self, memo: object) -> Program:
        return self  # it is never changed

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """Map a normalized image (N, 3, H, W), float32 on the CPU, to {layer: (N, C, h, w)}; autograd can follow."""
        found: tuple[Tensor, ...] = _Run.apply(image, self)
        return dict(zip(self.outputs, found, strict=True))


class _Run(torch.autograd.Function):
    """A program as one node of autograd."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, program: Program) -> tuple[Tensor, ...]:
        values = {program.image: image.permute(0, 2, 3, 1).contiguous()}
        for step in program.steps:
            add = None if step.add is None else values[step.add]
            values[step.target] = step.operator.forward(values[step.source], add)
            if not ctx.needs_input_grad[0]:
                for name in step.last_uses:
                    del values[name]
        ctx.program, ctx.values = program, values
        ctx.set_materialize_grads(False)
        return tuple(values[name].permute(0, 3, 1, 2) for name in program.outputs.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        program: Program = ctx.program
        values: dict[str, Tensor] = dict(ctx.values) if _graph_is_kept() else ctx.values
        # By value, as far as they were reached. Masks are written in place, but not into the caller's gradients.
        found = {
            name: gradient.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
            for name, gradient in zip(program.outputs.values(), gradients, strict=True)
            if gradient is not None
        }
        for step in reversed(program.steps):
            # What a step has computed is needed for its own gradient last. Then its memory is free for others.
            gradient, y = found.pop(step.target, None), values.pop(step.target)
            if gradient is None:
                continue
            if step.add is not None:
                found[step.add] = found[step.add] + gradient if step.add in found else gradient
            x = values[step.source]
            found[step.source] = step.operator.backward(gradient, x, y, found.get(step.source))
        image = found.get(program.image)
        return (None if image is None else image.permute(0, 3, 1, 2)), None


# Whether the backward pass at work was called with `retain_graph=True`.
_graph_is_kept: Callable[[], bool] = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


def compile_program(body: fx.GraphModule) -> Program | None:
    """Turn a truncated network of convolutions and sums into a program; None for one with other operators."""
    steps: dict[fx.Node, Step] = {}  # by the node of the step's result
    image, outputs = "", dict[str, str]()
    for node in body.graph.nodes:
        if node.op == "placeholder":
            image = node.name
        elif node.op == "output":
            outputs = {layer: value.name for layer, value in node.args[0].items()}
        elif node.op == "call_module":
            layer = body.get_submodule(str(node.target))
            if not isinstance(layer, FusedConvolution) or layer.dilation != (1, 1):
                return None
            convolution = Pointwise(layer) if Pointwise.takes(layer) else Spatial(layer)
            steps[node] = Step(convolution, node.all_input_nodes[0].name, node.name)
        elif not _add_sum(node, steps):
            return None
    return Program(image, list(steps.values()), outputs)


def _add_sum(node: fx.Node, steps: dict[fx.Node, Step]) -> bool:
    """Add the step for a sum of two values, to the convolution before it if possible; return False for other nodes."""
    values = [value for value in node.args if isinstance(value, fx.Node)]
    if node.target is not operator.add or node.kwargs or len(values) != 2:
        return False
    first, second = values
    for summand, other in ((second, first), (first, second)):
        step = steps.get(summand)
        if step and summand is next(reversed(steps)) is not other and len(summand.users) == 1 and step.takes_sum:
            del steps[summand]
            steps[node] = replace(step, target=node.name, add=other.name)
            return True
    steps[node] = Step(Sum(), first.name, node.name, second.name)
    return True


def _with_last_uses(steps: Sequence[Step], kept: set[str]) -> tuple[Step, ...]:
    """Note at each step which values nothing needs after it, except those that are kept."""
    result: list[Step] = []
    needed = set(kept)
    for step in reversed(steps):
        read = dict.fromkeys(name for name in (step.source, step.add) if name is not None)
        result.append(replace(step, last_uses=tuple(name for name in read if name not in needed)))
        needed.update(read)
    return tuple(reversed(result))
