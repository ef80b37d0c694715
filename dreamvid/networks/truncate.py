"""A traced network cut off behind the last layer that is asked for, in its fastest equivalent form."""

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dreamvid.errors import NetworkError
from dreamvid.networks.fused_conv import CEILINGS, FusedConvolution
from dreamvid.networks.same_padding import Conv2dSame
from dreamvid.networks.trace import Traced

# Sides of a square image that are tried, in pixels, to find the smallest one that gets through a network.
_SIDES = (1, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 299, 384)


class Truncated(nn.Module):
    """A frozen network from an image to the activations of some of its layers.

    Takes RGB (N, 3, H, W) in [0, 1] of any size; an image smaller than `min_size` on a side is first
    extended by its own border (the network's unpadded convolutions would leave nothing of it). Returns
    {layer: activation}.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, body: fx.GraphModule, mean: Sequence[float], std: Sequence[float], min_size: int) -> None:
        super().__init__()
        self.body = body
        self.min_size = min_size
        deviation = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.register_buffer("scale", 1 / deviation)
        self.register_buffer("shift", -torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1) / deviation)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) in [0, 1] to {layer: (N, C, h, w) or (N, C)}."""
        lacking_h, lacking_w = max(self.min_size - x.shape[2], 0), max(self.min_size - x.shape[3], 0)
        if lacking_h or lacking_w:
            sides = (lacking_w // 2, lacking_w - lacking_w // 2, lacking_h // 2, lacking_h - lacking_h // 2)
            x = F.pad(x, sides, mode="replicate")
        activations: dict[str, Tensor] = self.body(x * self.scale + self.shift)
        return activations


def truncate(traced: Traced, layers: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> Truncated:
    """Cut `traced` off behind `layers` (names in `traced.outputs`) and fold its batch norms.

    The weights are its own: converting them leaves `traced` alone.

    Raises NetworkError if no size of image gets through.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    wanted = {name: traced.outputs[name] for name in dict.fromkeys(layers)}
    needed = set(wanted.values())
    for node in reversed(list(traced.module.graph.nodes)):
        if node in needed:
            needed.update(node.all_input_nodes)
    for node in traced.module.graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output({name: copies[node] for name, node in wanted.items()})
    body = fx.GraphModule(traced.module, graph)
    _fold_batch_norms(body)
    _fuse(body)
    body.graph.lint()
    body.recompile()
    body.delete_all_unused_submodules()
    body = copy.deepcopy(body).to(memory_format=torch.channels_last)
    return Truncated(body, mean, std, _smallest_side(body, layers)).eval().requires_grad_(False)


def blank(module: nn.Module, count: int, side: int) -> Tensor:
    """Black images (count, 3, side, side) on the device, and in the number format, of the module's weights."""
    weights = [one for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()]
    return (weights[0] if weights else torch.empty(0)).new_zeros(count, 3, side, side)


def _smallest_side(body: fx.GraphModule, layers: Sequence[str]) -> int:
    failure = ""
    for side in _SIDES:
        try:
            with torch.no_grad():
                activations = body(blank(body, 1, side))
        except Exception as error:  # whatever an operator says of a size that it cannot take
            failure = str(error).partition("\n")[0]
            continue
        if all(activation.numel() for activation in activations.values()):
            return side
    raise NetworkError(
        f"No image of up to {_SIDES[-1]} x {_SIDES[-1]} pixels gets through to {', '.join(layers)} "
        f"({failure}). Networks made for one image size cannot be used; "
        "choose an earlier layer or another network."
    )


def _fold_batch_norms(body: fx.GraphModule) -> None:
    """Fold each batch norm into the convolution whose only reader it is; an activation that is part of it stays."""
    modules = dict(body.named_modules())
    calls: dict[str, int] = {}
    for node in body.graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    for node in list(body.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source, norm = node.args[0], modules[node.target]
        if source.op != "call_module" or len(source.users) != 1 or calls[source.target] != 1:
            continue
        convolution = modules[source.target]
        if not isinstance(convolution, nn.Conv2d) or norm.running_mean is None or norm.running_var is None:
            continue
        # A shallow twin: the network itself keeps its own weights.
        folded = copy.copy(convolution)
        folded._parameters = dict(convolution._parameters)
        folded.weight, folded.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        modules[source.target] = folded
        body.set_submodule(source.target, folded)
        activation = getattr(norm, "act", None)
        if activation is None or isinstance(activation, nn.Identity):
            node.replace_all_uses_with(source)
            body.graph.erase_node(node)
        else:
            modules[node.target] = activation
            body.set_submodule(node.target, activation)


def _fuse(body: fx.GraphModule) -> None:
    """Compute each convolution, and the ReLU that is its only reader, in one step."""
    for node in list(body.graph.nodes):
        if node.op != "call_module":
            continue
        convolution = body.get_submodule(str(node.target))
        if not isinstance(convolution, nn.Conv2d) or not FusedConvolution.takes(convolution):
            continue
        last, ceiling = node, None
        if len(node.users) == 1:
            (reader,) = node.users
            ceiling = _ceiling(body, reader)
            last = node if ceiling is None else reader
        fused = FusedConvolution(
            convolution,
            same=isinstance(convolution, Conv2dSame),
            ceiling=ceiling,
            owns_gradient=len(last.users) == 1 and _is_convolution(body, *last.users),
        )
        if last is not node:
            last.replace_all_uses_with(node)
            body.graph.erase_node(last)
        # A module of its own, as one convolution may be called in several places.
        path = f"{node.target}_fused".replace(".", "_")
        while hasattr(body, path):
            path += "_"
        node.target = path
        body.add_submodule(path, fused)


def _ceiling(body: fx.GraphModule, node: fx.Node) -> float | None:
    """What a ReLU or ReLU6 clamps to; None if the node is neither."""
    if node.op == "call_function":
        return CEILINGS[nn.ReLU] if node.target in (F.relu, torch.relu) else None
    if node.op == "call_method":
        return CEILINGS[nn.ReLU] if node.target == "relu" else None
    return CEILINGS.get(type(body.get_submodule(str(node.target)))) if node.op == "call_module" else None


def _is_convolution(body: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(body.get_submodule(str(node.target)), nn.Conv2d | FusedConvolution)
