"""Reads the layers of networks that compute with tokens, such as vision transformers, as maps of channels.

A transformer's tensors are not maps (N, C, h, w). They are lists of tokens (N, L, C), one for each patch of the image,
behind class and register tokens that stand for no place; or maps with the channels last, (N, h, w, C). Such a network
is run as it is, with hooks that take what its modules compute, and every layer is brought to (N, C, h, w). How a
layer's tensor is laid out is found by trying: images of two widths are sent through the network, and what changes
with the width is the grid.
"""

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.layer_table import LayerInfo
from dreamvid.networks.trace import IMAGE, LayerInputs
from dreamvid.networks.truncate import ImageSizes, Truncated, blank

# Lengths in pixels of which both sides of an image may have to be multiples: patches, and patches times windows.
_MULTIPLES = (14, 16, 32, 64)
_RARE_MULTIPLES = (28, 56, 112, 224)
# The trial images are this many multiples high and wide; a second one is more than twice as wide as the images that the
# network was trained on, as tables of relative positions may end there. What differs between the two is the width.
_HIGH, _WIDE = 2, 3
_MOST_PREFIX = 16  # class and register tokens
# The modules that do nothing when a network is used, besides those that return what they got.
_PASSIVE = (nn.Identity, nn.Dropout)


@dataclass(frozen=True)
class Layout:
    """How a layer's tensor becomes (N, C, h, w).

    kind: "map" is (N, C, h, w), "channels last" (N, h, w, C), "tokens" (N, L, C), "vector" (N, C). stride: pixels from
    one position to the next, 0 for a vector. prefix: the number of tokens in front that stand for no place.
    """

    kind: str
    stride: int
    channels: int
    prefix: int = 0

    def to_map(self, value: Tensor, height: int, width: int) -> Tensor:
        """Bring the tensor of images of height × width pixels to (N, C, h, w); a vector stays (N, C)."""
        if self.kind == "channels last":
            return value.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            rows, columns = round(height / self.stride), round(width / self.stride)
            places = value[:, self.prefix :].transpose(1, 2)
            return places.reshape(places.shape[0], places.shape[1], rows, columns)
        return value


@dataclass(frozen=True)
class _Tap:
    """Where a layer's tensor is taken: the output of a module or its input, at the module's `call`-th call."""

    path: str
    kind: str
    call: int = 0
    takes_input: bool = False


class _Stop(Exception):
    """Ends a forward pass when everything that was asked for has been computed."""


