"""A frame has the same bits on one thread and on two, so threads may change while a render runs and on resume."""

import torch
from torch import Tensor

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.settings import load_settings


def _dream(threads: int) -> list[Tensor]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        settings = load_settings(None, device="cpu", iterations=1, octaves=2, dream_height=160, warm_iterations=1)
        dreamer = FrameDreamer(settings)
        coarse = torch.rand(1, 3, 10, 14, generator=torch.Generator().manual_seed(0))
        clouds = torch.nn.functional.interpolate(coarse, (160, 220), mode="bicubic").clamp(0, 1)
        frames = [dreamer.frame(torch.roll(clouds, 3 * index, dims=3)) for index in range(3)]
        found = []
        for index, frame in enumerate(frames):
            motion = dreamer.motion(frame, frames[index - 1]) if index else None
            dreamer.dream(frame, motion, index=index, elapsed_seconds=0.05, time_seconds=0.05 * index)
            found += list(dreamer.state().values())
        return found
    finally:
        torch.set_num_threads(before)


def test_frames_have_the_same_bits_on_one_thread_and_on_two() -> None:
    one, two = _dream(1), _dream(2)
    assert len(one) > 3
    assert [torch.equal(a, b) for a, b in zip(one, two, strict=True)] == [True] * len(one)
