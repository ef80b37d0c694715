"""Cuts a traced network off behind the last layer that is needed, in its fastest equivalent form."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dreamvid.errors import NetworkError
from dreamvid.networks.program.convolutions import operators_work
from dreamvid.networks.program.fused_conv import FusedConvolution, clamp_ceiling
from dreamvid.networks.program.program import Program, compile_program
from dreamvid.networks.same_padding import Conv2dSame
from dreamvid.networks.trace import Traced

# Sides of a square image that are tried, in pixels, to find the smallest one that gets through a network.
_SIDES = (1, 8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 299, 384)
# Of what both sides may have to be multiples: of all strides, or of strides and the windows of an attention.
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 7, 14, 28, 56, 112, 224)
_NOT_COMPILED = "not compiled yet"
_PROBE = 64  # images this small may get through by accident: one position goes with any number of them


@dataclass(frozen=True)
class ImageSizes:
    """Which images get through a network, in pixels.

    smallest: the least length of a side. multiple: what both sides have to be multiples of. only: the one side of a
    square that gets through, None if there are others.
    """

    smallest: int
    multiple: int = 1
    only: int | None = None


class Truncated(nn.Module):
    """A frozen network from an image to the activations of some of its layers.

    Takes RGB (N, 3, H, W) in [0, 1] of any size and returns {layer: activation}. An image smaller than `sizes.smallest`
    on a side is first extended by its own border (the network's unpadded convolutions would leave nothing of it). One
    whose sides have to be multiples is extended at its right and lower border, and the positions that lie in there
    alone are cut off again. Raises NetworkError for another size than the only one.

    memory_format: the one that is best for images; others are copied to it.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, body: fx.GraphModule, mean: Sequence[float], std: Sequence[float], sizes: ImageSizes, name: str
    ) -> None:
        super().__init__()
        self.body = body
        self.sizes = sizes
        self.name = name
        self.memory_format = best_memory_format(body)
        self._program: Program | str | None = _NOT_COMPILED
        deviation = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.register_buffer("scale", 1 / deviation)
        self.register_buffer("shift", -torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1) / deviation)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) in [0, 1] to {layer: (N, C, h, w) or (N, C)}."""
        height, width = x.shape[2:]
        if self.sizes.only is not None and (height, width) != (self.sizes.only, self.sizes.only):
            raise self._wrong_size(height, width, self.sizes.only)
        top, bottom = self._padding(height)
        left, right = self._padding(width)
        if top or bottom or left or right:
            x = F.pad(x, (left, right, top, bottom), mode="replicate")
        activations = self._run((x * self.scale + self.shift).contiguous(memory_format=self.memory_format))
        down, across = bottom if height >= self.sizes.smallest else 0, right if width >= self.sizes.smallest else 0
        if not (down or across):
            return activations
        return {name: _without_end(value, x, down, across) for name, value in activations.items()}

    @property
    def runs_as_program(self) -> bool:
        """Whether images on a CPU go through a program, which is known once one has."""
        return isinstance(self._program, Program)

    def program_for(self, height: int, width: int) -> Program | None:
        """Return the program of float32 images of a size on a CPU; None where there is none or they need a border."""
        if self.scale.device.type != "cpu" or self.scale.dtype != torch.float32:
            return None
        if any((*self._padding(height), *self._padding(width))):
            return None
        return self._compiled()

    def _compiled(self) -> Program | None:
        """Turn the body into a program, once; None if programs lack one of its operators."""
        if self._program is _NOT_COMPILED:
            self._program = compile_program(self.body) if operators_work() else None
        return self._program if isinstance(self._program, Program) else None

    def _run(self, x: Tensor) -> dict[str, Tensor]:
        """Run the body: on a CPU as a program if it has the operators of one, elsewhere as PyTorch does."""
        if x.device.type == "cpu" and x.dtype == torch.float32 and (program := self._compiled()) is not None:
            return program(x)
        # Not through __call__, with which fx prints a traceback of its own when an operator fails.
        activations: dict[str, Tensor] = self.body.forward(x)
        return activations

    def _padding(self, size: int) -> tuple[int, int]:
        """Pixels before and behind an axis of `size` pixels."""
        missing = self.sizes.smallest - size
        return (missing // 2, missing - missing // 2) if missing > 0 else (0, -size % self.sizes.multiple)

    def _wrong_size(self, height: int, width: int, only: int) -> NetworkError:
        return NetworkError(
            f"Network {self.name!r} takes only images of {only} x {only} pixels if {self._layers()} is computed, "
            f"got {width} x {height}. Give it an image of {only} x {only} pixels, or choose an earlier layer or "
            "another network."
        )

    def _layers(self) -> str:
        outputs = next(node for node in self.body.graph.nodes if node.op == "output").args[0]
        return ", ".join(map(str, outputs))


def _without_end(activation: Tensor, x: Tensor, down: int, across: int) -> Tensor:
    """Cut off the positions of (N, C, h, w) that lie in the last `down` rows and `across` columns of an image alone."""
    if activation.ndim != 4:
        return activation
    height, width = x.shape[2:]
    rows = -(-activation.shape[2] * (height - down) // height)
    columns = -(-activation.shape[3] * (width - across) // width)
    return activation[:, :, :rows, :columns]


def truncate(
    traced: Traced, layers: Sequence[str], mean: Sequence[float], std: Sequence[float], name: str, input_size: int
) -> Truncated:
    """Cut `traced` off behind `layers` (names in `traced.outputs`) and fold its batch norms.

    The weights are its own: converting them leaves `traced` alone. name: the network's, for messages. input_size: side
    of the images that it was trained on. Raises NetworkError if no size of image gets through.
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
    body = copy.deepcopy(body)
    use_best_memory_format(body)
    sizes = _image_sizes(body, layers, input_size)
    truncated = Truncated(body, mean, std, sizes, name).to(_any_weight(body).device)
    return truncated.eval().requires_grad_(False)


