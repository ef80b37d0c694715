"""Frames whose motion is known, and the settings of a small dream."""

import torch

from dreamvid.coherence.frame_dreamer import FrameDreamer

SMALL = dict(objective="blocks.2.1", dream_height=96, octaves=2, iterations=4, laplacian_levels=3, device="cpu")


def texture(height: int, width: int) -> torch.Tensor:
    noise = torch.rand(1, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(0))
    return 0.2 + 0.6 * torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


def pan(count: int, speed: int) -> list[torch.Tensor]:
    wide = texture(96, 240)
    return [wide[..., 100 - speed * i : 228 - speed * i] for i in range(count)]


def dream_all(dreamer: FrameDreamer, frames: list[torch.Tensor], start: int = 0) -> list[torch.Tensor]:
    dreamed = []
    for i, frame in enumerate(frames):
        motion = dreamer.motion(dreamer.frame(frame), dreamer.frame(frames[i - 1])) if i else None
        dreamed.append(dreamer.dream(dreamer.frame(frame), motion, index=start + i, elapsed_seconds=1 / 25))
    return dreamed
