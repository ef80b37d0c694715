"""A family of networks of another distribution works like a built-in one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvid import dream_image, load_settings
from dreamvid.cli import main
from dreamvid.errors import NetworkError
from dreamvid.networks.catalog import available_models, model_counts
from dreamvid.networks.network import load_network
from dreamvid.networks.registry import FAMILIES, families, family_of, network_fingerprint


def test_it_is_searched_behind_the_built_in_ones() -> None:
    assert families() == ("embedded", "tensorflow", "torchvision", "timm", "tiny")
    assert FAMILIES.origin("tiny") == "dreamvid-plugins 1.0"
    assert family_of("tiny4") == family_of("tiny:squeezenet1_1") == "tiny"
    assert family_of("squeezenet1_1") == family_of("torchvision:squeezenet1_1") == "torchvision"


def test_an_image_is_dreamed_with_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    fields = {"model": "tiny8", "objective": "0:3", "iterations": 3, "octaves": 1, "dream_height": 40}
    dreamed = dream_image(image, load_settings(None, **fields))
    assert np.abs(dreamed.astype(int) - image).mean() > 1
    module = FAMILIES.load("tiny").find("tiny8").build()
    x = torch.rand(1, 3, 9, 9)
    published = load_network("tiny8").truncate(["0"])(x)["0"]
    assert not torch.allclose(load_network("tiny8", "random").truncate(["0"])(x)["0"], published)
    torch.save({"state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, tmp_path / "own.pth")
    own = load_network("tiny8", str(tmp_path / "own.pth"))
    torch.testing.assert_close(own.truncate(["0"])(x)["0"], module[0](2 * x - 1))


def test_it_shows_in_lists_and_in_errors() -> None:
    assert "tiny4" in [entry.name for entry in available_models()]
    assert [entry.name for entry in available_models("tiny?")] == ["tiny4", "tiny8"]
    squeezenets = {entry.name: entry.family for entry in available_models("squeezenet1_1")}
    assert squeezenets == {"squeezenet1_1": "torchvision", "tiny:squeezenet1_1": "tiny"}
    assert model_counts()["tiny"] == 3
    with pytest.raises(NetworkError, match="Did you mean 'tiny8'"):
        load_network("tiny88")
    with pytest.raises(NetworkError, match=r"'tyni' is not a family of networks\. Did you mean 'tiny'"):
        load_network("tyni:tiny8")
    with pytest.raises(NetworkError, match=r"no layer 'four'.*dreamvid layers tiny4"):
        load_network("tiny4").table.resolve("four")


def test_the_command_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "tiny8"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["tiny8", "tiny", "embedded", "cc0"]


def test_it_is_in_the_fingerprint() -> None:
    assert network_fingerprint("tiny4") == "tiny, dreamvid-plugins 1.0, weights of 2026"