def best_memory_format(module: nn.Module) -> torch.memory_format:
    """Choose the memory format in which a network is fastest on its device.

    That is channels-last, except for depthwise convolutions on a GPU. For each size of image cuDNN plans each of these
    for some 200 ms; PyTorch's own, which take channels first, need no plan and are as fast.
    """
    depthwise = any(getattr(layer, "groups", 1) > 1 for layer in module.modules())
    on_gpu = _any_weight(module).is_cuda
    return torch.contiguous_format if depthwise and on_gpu else torch.channels_last


def use_best_memory_format(module: nn.Module) -> None:
    """Store the weights of convolutions in that format; `Module.to` fails for tensors of five dimensions."""
    memory_format = best_memory_format(module)
    for value in (*module.parameters(), *module.buffers()):
        if value.ndim == 4:
            # A copy: with one channel, `contiguous` takes one format for the other.
            value.data = value.data.clone(memory_format=memory_format)


def blank(module: nn.Module, count: int, height: int, width: int) -> Tensor:
    """Make black images (count, 3, height, width) on the device, and in the number format, of the module's weights."""
    return _any_weight(module).new_zeros(count, 3, height, width)


def _any_weight(module: nn.Module) -> Tensor:
    weights = (value for value in (*module.parameters(), *module.buffers()) if value.is_floating_point())
    return next(weights, torch.empty(0))


def _image_sizes(body: fx.GraphModule, layers: Sequence[str], input_size: int) -> ImageSizes:
    """Find out by trying which images get through."""
    for side in _SIDES:
        failure = _failure(body, side, side)
        if not failure:
            break
    else:
        raise NetworkError(
            f"No image of up to {side} x {side} pixels gets through to {', '.join(layers)} ({failure}). Choose an "
            "earlier layer or another network."
        )
    for multiple in _MULTIPLES:
        smallest = -(-side // multiple) * multiple
        first = -(-max(side, _PROBE) // multiple) | 1  # odd: no multiple of twice as much
        # Strided convolutions drop what is left over, so several lengths give the same number of positions.
        factors = ((first, first + 2),) if multiple >= 16 else ((first, first + 6), (2 * first + 1, first + 2))
        probes = [(smallest, smallest), *((multiple * height, multiple * width) for height, width in factors)]
        if not any(_failure(body, height, width) for height, width in probes):
            return ImageSizes(smallest, multiple)
    only = side if _failure(body, input_size, input_size) else input_size
    return ImageSizes(only, only=only)


def _failure(body: fx.GraphModule, height: int, width: int) -> str:
    """Say why an image of this size does not get through; "" if it does."""
    try:
        with torch.no_grad():
            activations: dict[str, Tensor] = body.forward(blank(body, 1, height, width))
    except Exception as error:  # whatever operators raise for sizes that they do not accept
        return str(error).partition("\n")[0] or type(error).__name__
    return "" if all(activation.numel() for activation in activations.values()) else "nothing is left of it"


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
            ceiling = clamp_ceiling(body, reader)
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


def _is_convolution(body: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(body.get_submodule(str(node.target)), nn.Conv2d | FusedConvolution)
