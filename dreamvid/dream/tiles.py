"""Computes the gradient of the objective with respect to the image, on tiles that fit into memory."""

import functools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.dream.objectives.layers import ResolvedChannels, ResolvedSelection
from dreamvid.dream.objectives.objective import ResolvedObjective
from dreamvid.dream.objectives.term import IMAGE
from dreamvid.errors import OutOfMemoryError
from dreamvid.image.tensors import image_mean
from dreamvid.networks.program.openvino_gradient import OpenVinoGradient, Slopes, require_openvino
from dreamvid.networks.program.program import Program
from dreamvid.networks.truncate import Truncated
from dreamvid.runtime.autograd import as_normal_tensor, outside_inference_mode
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.runtime.device import out_of_memory
from dreamvid.runtime.process import mapped_memory
from dreamvid.runtime.recording import RecordedCalls
from dreamvid.runtime.threads import measured_threads

SMALLEST_TILE = 64
_TINY = 1e-20
# Two patches in a batch of four take less time than one after the other; eight take as long as twice four.
_BATCH_ON_CPU = 4
# The first calls of a size allocate what is kept: packed weights and code, a recording, and what is made to replay it.
_PREPARING_CALLS = 3
# Recorded sets of objectives: the two of a cross-fade together, and each alone.
_MOST_REPLAYS = 4


