"""What lies outside of an image: never black, never its mirror image, no streaks."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_MARGIN = 32  # pixels between one border of the image and the other where it is folded with a kernel


def outpaint(image: Tensor, moved: Tensor, beyond: Tensor, inside: Tensor, seed: int | tuple[int, ...]) -> Tensor:
    """Fill what a move brought in from outside of `image` (1, 3, H, W).

    moved: the image after the move, its border pixels drawn out. beyond: how many pixels outside a place lies,
    (1, 1, H, W), 0 inside. inside: 1 where `moved` is kept.

    At a distance d a wave of k radians per pixel along the border still has exp(-k d) of its height, as in an image
    whose power falls with the square of the frequency, like most; what it lost is made up by a fresh texture with the
    image's mean, colors and spectrum. Ring added to ring over many frames, large shapes go on far and fine ones end
    soon, where drawing out the border alone would make streaks.
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
    # One filter per distance of 1, 2, 4, …; places between two of them get some of both.
    level = torch.log2(beyond.clamp(1.0, 2.0 * max(moved.shape[2:])))
    for number in range(math.ceil(float(level.max())) + 1):
        kept = torch.exp(-frequency * 2.0**number)
        spectrum = kept * old + (1 - kept.square()).sqrt() * fresh
        ring = torch.fft.irfft2(spectrum, s=(height, width))[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        filled = torch.lerp(filled, ring, (level - number + 1).clamp(0, 1))
    return inside * moved + (1 - inside) * (mean + filled)


def _texture_spectrum(deviation: Tensor, seed: int | tuple[int, ...]) -> Tensor:
    """Spectrum of a random-phase texture of an image without its mean (Galerne, Gousseau & Morel 2011).

    White noise is folded with the image; all channels get the same noise, so that colors stay together. A window
    keeps the jump from one border to the other out of it. The texture is larger than the image by the margin.
    """
    window = torch.outer(_hann(deviation.shape[2]), _hann(deviation.shape[3])).float().to(deviation.device)
    padded = F.pad(deviation * window / window.square().sum().sqrt(), (_MARGIN,) * 4)
    noise = np.random.default_rng(seed).standard_normal(tuple(padded.shape[2:]), dtype=np.float32)
    spectrum: Tensor = torch.fft.rfft2(padded) * torch.fft.rfft2(torch.from_numpy(noise).to(deviation))
    spectrum[..., 0, 0] = 0
    return spectrum


def _hann(size: int) -> Tensor:
    return torch.hann_window(size + 1, dtype=torch.float64)[1:] if size > 1 else torch.ones(1)
