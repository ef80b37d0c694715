"""A dissolve from picture to picture: the new one is dreamed as if it had come alone."""

import torch
from test_frames import SMALL, dream_all, texture

from dreamvid.pipeline.frames import FrameDreamer
from dreamvid.settings import load_settings


def likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation of two residuals."""
    return float(torch.corrcoef(torch.stack((a.flatten(), b.flatten())))[0, 1])


def test_the_old_dream_is_gone_when_the_dissolve_is_over():
    old = torch.nn.functional.interpolate(texture(12, 18)[..., :8, :12], (96, 128), mode="bicubic").clamp(0, 1)
    new = old.flip(3).flip(2)
    mixed = [(1 - share) * old + share * new for share in torch.linspace(0, 1, 12)]
    settings = load_settings(None, half_life_seconds=60.0, warm_iterations=0, **SMALL)
    dissolved, stayed = FrameDreamer(settings), FrameDreamer(settings)
    first = dream_all(dissolved, [old])[0] - old
    last = dream_all(dissolved, [old, *mixed, new, new, new])[-1] - new
    still = dream_all(stayed, [old] * 15)[-1] - old
    assert likeness(still, first) > 0.9, "without a dissolve the dream stays"
    assert last.abs().mean() < 0.3 * first.abs().mean(), "with it, next to nothing of it is left"