class TiledGradient:
    """Computes d(objective)/d(image) for images of any size.

    The image is rolled by a shift first, so that seams (of tiles, or at the border of the image) move from step to
    step. An image of at most `tile` pixels a side goes through the network whole; a larger one is cut into tiles of the
    same size, in batches of at most tile² pixels. Each tile includes `halo` pixels of its surroundings, whose gradient
    is dropped. When the device runs out of memory, the tile is halved and the step repeated. A network that takes only
    images of one size gets windows of that size.

    `objectives` may be set to several with weights, for a cross-fade between them. `evaluated` counts the gradients by
    the shape of the batch.

    runtime: "openvino" computes the gradients of whole images on a CPU by `OpenVinoGradient`, where the network and the
    objective allow it. Raises DeviceError if it is not installed.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: ResolvedObjective,
        *,
        tile: int,
        halo: int = 32,
        runtime: Literal["torch", "openvino"] = "torch",
    ) -> None:
        self.network = network
        self.objectives: Sequence[tuple[ResolvedObjective, float]] = ((objective, 1.0),)
        self.tile = tile
        self.halo = halo
        self.dtype = next((p.dtype for p in network.parameters()), torch.float32)
        self.evaluated: Counter[tuple[int, ...]] = Counter()
        self._replays: dict[tuple[int, ...], Callable[..., Tensor]] = {}
        if runtime == "openvino":
            require_openvino()
        self._runtime = runtime
        self._compiled: OpenVinoGradient | None = None
        self._known_slopes: dict[tuple[int, ...], tuple[tuple[ResolvedObjective, ...], list[Slopes]]] = {}

    def __call__(self, image: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
        """Compute the gradient (1, 3, H, W) of an image (1, 3, H, W) in [0, 1], rolled by shift (down, right).

        Raises OutOfMemoryError when not even the smallest tile fits the device's memory.
        """
        with outside_inference_mode():
            compute = functools.partial(self._shifted_gradient, shift=shift)
            return self._within_memory(compute, as_normal_tensor(image), max(image.shape[2:]))

    def of_batch(self, images: Tensor) -> Tensor:
        """Compute the gradients (N, 3, h, w) of small images (N, 3, h, w), each by itself, as batches that fit.

        Raises DeviceError as a call does.
        """
        extent = math.isqrt(images.shape[0] * images.shape[2] * images.shape[3])
        with outside_inference_mode():
            return self._within_memory(self._batched_gradient, as_normal_tensor(images), extent)

    def _within_memory(self, compute: Callable[[Tensor], Tensor], images: Tensor, extent: int) -> Tensor:
        """Compute with smaller and smaller tiles until it fits; extent: the side of what went through at once."""
        while True:
            try:
                return compute(images)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            self._halve(extent, images.device)  # outside of `except`, so that the memory of the failed step is free

    def _batched_gradient(self, images: Tensor) -> Tensor:
        most = max(1, self.tile**2 // (images.shape[2] * images.shape[3]))
        gradients, done = [], 0
        while done < len(images):
            count = _batch_size(len(images) - done, most, images.device)
            chosen = images[done : done + count]
            filled = torch.cat((chosen, chosen[-1:].expand(count - len(chosen), -1, -1, -1)))  # with copies of the last
            gradients.append(self._network_gradient(filled)[: len(chosen)])
            done += count
        return torch.cat(gradients)

    def _halve(self, extent: int, device: torch.device) -> None:
        smaller = min(self.tile, extent) // 2
        if smaller < SMALLEST_TILE:
            raise OutOfMemoryError(
                f"Out of memory on {device} even with tiles of {SMALLEST_TILE} pixels. "
                "Use a smaller network (`model`), a lower `dream_height`, or `device=cpu`."
            )
        warnings.warn(
            f"Out of memory on {device}: going on with tiles of {smaller} pixels (`tile={smaller}`).",
            stacklevel=3,
        )
        self.tile = smaller
        self._replays.clear()  # what they hold is memory too
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _shifted_gradient(self, image: Tensor, shift: tuple[int, int]) -> Tensor:
        found = self._openvino_gradient(image, shift)
        if found is not None:
            return found
        gradient = self._rolled_gradient(torch.roll(image, shift, dims=(2, 3)))
        return torch.roll(gradient, (-shift[0], -shift[1]), dims=(2, 3))

    def _rolled_gradient(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        if max(height, width) <= self.tile:
            return self._network_gradient(image)
        rows, columns = -(-height // self.tile), -(-width // self.tile)
        tile_h, tile_w = -(-height // rows), -(-width // columns)
        # The rolled image is a torus: surroundings beyond a border are those at the opposite one.
        halo = min(self.halo, height, width)
        wide = F.pad(
            image,
            (halo, halo + columns * tile_w - width, halo, halo + rows * tile_h - height),
            mode="circular",
        )
        corners = [(row * tile_h, column * tile_w) for row in range(rows) for column in range(columns)]
        outer_h, outer_w = tile_h + 2 * halo, tile_w + 2 * halo
        batch = max(1, self.tile**2 // (outer_h * outer_w))
        gradient = image.new_empty(1, 3, rows * tile_h, columns * tile_w)
        for start in range(0, len(corners), batch):
            chosen = corners[start : start + batch]
            tiles = torch.cat([wide[:, :, y : y + outer_h, x : x + outer_w] for y, x in chosen])
            inner = self._network_gradient(tiles)[:, :, halo : halo + tile_h, halo : halo + tile_w]
            for (y, x), part in zip(chosen, inner, strict=True):
                gradient[0, :, y : y + tile_h, x : x + tile_w] = part
        return gradient[:, :, :height, :width]

    def measured_step(self, image: Tensor) -> AbstractContextManager[None]:
        """Choose PyTorch's threads within a step on an image (1, 3, H, W) whose gradient OpenVINO computes.

        OpenVINO keeps its own number. Gradients by PyTorch choose their threads themselves.
        """
        if self._by_openvino(image) is None:
            return nullcontext()
        work = tuple(image.shape), self._runtime, len(self.objectives)
        return measured_threads(work, image.device, any_number=True)

    def _openvino_gradient(self, image: Tensor, shift: tuple[int, int]) -> Tensor | None:
        """Compute the gradient of a whole image by OpenVINO; None where that is not asked for or not possible."""
        found = self._by_openvino(image)
        if found is None:
            return None
        compiled, slopes = found
        self.evaluated[tuple(image.shape)] += 1
        if len(slopes) == 1:
            return compiled(image, slopes[0], shift)
        gradients = (compiled(image, chosen, shift) for chosen in slopes)
        return _mix(gradients, [weight for _, weight in self.objectives])

    def _by_openvino(self, image: Tensor) -> tuple[OpenVinoGradient, list[Slopes]] | None:
        """Return what computes the gradient of a whole image by OpenVINO, and the slopes of the objectives; or None."""
        if self._runtime != "openvino" or not isinstance(self.network, Truncated) or max(image.shape[2:]) > self.tile:
            return None
        program = self.network.program_for(image.shape[2], image.shape[3])
        if program is None or not OpenVinoGradient.takes(program):
            return None
        slopes = self._slopes(program.channels)
        if len(slopes) < len(self.objectives):
            return None
        self._compiled = self._compiled or OpenVinoGradient(program, self.network.scale, self.network.shift)
        return self._compiled, slopes

    def _slopes(self, channels: Mapping[str, int]) -> list[Slopes]:
        """Return the slopes of those objectives that have them, computed once."""
        objectives = tuple(objective for objective, _ in self.objectives)
        key = tuple(map(id, objectives))
        if key not in self._known_slopes:
            found: list[Slopes] = [slopes for objective in objectives if (slopes := objective.slopes(channels))]
            self._known_slopes = {key: (objectives, found)}  # keeps the objectives alive
        return self._known_slopes[key][1]

    def _network_gradient(self, images: Tensor) -> Tensor:
        side = self.network.sizes.only if isinstance(self.network, Truncated) else None
        if side is None or images.shape[2:] == (side, side):
            return self._recorded_gradient(images)
        return self._windowed_gradient(images, side)

    def _windowed_gradient(self, images: Tensor, side: int) -> Tensor:
        """Compute the gradient for a network of one size, in windows of it; beyond its border the image repeats."""
        halo = min(self.halo, side // 4)
        inner = side - 2 * halo
        height, width = images.shape[2:]
        offsets = torch.arange(-halo, side - halo, device=images.device)
        gradient = images.new_empty(images.shape)
        for y in range(0, height, inner):
            rows = images.index_select(2, (y + offsets) % height)
            for x in range(0, width, inner):
                part = self._recorded_gradient(rows.index_select(3, (x + offsets) % width))
                h, w = min(inner, height - y), min(inner, width - x)
                gradient[:, :, y : y + h, x : x + w] = part[:, :, halo : halo + h, halo : halo + w]
        return gradient

    def _recorded_gradient(self, images: Tensor) -> Tensor:
        shape = tuple(images.shape)
        memory = nullcontext() if self.evaluated[shape] >= _PREPARING_CALLS else mapped_memory()
        self.evaluated[shape] += 1
        objectives = tuple(objective for objective, _ in self.objectives)
        program = self._program_for(images)
        key = program is not None, *map(id, objectives)  # the replay keeps them alive
        replay = self._replays.pop(key, None) or self._recorded(objectives, program)
        self._replays[key] = replay  # the latest comes last
        if len(self._replays) > _MOST_REPLAYS:
            del self._replays[next(iter(self._replays))]
        any_number = _adds_in_one_order(self.network, objectives)
        with memory, measured_threads((shape, len(objectives)), images.device, any_number=any_number):
            if len(objectives) == 1:
                return replay(images)
            return replay(images, torch.stack([images.new_full((), weight) for _, weight in self.objectives]))

    def _program_for(self, images: Tensor) -> Program | None:
        """Return the program whose gradient of the one objective is to be recorded, for images on a CPU; or None."""
        if len(self.objectives) > 1 or not isinstance(self.network, Truncated):
            return None
        if not _reads_layers([objective for objective, _ in self.objectives]):
            return None
        program = self.network.program_for(images.shape[2], images.shape[3])
        return program if program is not None and program.is_fixed else None

    def _recorded(self, objectives: Sequence[ResolvedObjective], program: Program | None) -> Callable[..., Tensor]:
        """Make what computes the gradient of objectives, and later repeats what it did for images of that shape."""
        if program is None:
            return CudaGraphCache(functools.partial(self._gradient_of, objectives))
        assert isinstance(self.network, Truncated)
        (objective,), scale, shift = objectives, self.network.scale, self.network.shift

        def gradient(images: Tensor) -> Tensor:
            return program.gradient(images * scale + shift, objective) * scale

        return RecordedCalls(gradient, lambda: [*program.tensors(), scale, shift])

    def _gradient_of(
        self, objectives: Sequence[ResolvedObjective], images: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        memory_format = self.network.memory_format if isinstance(self.network, Truncated) else torch.channels_last
        x = images.detach().to(self.dtype, memory_format=memory_format).requires_grad_(True)
        with _repeatable():
            with torch.enable_grad():
                activations = read_activations(self.network, x)
            if weights is None:
                return _gradient(objectives[0], activations, x)
            last = objectives[-1]
            gradients = (_gradient(one, activations, x, keep_graph=one is not last) for one in objectives)
            return _mix(gradients, weights)


def _repeatable() -> AbstractContextManager[None]:
    """Choose algorithms of cuDNN that give the same bits each time: a render that is resumed goes on as it began."""
    cudnn = torch.backends.cudnn
    flags: AbstractContextManager[None] = cudnn.flags(
        enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32
    )
    return flags


def _batch_size(left: int, most: int, device: torch.device) -> int:
    """Choose how many of the images that are left, or copies to fill up, go through the network next: few sizes.

    On a CPU one or `_BATCH_ON_CPU`: each size keeps memory. On a GPU a power of four that holds all that is left:
    preparing a size takes it longer than many images.
    """
    if device.type == "cuda":
        return 1 << 2 * min((most.bit_length() - 1) // 2, ((left - 1).bit_length() + 1) // 2)
    return _BATCH_ON_CPU if left > 1 and most >= _BATCH_ON_CPU else 1


def _mix(gradients: Iterable[Tensor], weights: Iterable[Tensor | float]) -> Tensor:
    """Add the gradients of a cross-fade: objectives differ by orders of magnitude, so each is brought to one size."""
    parts = [
        weight * gradient / image_mean(gradient.abs()).clamp_min(_TINY)
        for gradient, weight in zip(gradients, weights, strict=True)
    ]
    return torch.stack(parts).sum(dim=0)


def _adds_in_one_order(network: nn.Module, objectives: Sequence[ResolvedObjective]) -> bool:
    """Whether a gradient on the CPU has the same bits for any number of threads."""
    return isinstance(network, Truncated) and network.runs_as_program and _reads_layers(objectives)


def _reads_layers(objectives: Sequence[ResolvedObjective]) -> bool:
    """Whether objectives read activations of layers and nothing else."""
    return all(
        isinstance(term, ResolvedChannels | ResolvedSelection)
        for objective in objectives
        for _, term in objective.terms
    )


def read_activations(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Compute what objectives read: the layers' activations and, under `IMAGE`, the images (N, 3, H, W) in [0, 1].

    images: of the network's number format; for objectives they are float32 at least.
    """
    return {IMAGE: images.float() if images.element_size() < 4 else images, **network(images)}


