"""A dissolve from image to image: the old one takes its dream along."""

import torch
import torch.nn.functional as F
from known_motion import SMALL, dream_all

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.settings import load_settings


def likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation of two residuals."""
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


def landscape(seed: int) -> torch.Tensor:
    """Large shapes under fine texture, (1, 3, 96, 128)."""
    generator = torch.Generator().manual_seed(seed)
    large, fine = (
        F.interpolate(torch.rand(1, 3, *size, generator=generator), (96, 128), mode="bicubic")
        for size in ((3, 4), (16, 20))
    )
    return (0.5 * large + 0.5 * fine).clamp(0, 1)


def test_most_of_the_old_dream_is_gone_when_the_dissolve_is_over():
    old, new = landscape(1), landscape(2)
    mixed = [(1 - share) * old + share * new for share in torch.linspace(0, 1, 12)]
    settings = load_settings(None, half_life_seconds=60.0, warm_iterations=0, disocclusion_iterations=0, **SMALL)
    dissolved, stayed = FrameDreamer(settings), FrameDreamer(settings)
    first = dream_all(dissolved, [old])[0] - old
    last = dream_all(dissolved, [old, *mixed, new, new, new])[-1] - new
    still = dream_all(stayed, [old] * 15)[-1] - old
    assert likeness(still, first) > 0.9, "without a dissolve the dream stays"
    assert last.abs().mean() < 0.5 * first.abs().mean(), "with it, less than half of it is left"
