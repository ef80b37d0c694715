import numpy as np
import pytest

from dreamvid.video.shots import find_cuts


def scene(seed: int, count: int, drift: int = 1) -> list[np.ndarray]:
    """A panned random texture: motion, but no cut."""
    random = np.random.default_rng(seed)
    color = random.integers(0, 256, (1, 1, 3))
    blocks = np.kron(random.integers(0, 120, (12, 30, 3)), np.ones((8, 8, 1)))
    image = ((blocks + color) % 256).astype(np.uint8)
    return [image[:, drift * i : drift * i + 128] for i in range(count)]


def test_no_cut_in_one_scene():
    assert find_cuts(scene(0, 40)) == []


@pytest.mark.parametrize("length", [3, 10, 25])
def test_hard_cuts_are_found_where_they_are(length):
    frames = scene(1, length) + scene(2, length) + scene(3, length)
    assert find_cuts(frames) == [length, 2 * length]


def test_a_dissolve_is_no_cut():
    first, second = scene(1, 50), scene(2, 50)
    weights = np.clip((np.arange(50) - 10) / 30, 0, 1)
    mixed = [(a * (1 - w) + b * w).astype(np.uint8) for a, b, w in zip(first, second, weights, strict=True)]
    assert find_cuts(mixed) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_frames_have_no_cut(count):
    assert find_cuts(scene(0, count)) == []
