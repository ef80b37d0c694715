"""An objective term of another distribution works like a built-in one, also without a layer of the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvid import dream_frames, dream_image, load_settings
from dreamvid.dream.objectives.binding import objective_fingerprints, resolve_objective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.term import TERMS
from dreamvid.dream.session import DreamSession
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import ObjectiveError
from dreamvid.figures.feature_visualization import feature_sheet
from dreamvid.metrics.score import ObjectiveMeter
from dreamvid.networks.network import load_network

FAST = {"iterations": 8, "octaves": 1, "dream_height": 48, "step_size": 0.05, "laplacian_levels": 0}
IMAGE = np.random.default_rng(0).integers(40, 90, (48, 64, 3), dtype=np.uint8)


def test_its_text_is_read_and_written() -> None:
    objective = parse_objective("0.5*brightness(0.7) + blocks.1.0")
    assert str(objective) == "0.5*brightness(0.7) + blocks.1.0"
    assert "brightness" in TERMS.names()
    with pytest.raises(ObjectiveError, match="a brightness from 0 to 1"):
        parse_objective("brightness(bright)")
    with pytest.raises(ObjectiveError, match=r"Did you mean 'brightness'"):
        parse_objective("brightnes(0.7)")


@pytest.mark.parametrize("value", [0.1, 0.7])
@pytest.mark.parametrize(
    "fields", [{}, {"tile": 64, "size": None}, {"precision": "bfloat16"}, {"precision": "float16"}]
)
def test_a_dream_reaches_its_brightness(value: float, fields: dict[str, object]) -> None:
    settings = load_settings(None, objective=f"brightness({value})", **FAST, **{k: v for k, v in fields.items() if v})
    dreamed = dream_image(IMAGE, settings)
    assert abs(dreamed.mean() / 255 - value) < 0.07


def test_its_gradient_is_added_to_that_of_layers() -> None:
    network = load_network()
    x = torch.rand(1, 3, 40, 48)

    def gradient(text: str) -> torch.Tensor:
        objective = resolve_objective(parse_objective(text), network)
        layers = objective.layers or ("blocks.0.0",)
        return TiledGradient(network.truncate(layers), objective, tile=1024)(x)

    brightness, layer = gradient("brightness(0.7)"), gradient("blocks.1.0")
    expected = -2 / 3 * (x.mean(dim=1, keepdim=True) - 0.7) / (40 * 48)
    torch.testing.assert_close(brightness, expected.expand_as(x))
    torch.testing.assert_close(gradient("brightness(0.7) - 2*blocks.1.0"), brightness - 2 * layer)


def test_it_dissolves_into_a_layer_and_is_followed_and_measured_and_shown() -> None:
    timeline = "brightness(0.7) | blocks.1.0 @ 0.1s"
    settings = load_settings(None, objective=timeline, **FAST, warm_iterations=1)
    assert len(list(dream_frames([IMAGE] * 4, settings, fps=30))) == 4
    session = DreamSession(load_settings(None, objective="brightness(0.7)", **FAST))
    image = torch.rand(1, 3, 24, 32)
    torch.testing.assert_close(session.density(image), -(image.mean(dim=1, keepdim=True) - 0.7).square())
    meter = ObjectiveMeter("brightness(0.7)", "efficientnet_lite2")
    assert meter.value(torch.full((1, 3, 24, 32), 0.5)) == pytest.approx(-0.04, rel=1e-5)
    assert feature_sheet(["brightness(0.7)"], size=32, iterations=1).shape == (32, 32, 3)


def test_it_is_in_the_fingerprint(tmp_path: Path) -> None:
    assert objective_fingerprints("blocks.1.0") == []
    assert objective_fingerprints("brightness(0.7)") == ["dreamvid-plugins 1.0", "the mean of the channels"]
