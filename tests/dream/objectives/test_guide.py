"""Guided dreams, against a transcription of the Caffe notebook's `objective_guide`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.dream.objectives.binding import LARGEST_SIDE, resolve_objective
from dreamvid.dream.objectives.layers import LayerTerm
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.objectives.terms import guide as guide_term
from dreamvid.dream.objectives.terms.guide import GuideTerm
from dreamvid.errors import NetworkError, ObjectiveError, SourceError
from dreamvid.image.io import write_image
from dreamvid.metrics.score import ObjectiveMeter
from dreamvid.networks.network import Network
from dreamvid.render.fingerprint import diff_fingerprints, render_fingerprint
from dreamvid.settings import load_settings
from dreamvid.settings.objective_timeline import parse_timeline
from dreamvid.video.sink import open_sink


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.Tanh(), nn.Conv2d(6, 5, 3), nn.AdaptiveAvgPool2d(1))
    return Network("tiny", module)


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (21, 26, 3), dtype=np.uint8)
    write_image("my flowers.png", image)
    write_image("other.png", 255 - image)
    return image


def test_the_gradient_in_the_layer_is_the_caffe_notebooks(network: Network, guide: np.ndarray) -> None:
    layer = network.truncate(["2"])
    y = layer(torch.from_numpy(guide).permute(2, 0, 1)[None] / 255)["2"][0].detach().numpy()
    x = layer(torch.rand(1, 3, 31, 24))["2"].detach().requires_grad_()
    bound = resolve_objective(parse_objective('guide("my flowers.png")@2'), network)
    (gradient,) = torch.autograd.grad(bound({"2": x}).sum(), x)

    ch, positions = x.shape[1], x.shape[2] * x.shape[3]
    a, b = x[0].detach().numpy().reshape(ch, -1), y.reshape(ch, -1)
    matches = a.T.dot(b)
    diff = b[:, matches.argmax(1)].reshape(x.shape)
    np.testing.assert_allclose(gradient.numpy() * ch * positions, diff, rtol=1e-4, atol=1e-6)
    assert bound({"2": x}).item() == pytest.approx(matches.max(1).mean() / ch, rel=1e-5)


def test_matching_in_pieces_is_the_same(network: Network, guide: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    activations = network.truncate(["0"])(torch.rand(2, 3, 30, 20))
    bound = resolve_objective(parse_objective('guide("my flowers.png")@0'), network)
    whole = bound.density(activations)
    monkeypatch.setattr(guide_term, "_MAX_PRODUCTS", 1000)
    assert torch.equal(bound.density(activations), whole)
    assert whole.shape == (2, 1, 14, 9)
    torch.testing.assert_close(whole.mean((1, 2, 3)), bound(activations))


def test_guides_add_up_with_weights(network: Network, guide: np.ndarray) -> None:
    parts = ['guide("my flowers.png")@2', 'guide("other.png")@0', "2:1"]
    activations = network.truncate(["0", "2"])(torch.rand(1, 3, 30, 20))
    values = [resolve_objective(parse_objective(part), network)(activations) for part in parts]
    whole = resolve_objective(parse_objective(f"2*{parts[0]} - 0.5*{parts[1]} + {parts[2]}"), network)
    assert whole.layers == ("2", "0")
    torch.testing.assert_close(whole(activations), 2 * values[0] - 0.5 * values[1] + values[2])


def test_a_guide_is_read_and_written() -> None:
    text = '0.5*guide("a b.jpg")@blocks.4.1 + blocks.3.2:4'
    objective = parse_objective(text)
    assert str(objective) == text
    assert objective.terms[0][1] == GuideTerm("a b.jpg", "blocks.4.1")
    assert objective.terms[1][1] == LayerTerm("blocks.3.2", (4,))
    assert parse_objective('guide ( "a" ) @ b').terms[0][1] == GuideTerm("a", "b")
    assert parse_objective("guide + class:3").terms[0][1] == LayerTerm("guide")
    first, second = parse_timeline(f"{text} | blocks.4.1 @ 5s").keyframes
    assert (first.objective, second.time_seconds) == (text, 5)


@pytest.mark.parametrize(
    "text", ["guide()@a", "guide(flowers.jpg)@a", 'guide("a.jpg")', 'guide("a.jpg"@b', 'guide("a")@']
)
def test_a_guide_that_is_not_understood_shows_its_place(text: str) -> None:
    with pytest.raises(ObjectiveError, match=r"Expected .*(guide|layer)"):
        parse_objective(text)


def test_missing_guides_and_layers_are_named(network: Network, guide: np.ndarray) -> None:
    with pytest.raises(SourceError, match=r"no such image: absent.jpg"):
        resolve_objective(parse_objective('guide("absent.jpg")@2'), network)
    with pytest.raises(NetworkError, match="no layer 'nine'"):
        resolve_objective(parse_objective('guide("other.png")@nine'), network)


def test_a_large_guide_is_shrunk(network: Network, tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", np.zeros((100, 2 * LARGEST_SIDE, 3), np.uint8))
    bound = resolve_objective(parse_objective(f'guide("{tmp_path}/large.png")@0'), network)
    assert bound.terms[0][1].features.shape[1] == ((LARGEST_SIDE - 3) // 2 + 1) * ((50 - 3) // 2 + 1)


def test_a_dream_moves_toward_its_guide(guide: np.ndarray) -> None:
    settings = load_settings(
        objective='guide("my flowers.png")@blocks.1.0', octaves=1, iterations=3, device="cpu", precision="float32"
    )
    dreamer = FrameDreamer(settings)
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(2))
    dreamed = dreamer.dream(dreamer.frame(image), None, index=0, elapsed_seconds=0)
    meter = ObjectiveMeter.from_settings(settings)
    assert meter.value(dreamed) > meter.value(image)


def test_another_guide_of_the_same_name_is_another_render(tmp_path: Path) -> None:
    guide = tmp_path / "guide.png"
    settings = load_settings(None, objective=f'blocks.1.0 | guide("{guide}")@blocks.1.0 @ 2s')
    seen = []
    for level in (10, 200, 10):
        write_image(guide, np.full((8, 8, 3), level, np.uint8))
        seen.append(render_fingerprint(settings, {}, open_sink("a.mp4"), torch.device("cpu")))
    assert seen[0] == seen[2]
    assert diff_fingerprints(seen[0], seen[1]) == ["the content of the guides has changed"]
