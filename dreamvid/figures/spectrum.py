"""Grows images that show what a feature responds to, as spectra instead of pixels.

fourier  the spectrum of an image in decorrelated colors is optimized while the image is moved, scaled and rotated
         (Olah, Mordvintsev and Schubert, "Feature Visualization", 2017)
maco     the magnitude of the spectrum is held at that of natural images, which falls with the frequency, and only the
         phase is optimized, on random crops (Fel et al., "Unlocking Feature Visualization for Deeper Networks with
         MAgnitude Constrained Optimization", 2023). The paper takes the mean magnitude of ImageNet; here it is 1/f.

Several images of one feature can be grown together, each unlike the others: the Gram matrices of their features are
pushed apart (Olah et al., 2017).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.dream.objectives.objective import ResolvedObjective
from dreamvid.dream.optimizer import Adam
from dreamvid.dream.tiles import read_activations
from dreamvid.networks.truncate import Truncated
from dreamvid.settings.size import Size

STEPS = 128
# A square root of the covariance of the colors of natural images, scaled; after Olah et al., 2017.
_COLORS = ((0.5628, 0.1948, 0.0433), (0.5845, 0.0, -0.1082), (0.5845, -0.1948, 0.0649))
_FOURIER_RATE, _FOURIER_DEVIATION, _FOURIER_GAIN = 0.05, 0.01, 4.0
_MACO_RATE, _MACO_CONTRAST = 0.2, 1.0
_CROPS, _LEAST_CROP, _MOST_CROP, _CROP_NOISE = 4, 0.3, 0.9, 0.03
_SHIFT, _SCALE, _DEGREES = 0.06, 0.08, 6.0  # of the random moves: parts of the side, and degrees
_DIVERSITY = 0.6
_TINY = 1e-20


@dataclass(frozen=True)
class _Spectrum:
    """The images of a batch as the parameters that are optimized: (N, 3, h, w', 2), or phases (N, 3, h, w')."""

    size: Size
    magnitude: Tensor  # (h, w')
    held: bool

    @classmethod
    def of(cls, size: Size, device: torch.device, *, held: bool) -> "_Spectrum":
        rows = torch.fft.fftfreq(size.height, device=device)[:, None]
        columns = torch.fft.rfftfreq(size.width, device=device)
        frequency = (rows.square() + columns.square()).sqrt()
        magnitude = 1 / frequency.clamp_min(1 / max(size))
        if held:
            magnitude[0, 0] = 0
        return cls(size, magnitude, held)

    def start(self, count: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        shape = (count, 3, *self.magnitude.shape)
        if self.held:
            return (2 * math.pi * torch.rand(shape, generator=generator)).to(self.magnitude.device)
        return (_FOURIER_DEVIATION * torch.randn(*shape, 2, generator=generator)).to(self.magnitude.device)

    def images(self, parameters: Tensor) -> Tensor:
        """Compute the images (N, 3, *size) in [0, 1]."""
        if self.held:
            spectrum = torch.polar(self.magnitude.expand_as(parameters), parameters)
        else:
            spectrum = torch.view_as_complex(parameters) * self.magnitude
        x = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        x = x * (_MACO_CONTRAST / x.std(dim=(1, 2, 3), keepdim=True) if self.held else 1 / _FOURIER_GAIN)
        colors = torch.tensor(_COLORS, device=x.device)
        return torch.einsum("nchw,rc->nrhw", x, colors).mul(2).sigmoid()


def grow(
    network: nn.Module,
    objective: ResolvedObjective,
    method: str,
    *,
    size: Size,
    steps: int = STEPS,
    seed: int = 0,
    count: int = 1,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Grow `count` images (count, 3, *size) in [0, 1] for an objective, each unlike the others.

    network: cut off behind the objective's layers. method: "fourier" or "maco". The result depends on `seed` alone.
    """
    spectrum = _Spectrum.of(size, torch.device(device), held=method == "maco")
    parameters, moments = spectrum.start(count, seed), Adam()
    dtype = next((value.dtype for value in network.parameters()), torch.float32)
    random = torch.Generator().manual_seed(seed + 1)
    rate = _MACO_RATE if spectrum.held else _FOURIER_RATE
    for step in range(steps):
        leaf = parameters.detach().requires_grad_(True)
        with torch.enable_grad():
            seen = _views(spectrum.images(leaf), random, crops=spectrum.held)
            activations = read_activations(network, _fitting(network, seen).to(dtype))
            value = objective(activations).float().mean()
            apart = _likeness(objective, activations, count) if count > 1 else None
        (gradient,) = torch.autograd.grad(value, leaf, retain_graph=apart is not None)
        if apart is not None:
            (push,) = torch.autograd.grad(apart, leaf)
            gradient = gradient / _size(gradient) - _DIVERSITY * push / _size(push)
        # Adam divides by the gradient's own size, which has to be far above the smallest number that it adds to it.
        direction = moments.direction(gradient / _size(gradient))
        fall = 0.5 + 0.5 * math.cos(math.pi * step / steps) if spectrum.held else 1.0
        parameters = parameters.detach() + rate * max(fall, 0.1) * direction
    with torch.no_grad():
        return spectrum.images(parameters)


def _views(images: Tensor, random: torch.Generator, *, crops: bool) -> Tensor:
    """Look at the images as a whole, moved a little, or at random crops, which come first to last image by image."""
    if not crops:
        return _moved(images, 1.0, _SHIFT, _DEGREES, 1 + _SCALE * (2 * _draw(random) - 1), random)
    parts = [
        _moved(images, _LEAST_CROP + (_MOST_CROP - _LEAST_CROP) * _draw(random), 1.0, 0.0, 1.0, random)
        for _ in range(_CROPS)
    ]
    noise = torch.randn(images.shape, generator=random).to(images.device)
    return torch.cat(parts) + _CROP_NOISE * noise.repeat(_CROPS, 1, 1, 1)


def _moved(images: Tensor, part: float, reach: float, degrees: float, scale: float, random: torch.Generator) -> Tensor:
    """Take a square part of the images, at a random place within `reach`, rotated, at their own number of pixels."""
    angle = math.radians(degrees) * (2 * _draw(random) - 1)
    room = reach * (1 - part) if part < 1 else reach
    zoom = part / scale
    right, down = (room * (2 * _draw(random) - 1) for _ in range(2))
    matrix = torch.tensor(
        [
            [zoom * math.cos(angle), -zoom * math.sin(angle), right],
            [zoom * math.sin(angle), zoom * math.cos(angle), down],
        ],
        device=images.device,
    )
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)


def _draw(random: torch.Generator) -> float:
    return float(torch.rand(1, generator=random))


def _fitting(network: nn.Module, images: Tensor) -> Tensor:
    side = network.sizes.only if isinstance(network, Truncated) else None
    return images if side is None else F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def _likeness(objective: ResolvedObjective, activations: Mapping[str, Tensor], count: int) -> Tensor:
    """Compute the mean cosine between the Gram matrices of the images' features, over all pairs."""
    layer = objective.layers[0]
    x = activations[layer].float()
    x = x.reshape(x.shape[0], x.shape[1], -1)
    grams = torch.einsum("ncp,ndp->ncd", x, x).reshape(-1, count, x.shape[1] ** 2).mean(0)  # over the crops
    grams = F.normalize(grams, dim=1)
    pairs = grams @ grams.T
    return (pairs.sum() - pairs.diagonal().sum()) / (count * (count - 1))


def _size(gradient: Tensor) -> Tensor:
    dims = tuple(range(1, gradient.ndim))
    return gradient.square().mean(dim=dims, keepdim=True).sqrt().clamp_min(_TINY)
