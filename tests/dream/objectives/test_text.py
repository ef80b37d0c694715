"""Texts and images as objectives, with a small random CLIP of open_clip's own classes."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvid import dream_frames, dream_image, load_settings
from dreamvid.dream.objectives.binding import encoder_loader, layer_network, resolve_objective
from dreamvid.dream.objectives.objective import ResolvedObjective
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import NetworkError, ObjectiveError
from dreamvid.image.io import write_image
from dreamvid.networks.clip import Clip, load_clip
from dreamvid.networks.network import load_network

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
RANDOM = {"text_model": "dreamvid-tiny", "text_weights": "random"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Make the model known to open_clip; load it."""
    import open_clip

    path = tmp_path_factory.mktemp("clip") / "dreamvid-tiny.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)
    return load_clip("dreamvid-tiny", "random")


def bound(text: str) -> ResolvedObjective:
    settings = load_settings(None, **RANDOM)
    encoder = encoder_loader(settings.network, "cpu")
    return resolve_objective(parse_objective(text), load_network(), encoder=encoder)


def test_text_round_trip_and_mistakes() -> None:
    text = 'text("a cathedral of coral; at night") - 0.5*like("photo.jpg") + 0.1*blocks.2.1'
    assert str(parse_objective(text)) == text
    with pytest.raises(ObjectiveError, match="a text in double quotes"):
        parse_objective("text(coral)")
    with pytest.raises(ObjectiveError, match="after the image's file"):
        parse_objective('like("photo.jpg"')


@pytest.mark.extra("open_clip")
def test_the_gradient_leads_to_the_text_and_a_negative_weight_away_from_it(tiny: Clip) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 48, 64)
    for sign in ("", "-"):
        objective = bound(f'{sign}text("a red dog")')
        gradient = TiledGradient(layer_network(load_network(), objective.layers), objective, tile=1024)
        x = image
        for _ in range(8):
            step = gradient(x)
            x = (x + 0.01 * step / step.abs().mean()).clamp(0, 1)
        before, after = (float(bound('text("a red dog")')({"<image>": one})) for one in (image, x))
        assert (after - before) * (-1 if sign else 1) > 0.05


@pytest.mark.extra("open_clip")
def test_crops_cover_the_image(tiny: Clip) -> None:
    ((_, term),) = bound('text("coral")').terms
    small, wide = torch.rand(2, 3, 20, 20), torch.rand(2, 3, 40, 90)
    assert term.density({"<image>": small}).shape == (2, 1, 1, 1)
    density = term.density({"<image>": wide})
    assert density.shape == (2, 1, 2, 4)
    whole = tiny.images(torch.nn.functional.interpolate(wide, (32, 32), mode="bilinear", antialias=True))
    corner = tiny.images(wide[:, :, :32, :32])
    expected = (whole + corner) @ tiny.text("coral") / 2
    torch.testing.assert_close(density[:, 0, 0, 0], expected)


@pytest.mark.extra("open_clip")
def test_an_image_is_most_like_itself(tiny: Clip, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    write_image(tmp_path / "photo.png", pixels)
    ((_, term),) = bound(f'like("{tmp_path / "photo.png"}")').terms
    image = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
    assert float(term.density({"<image>": image})) == pytest.approx(1, abs=1e-4)
    assert float(term.density({"<image>": 1 - image})) < 0.99
    hashed = parse_objective(f'like("{tmp_path / "photo.png"}")').terms[0][1].fingerprint()
    write_image(tmp_path / "photo.png", 255 - pixels)
    assert parse_objective(f'like("{tmp_path / "photo.png"}")').terms[0][1].fingerprint() != hashed


@pytest.mark.extra("open_clip")
def test_a_film_goes_from_one_text_to_another_beside_a_layer(tiny: Clip) -> None:
    frames = list(np.random.default_rng(0).integers(60, 200, (3, 40, 56, 3), dtype=np.uint8))
    objective = '0.2*text("dog") + blocks.1.0 | 0.2*text("coral") + blocks.1.0 @ 1s'
    settings = load_settings(None, objective=objective, iterations=2, octaves=1, warm_iterations=1, **RANDOM)
    for before, after in zip(frames, dream_frames(frames, settings, fps=2), strict=True):
        assert np.abs(after.astype(int) - before).mean() > 1


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(NetworkError, match=r"pip install 'dreamvid\[text\]'"):
        load_clip("RN50:openai", None)


@pytest.mark.extra("open_clip")
def test_offline_the_error_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NetworkError, match=r"Download open_clip_model\.safetensors .*`text_weights=FILE`"):
        load_clip("ViT-B-32-256:datacomp_s34b_b86k", None)


@pytest.mark.extra("open_clip")
def test_wrong_names_and_files(tiny: Clip, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"no model 'RN50x5'.*Did you mean.*RN50x4.*MODEL:WEIGHTS"):
        load_clip("RN50x5:openai", None)
    with pytest.raises(NetworkError, match=r"RN50 has no weights 'opnai'.*openai"):
        load_clip("RN50:opnai", None)
    torch.save({"visual.proj": torch.zeros(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(NetworkError, match="not those of the `text_model`"):
        load_clip("dreamvid-tiny", str(tmp_path / "other.pt"))


@pytest.mark.extra("open_clip")
@pytest.mark.skipif("DREAMVID_CLIP_WEIGHTS" not in os.environ, reason="set DREAMVID_CLIP_WEIGHTS=MODEL:TAG[@FILE]")
def test_a_dream_of_a_dog_is_a_dog() -> None:
    model, _, file = os.environ["DREAMVID_CLIP_WEIGHTS"].partition("@")
    settings = load_settings(
        None, text_model=model, text_weights=file or None, objective='text("a dog")', dream_height=256, iterations=30
    )
    noise = np.random.default_rng(0).integers(100, 156, (256, 256, 3), dtype=np.uint8)
    dreamed = torch.tensor(dream_image(noise, settings)).permute(2, 0, 1)[None] / 255
    encoder = load_clip(model, file or None)
    seen = encoder.images(torch.nn.functional.interpolate(dreamed, (encoder.side, encoder.side), mode="bilinear"))
    others = ("cat", "car", "house", "flower", "bird", "fish", "tree", "boat", "face", "mountain")
    found = {name: float(seen @ encoder.text(f"a {name}")) for name in ("dog", *others)}
    assert max(found, key=found.__getitem__) == "dog"
