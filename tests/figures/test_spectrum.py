"""Features shown by spectra: magnitude held, phase held apart, several images unlike one another."""

import numpy as np
import pytest
import torch
from torch import nn

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.errors import InputError
from dreamvid.figures.feature_page import feature_page
from dreamvid.figures.feature_visualization import feature_images
from dreamvid.figures.spectrum import _Spectrum, grow
from dreamvid.networks.network import Network
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size

SIZE = Size(40, 48)


def network() -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.Softplus(), nn.Conv2d(6, 4, 3, padding=1))
    return Network("tiny", module, input_size=32)


@pytest.mark.parametrize("method", ["fourier", "maco"])
def test_the_objective_rises_and_the_seed_decides(method: str) -> None:
    net = network()
    objective = parse_objective("2").resolve(net.table)
    module = net.truncate(objective.layers)
    start, image = (grow(module, objective, method, size=SIZE, steps=steps, seed=3) for steps in (0, 24))
    assert image.shape == (1, 3, *SIZE)
    assert 0 <= float(image.min()) < float(image.max()) <= 1
    assert objective(module(image)) > 1.01 * objective(module(start))
    assert torch.equal(image, grow(module, objective, method, size=SIZE, steps=24, seed=3))


def test_maco_holds_the_magnitude_of_natural_images() -> None:
    spectrum = _Spectrum.of(SIZE, torch.device("cpu"), held=True)
    phases = spectrum.start(1, 0)
    colors = torch.logit(spectrum.images(phases)) / 2
    decorrelated = torch.linalg.solve(
        torch.tensor([[0.5628, 0.1948, 0.0433], [0.5845, 0.0, -0.1082], [0.5845, -0.1948, 0.0649]]),
        colors[0].flatten(1),
    ).view(3, *SIZE)
    found = torch.fft.rfft2(decorrelated).abs()[:, 1:12, 1:20]  # away from columns that are their own mirror
    ratio = found / spectrum.magnitude[1:12, 1:20]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-2, atol=0)


def test_several_images_differ_more_than_those_of_other_seeds() -> None:
    net = network()
    objective = parse_objective("1").resolve(net.table)
    module = net.truncate(objective.layers)

    def likeness(images: torch.Tensor) -> float:
        x = module(images)["1"].flatten(2)
        grams = nn.functional.normalize(torch.einsum("ncp,ndp->ncd", x, x).flatten(1), dim=1)
        return float((grams @ grams.T)[0, 1])

    alone = torch.cat([grow(module, objective, "fourier", size=SIZE, steps=20, seed=seed) for seed in (0, 1)])
    together = grow(module, objective, "fourier", size=SIZE, steps=20, seed=0, count=2)
    assert likeness(together) < likeness(alone)


def test_diversity_is_refused_where_it_means_nothing() -> None:
    with pytest.raises(InputError, match=r"`diversity` above 1 needs `method=fourier`"):
        feature_images(["blocks.1.0:1"], load_settings(None), diversity=2)
    with pytest.raises(InputError, match="allowed is from 1 to 16"):
        feature_images(["blocks.1.0:1"], load_settings(None), method="maco", diversity=17)


def test_the_page_is_one_file_without_addresses() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    page = feature_page([(image, "a:1"), (image, 'class:"<b>"')], "a <title>")
    assert page.count("<figure>") == 2
    assert "class:&quot;&lt;b&gt;&quot;" in page
    assert "a &lt;title&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "//" not in page