def _gradient(
    objective: ResolvedObjective, activations: Mapping[str, Tensor], x: Tensor, *, keep_graph: bool = False
) -> Tensor:
    """Compute d(objective)/dx in float32; keep_graph: the activations are to be differentiated again."""
    if x.dtype == torch.float16:
        return _gradient_of_halves(objective, activations, x, keep_graph=keep_graph)
    with torch.enable_grad():
        value = objective(activations).sum()
    (gradient,) = torch.autograd.grad(value, x, retain_graph=keep_graph)
    return gradient.float()


def _gradient_of_halves(
    objective: ResolvedObjective, activations: Mapping[str, Tensor], x: Tensor, *, keep_graph: bool
) -> Tensor:
    """Take a gradient through a float16 network, in which most of it would be smaller than the smallest number.

    An objective is a mean over many positions, so its derivative with respect to the activations is tiny. That is
    computed in float32, brought to a largest value of 1, sent through the network and scaled back (the loss scaling of
    Micikevicius et al., "Mixed Precision Training", 2018, with a scale that needs no search).
    """
    leaves = {name: value.detach().float().requires_grad_(True) for name, value in activations.items()}
    with torch.enable_grad():
        value = objective(leaves).sum()
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    derivatives = {name: part for name, part in zip(leaves, found, strict=True) if part is not None}
    direct = derivatives.pop(IMAGE, None)
    gradient = torch.zeros_like(x, dtype=torch.float32) if direct is None else direct
    if derivatives:
        scale = torch.stack([part.abs().amax() for part in derivatives.values()]).amax().clamp_min(_TINY)
        (through,) = torch.autograd.grad(
            [activations[name] for name in derivatives],
            x,
            [(part / scale).to(x.dtype) for part in derivatives.values()],
            retain_graph=keep_graph,
        )
        gradient = gradient + through.float() * scale
    return gradient
