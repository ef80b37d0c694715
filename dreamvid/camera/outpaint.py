"""Fills pixels that enter from outside the frame with texture synthesized from the image."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MARGIN = 32  # pixels between one border of the image and the opposite one where it is convolved with a kernel


def outpaint(image: Tensor, moved: Tensor, beyond: Tensor, inside: Tensor, seed: int | tuple[int, ...]) -> Tensor:
    """Fill the pixels that a move brought in from outside `image` (1, 3, H, W): not black, mirrored or streaked.

    moved: the image after the move, with its border pixels repeated outside. beyond: distance of each pixel from the
    image in pixels, (1, 1, H, W), 0 inside. inside: 1 where `moved` is kept.

    At a distance d, a wave of k radians per pixel along the border keeps exp(-k d) of its amplitude, as in images
    whose power falls with the square of the frequency, which are most. A random texture with the image's mean, colors
    and spectrum replaces the rest. Over many frames large shapes continue far and fine ones end soon; repeating the
    border alone would make streaks.
    """
    mean = image.mean(dim=(2, 3), keepdim=True)
    old = torch.fft.rfft2(F.pad(moved - mean, (_MARGIN,) * 4, mode="replicate"))
    fresh = _texture_spectrum(image - mean, seed)
    height, width = moved.shape[2] + 2 * _MARGIN, moved.shape[3] + 2 * _MARGIN
    frequency = torch.hypot(
        math.tau * torch.fft.fftfreq(height, device=moved.device)[:, None],
        math.tau * torch.fft.rfftfreq(width, device=moved.device)[None, :],
    ).clamp_min(math.tau / min(moved.shape[2:]))
    filled = moved - mean
    # One filter per distance of 1, 2, 4, …; pixels between two of them get a mixture.
    level = torch.log2(beyond.clamp(1.0, 2.0 * max(moved.shape[2:])))
    for number in range(math.ceil(float(level.max())) + 1):
        kept = torch.exp(-frequency * 2.0**number)
        spectrum = kept * old + (1 - kept.square()).sqrt() * fresh
        ring = torch.fft.irfft2(spectrum, s=(height, width))[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        filled = torch.lerp(filled, ring, (level - number + 1).clamp(0, 1))
    return inside * moved + (1 - inside) * (mean + filled)


def _texture_spectrum(deviation: Tensor, seed: int | tuple[int, ...]) -> Tensor:
    """Compute the spectrum of a random-phase texture of an image without its mean (Galerne, Gousseau & Morel 2011).

    White noise is convolved with the image; all channels get the same noise, so that colors stay together. A window
    removes the jump from one border to the opposite one. The texture is larger than the image by the margin.
    """
    window = torch.outer(_hann(deviation.shape[2]), _hann(deviation.shape[3])).float().to(deviation.device)
    padded = F.pad(deviation * window / window.square().sum(dim=-1).sum().sqrt(), (_MARGIN,) * 4)
    noise = np.random.default_rng(seed).standard_normal(tuple(padded.shape[2:]), dtype=np.float32)
    spectrum: Tensor = torch.fft.rfft2(padded) * torch.fft.rfft2(torch.from_numpy(noise).to(deviation))
    spectrum[..., 0, 0] = 0
    return spectrum


def _hann(size: int) -> Tensor:
    return torch.hann_window(size + 1, dtype=torch.float64)[1:] if size > 1 else torch.ones(1)
