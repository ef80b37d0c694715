"""Hosts such as ComfyUI call everything inside `torch.inference_mode()`."""

import numpy as np
import pytest
import torch
from PIL import Image

from dreamvid import Dreamer, dream_frames, dream_image, load_settings, zoom_frames
from dreamvid.dream.objectives.binding import resolve_objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.networks.network import load_network

FAST = {"iterations": 2, "octaves": 2, "dream_height": 48, "warm_iterations": 1}
FRAMES = [np.roll(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8), 2 * i, 1) for i in range(4)]


@pytest.mark.parametrize("fields", [{}, {"optimizer": "adam"}, {"total_variation": 0.2}, {"tile": 64}])
def test_an_image_is_dreamed_as_outside(fields: dict[str, object]) -> None:
    settings = load_settings("animals", **FAST, **fields)
    expected = dream_image(FRAMES[0], settings)
    with torch.inference_mode():
        np.testing.assert_array_equal(dream_image(FRAMES[0], settings), expected)
        tensor = torch.from_numpy(FRAMES[0]).permute(2, 0, 1) / 255
        assert tensor.is_inference()
        dreamed = dream_image(tensor, settings)
    assert (dreamed.mul(255).round().permute(1, 2, 0).byte().numpy() == expected).mean() > 0.99


def test_frames_are_dreamed_as_outside() -> None:
    settings = load_settings("animals", **FAST, cadence=2)
    expected = list(dream_frames(FRAMES, settings))
    with torch.inference_mode():
        found = list(dream_frames(FRAMES, settings))
    np.testing.assert_array_equal(found, expected)


def test_a_dreamer_goes_in_and_out_of_inference_mode() -> None:
    settings = load_settings("animals", **FAST)
    expected = [dreamer.dream(frame) for dreamer in [Dreamer(settings)] for frame in FRAMES]
    for first_mode in (True, False):
        with torch.inference_mode(first_mode):
            dreamer = Dreamer(settings)
        for index, frame in enumerate(FRAMES):
            with torch.inference_mode((index % 2 == 0) == first_mode):
                np.testing.assert_array_equal(dreamer.dream(frame), expected[index])


def test_an_animation_is_dreamed_as_outside() -> None:
    settings = load_settings("infinite-zoom", **{k: v for k, v in FAST.items() if k != "warm_iterations"}, size="64x48")
    expected = list(zoom_frames(FRAMES[0], settings, 3))
    with torch.inference_mode():
        np.testing.assert_array_equal(list(zoom_frames(FRAMES[0], settings, 3)), expected)


@pytest.mark.parametrize("grad_mode", [True, False])
def test_a_guide_that_is_read_inside_and_the_grad_mode_of_the_host(grad_mode: bool, tmp_path) -> None:
    Image.fromarray(FRAMES[0]).save(tmp_path / "guide.png")
    text = f'guide("{tmp_path / "guide.png"}")@blocks.1.0 + blocks.2.0'
    x = torch.rand(1, 3, 48, 48)

    def gradient() -> torch.Tensor:
        network = load_network()
        objective = resolve_objective(parse_objective(text), network)
        return TiledGradient(network.truncate(objective.layers), objective, tile=1024)(x)

    with torch.set_grad_enabled(grad_mode):
        expected = gradient()
        assert not expected.requires_grad
        with torch.inference_mode():
            found = gradient()
            assert torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled() == grad_mode
    assert torch.equal(found, expected)
