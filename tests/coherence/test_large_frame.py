"""Frames of very many pixels: the result is that of smaller ones, in less memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.coherence.large_frame import is_large
from dreamvid.image.strips import LARGE_PIXELS, STRIP_PIXELS
from dreamvid.image.tensors import fit, fit_pixels, reduce_pixels, resize, to_pixels, to_tensor
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size

HEIGHT, WIDTH = 1500, 2001  # two strips
assert HEIGHT * WIDTH > STRIP_PIXELS


def noise(dtype: type) -> np.ndarray:
    top = np.iinfo(dtype).max
    coarse = np.random.default_rng(0).integers(0, top + 1, (HEIGHT // 4, WIDTH // 4 + 1, 3), dtype=dtype)
    return coarse.repeat(4, axis=0).repeat(4, axis=1)[:HEIGHT, :WIDTH]


def test_strips_are_reduced_as_the_whole() -> None:
    pixels = noise(np.uint8)
    for size in (Size(96, 128), Size(700, 900), Size(HEIGHT, 64)):
        assert torch.allclose(reduce_pixels(pixels, size), resize(to_tensor(pixels), size), atol=1e-5)


def test_a_large_start_is_fitted_as_a_small_one() -> None:
    pixels = np.broadcast_to(np.arange(250, dtype=np.uint8).repeat(20)[None, :, None], (3400, 5000, 3))
    assert pixels.shape[0] * pixels.shape[1] > LARGE_PIXELS
    small = pixels[::20, ::20]
    for size in (Size(64, 48), Size(48, 64)):
        assert torch.allclose(fit_pixels(pixels, size), fit(to_tensor(small.copy()), size), atol=0.004)


@pytest.mark.parametrize(("dtype", "masked"), [(np.uint8, False), (np.uint16, True)])
def test_the_dream_of_strips_is_that_of_the_whole(dtype: type, masked: bool) -> None:
    pixels = noise(dtype)
    mask = None
    if masked:
        mask = torch.zeros(1, 1, HEIGHT, WIDTH)
        mask[..., 300:1200, 400:1700] = 0.5
    settings = load_settings(None, dream_height=48, octaves=1, iterations=2)
    dreamer = FrameDreamer(settings)
    times = {"index": 0, "elapsed_seconds": 0.04}
    whole = to_pixels(dreamer.dream(dreamer.frame(to_tensor(pixels)), None, mask=mask, **times), dtype)
    large = dreamer.large_frame(pixels)
    strips = dreamer.compose_large(large, dreamer.grow(large, None, mask=mask, **times), mask)
    assert strips.dtype == dtype
    difference = np.abs(strips.astype(int) - whole)
    assert difference.max() <= (1 if dtype == np.uint8 else 64)
    assert difference.mean() < (0.01 if dtype == np.uint8 else 4)
    assert np.abs(strips.astype(int) - pixels).mean() > np.iinfo(dtype).max / 500
    if masked:
        assert np.array_equal(strips[:300], pixels[:300])


def test_what_counts_as_large() -> None:
    side = int(LARGE_PIXELS**0.5) + 1
    assert is_large(np.broadcast_to(np.uint8(0), (side, side, 3)))
    assert not is_large(np.broadcast_to(np.uint8(0), (side, side, 4)))
    assert not is_large(np.broadcast_to(np.float32(0), (side, side, 3)))
    assert not is_large(np.zeros((20, 20, 3), np.uint8))
    assert not is_large(torch.zeros(3, 20, 20))


MEASURE = """
import numpy as np
from dreamvid import dream_image, load_settings
from dreamvid.runtime.process import peak_memory
settings = load_settings(None, dream_height=48, octaves=1, iterations=1)
dream_image(np.zeros((64, 96, 3), np.uint8), settings)
before = peak_memory()
height, width = 4100, 4200
image = np.broadcast_to(np.arange(256, dtype=np.uint8).repeat(17)[None, :width, None], (height, width, 3)).copy()
result = dream_image(image, settings)
assert result.shape == image.shape and (result != image).any()
print((peak_memory() - before) / (height * width))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read as Linux gives it")
def test_memory_is_bounded() -> None:
    """A large image takes its own pixels, those of the result, and strips of it: 17 to 26 bytes a pixel were seen.

    As floats it took 68.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 34