class TokenNetwork:
    """A network whose layers are taken by hooks.

    module: in eval mode, with frozen weights. input_size: the side of the images that it was trained on, the only one
    that gets through if it takes no other. Raises NetworkError if no image gets through.
    """

    def __init__(self, module: nn.Module, name: str, input_size: int) -> None:
        self._module, self.name = module, name
        self.sizes, self._taps, self._layouts, self._logits = _find_layers(module, name, input_size)

    @property
    def rows(self) -> dict[str, LayerInfo]:
        """Describe the layers in order of execution; what a position depends on counts as the whole image."""
        return {
            name: LayerInfo(name, layout.channels, layout.stride or None, None, self._taps[name].kind)
            for name, layout in self._layouts.items()
        }

    @property
    def logits(self) -> str | None:
        """The layer of the network's own output, None if that is not a vector."""
        return self._logits

    def dataflow(self) -> dict[str, LayerInputs]:
        """Say of each layer that it is computed from the one before it: more is not known."""
        before, flow = IMAGE, {}
        for name in self._layouts:
            flow[name] = LayerInputs(name, name, (before,))
            before = name
        return flow

    def truncate(self, layers: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> Truncated:
        """Cut the network off behind `layers`, by its own names; arguments as for `truncate.truncate`."""
        wanted = tuple(dict.fromkeys(layers))
        body = _HookedBody(
            copy.deepcopy(self._module),
            {name: self._taps[name] for name in wanted},
            {name: self._layouts[name] for name in wanted},
        )
        truncated = _TruncatedTokens(body, mean, std, self.sizes, self.name)  # type: ignore[arg-type]
        return truncated.eval().requires_grad_(False)


class _HookedBody(nn.Module):
    """Runs a network up to the last of some layers."""

    def __init__(self, module: nn.Module, taps: Mapping[str, _Tap], layouts: Mapping[str, Layout]) -> None:
        super().__init__()
        self.module = module
        self.taps, self.layouts = taps, layouts

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map normalized images (N, 3, H, W) to {layer: (N, C, h, w) or (N, C)}."""
        height, width = x.shape[2:]
        found: dict[str, Tensor] = {}
        wanted = {(tap.path, tap.call, tap.takes_input): name for name, tap in self.taps.items()}

        def take(tap: _Tap, value: Tensor) -> None:
            name = wanted.get((tap.path, tap.call, tap.takes_input))
            if name is None:
                return
            found[name] = self.layouts[name].to_map(value, height, width)
            if len(found) == len(wanted):
                raise _Stop

        with _hooks(self.module, take, {tap.path for tap in self.taps.values()}), suppress(_Stop):
            self.module(x)
        return {name: found[name] for name in self.taps}


class _TruncatedTokens(Truncated):
    """`Truncated` without a graph, which runs as PyTorch does."""

    def _compiled(self) -> None:
        return None

    def _layers(self) -> str:
        assert isinstance(self.body, _HookedBody)
        return ", ".join(self.body.taps)


@contextmanager
def _hooks(
    module: nn.Module, take: Callable[[_Tap, Tensor], None], only: Collection[str] | None = None
) -> Iterator[None]:
    """Call `take` with every tensor that a module computes, and with what attention heads give to their projection.

    only: the modules to hook, by their paths; None for all.
    """
    calls: dict[str, int] = {}

    def after(path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(part: nn.Module, args: tuple[Any, ...], result: Any) -> None:
            first = result[0] if isinstance(result, tuple | list) and result else result
            if isinstance(first, Tensor) and not isinstance(part, _PASSIVE) and not (args and first is args[0]):
                take(_Tap(path, type(part).__name__, calls.get(path, 0)), first)
                calls[path] = calls.get(path, 0) + 1

        return hook

    def before(path: str, kind: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(part: nn.Module, args: tuple[Any, ...]) -> None:
            if args and isinstance(args[0], Tensor):
                take(_Tap(path, kind, 0, takes_input=True), args[0])

        return hook

    with ExitStack() as stack:
        for path, part in module.named_modules():
            if path and (only is None or path in only):
                stack.callback(part.register_forward_hook(after(path)).remove)
        for path, part in module.named_modules():
            heads, projection = getattr(part, "num_heads", None), getattr(part, "proj", None)
            joined = f"{path}.proj"
            if isinstance(heads, int) and isinstance(projection, nn.Linear) and (only is None or joined in only):
                kind = f"{heads} heads of {projection.in_features // heads}"
                stack.callback(projection.register_forward_pre_hook(before(joined, kind)).remove)
        yield


@dataclass
class _Run:
    """What a forward pass computed: for each layer, the tap and the shape of its tensor.

    outputs: the layers whose tensor is the network's own output, from the innermost module outwards.
    """

    taps: dict[str, _Tap]
    shapes: dict[str, tuple[int, ...]]
    outputs: list[str]


def _run(module: nn.Module, count: int, height: int, width: int) -> _Run:
    """Send black images through the network; raises what its operators raise."""
    taps: dict[str, _Tap] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    last: list[tuple[str, Tensor]] = []

    def take(tap: _Tap, value: Tensor) -> None:
        name = f"{tap.path.removesuffix('.proj')}.heads" if tap.takes_input else tap.path
        name = f"{name}_{tap.call}" if tap.call else name
        taps[name], shapes[name] = tap, tuple(value.shape)
        if last and last[0][1] is not value:
            last.clear()
        last.append((name, value))

    with torch.no_grad(), _hooks(module, take):
        result = module(blank(module, count, height, width))
    return _Run(taps, shapes, [name for name, value in last if value is result])


def _find_layers(
    module: nn.Module, name: str, input_size: int
) -> tuple[ImageSizes, dict[str, _Tap], dict[str, Layout], str | None]:
    best: tuple[ImageSizes, _Run, dict[str, Layout]] | None = None
    for multiple in (*_MULTIPLES, *_RARE_MULTIPLES):
        if best is not None and multiple in _RARE_MULTIPLES:
            break
        try:
            wide = _run(module, 2, _HIGH * multiple, _WIDE * multiple)
            more = max(_WIDE, 2 * input_size // multiple)  # so many more multiples
            wider = _run(module, 2, _HIGH * multiple, (_WIDE + more) * multiple)
        except Exception:
            continue
        layouts, unknown = _layouts_of_two(wide, wider, multiple, more)
        if layouts and (best is None or len(layouts) > len(best[2])):
            best = ImageSizes(multiple, multiple), wide, layouts
        if layouts and not unknown:
            break
    if best is None:
        try:
            run = _run(module, 2, input_size, input_size)
        except Exception as error:
            first_line = str(error).partition("\n")[0]
            raise NetworkError(
                f"Network {name!r} cannot be dreamed with: no image gets through it "
                f"({type(error).__name__}: {first_line}). `dreamvid models` lists networks that were tried."
            ) from error
        best = ImageSizes(input_size, only=input_size), run, _layouts_of_one(run, input_size)
    sizes, run, layouts = best
    if not layouts:
        raise NetworkError(f"Network {name!r} cannot be dreamed with: no module in it computes a layer.")
    # Without classes the output is that of a norm or a pooling, not of a matrix product.
    classifies = any(run.taps[output].kind == "Linear" for output in run.outputs)
    output = run.outputs[-1] if classifies else ""
    logits = output if output in layouts and layouts[output].kind == "vector" else None
    return sizes, run.taps, layouts, logits


def _layouts_of_two(wide: _Run, wider: _Run, multiple: int, more: int) -> tuple[dict[str, Layout], int]:
    """Compare what two images gave, the second of which is wider by `more` multiples.

    Also count the layers with positions that are not understood.
    """
    found, unknown = {}, 0
    for name, shape in wide.shapes.items():
        other = wider.shapes.get(name, ())
        if len(shape) != len(other) or not shape or shape[0] != 2 or other[0] != 2:
            continue
        changed = [dim for dim, (one, two) in enumerate(zip(shape, other, strict=True)) if one != two]
        layout = None
        if len(shape) == 2 and not changed:
            layout = Layout("vector", 0, shape[1])
        elif len(shape) == 3 and changed == [1]:
            cells = (other[1] - shape[1]) / (_HIGH * more)  # per square of a multiple
            across = math.isqrt(round(cells))
            prefix = shape[1] - _HIGH * _WIDE * across**2
            if across and across**2 == cells and multiple % across == 0 and 0 <= prefix <= _MOST_PREFIX:
                layout = Layout("tokens", multiple // across, shape[2], prefix)
        elif len(shape) == 4 and changed in ([3], [2]):
            last = changed[0]
            across = (other[last] - shape[last]) // more
            if across and shape[last - 1 : last + 1] == (_HIGH * across, _WIDE * across) and multiple % across == 0:
                kind = "map" if last == 3 else "channels last"
                layout = Layout(kind, multiple // across, shape[1 if last == 3 else 3])
        if layout is not None:
            found[name] = layout
        elif changed:
            unknown += 1
    return found, unknown


def _layouts_of_one(run: _Run, side: int) -> dict[str, Layout]:
    """Tell from the result of the only image that gets through, a square."""
    found: dict[str, Layout] = {}
    for name, shape in run.shapes.items():  # maps first: their strides are those of the tokens
        if len(shape) == 4 and shape[0] == 2 and min(shape) > 0:
            last = shape[1] == shape[2] != shape[3]
            rows, columns = shape[1:3] if last else shape[2:4]
            if rows == columns and rows > 1 and side % rows == 0:
                kind = "channels last" if last else "map"
                found[name] = Layout(kind, side // rows, shape[3 if last else 1])
    strides = {layout.stride for layout in found.values()} or {8, 14, 16, 32}
    for name, shape in run.shapes.items():
        if len(shape) == 2 and shape[0] == 2:
            found[name] = Layout("vector", 0, shape[1])
        elif len(shape) == 3 and shape[0] == 2:
            grids = ((stride, shape[1] - (side // stride) ** 2) for stride in strides)
            fitting = [(prefix, stride) for stride, prefix in grids if 0 <= prefix <= _MOST_PREFIX and stride < side]
            if fitting:
                prefix, stride = min(fitting)
                found[name] = Layout("tokens", stride, shape[2], prefix)
    return {name: found[name] for name in run.shapes if name in found}
