"""Networks are loaded in one thread while others dream, as in a server."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dreamvid import dream_image, load_settings
from dreamvid.networks.network import Network, load_network

ROUNDS = 100


@pytest.fixture(autouse=True)
def restless_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Tiny(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
        self.scale = nn.Parameter(torch.rand(1, generator=generator))
        for parameter in self.layers.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.layers(x)) * self.scale


def gradient(module: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(module(x)["layers"].square().mean(), x)[0]


def while_networks_are_loaded(work: Callable[[], None], load: Callable[[], object]) -> int:
    """Do the work in this thread for as long as another loads `ROUNDS` networks; return how often it was done."""
    count = 0
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(lambda: [load() for _ in range(ROUNDS)])
        while not loading.done():
            work()
            count += 1
        loading.result()
    return count


def test_a_dream_goes_on_while_networks_are_traced() -> None:
    truncated = Network("tiny", Tiny()).truncate(["layers"])
    x = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    expected = gradient(truncated, x)

    def dream() -> None:
        assert torch.equal(gradient(truncated, x), expected)

    assert while_networks_are_loaded(dream, lambda: Network("other", Tiny(1))) > 10


def test_a_network_of_the_host_runs_while_others_are_traced() -> None:
    module, x = Tiny(), torch.rand(1, 3, 9, 9)
    expected = module(x)

    def run() -> None:
        assert torch.equal(module(x), expected)

    assert while_networks_are_loaded(run, lambda: Network("other", Tiny(1))) > 10


def test_networks_that_are_traced_at_the_same_time_are_right_and_leave_nothing_behind() -> None:
    call, attribute = nn.Module.__call__, nn.Module.__getattr__
    x = torch.rand(1, 3, 9, 9)

    def traced(seed: int) -> bool:
        module = Tiny(seed % 5)
        activation = Network("tiny", module).truncate(["layers"])(x)["layers"]
        return torch.allclose(activation, module.layers(x), atol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(traced, range(ROUNDS)))
    assert nn.Module.__call__ is call
    assert nn.Module.__getattr__ is attribute


def test_random_networks_that_are_loaded_at_the_same_time_are_the_same() -> None:
    x = torch.rand(1, 3, 32, 32)
    names = ["squeezenet1_1", "resnet18", "squeezenet1_1"]
    layers = {"squeezenet1_1": "features.3", "resnet18": "layer1"}

    def activation(name: str) -> Tensor:
        return load_network(name, "random").truncate([layers[name]])(x)[layers[name]]

    expected = {name: activation(name) for name in layers}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(activation, names))
    assert all(torch.equal(value, expected[name]) for name, value in zip(names, found, strict=True))


def test_images_are_dreamed_in_several_threads() -> None:
    settings = load_settings("animals", iterations=1, octaves=1, dream_height=32)
    images = [np.random.default_rng(seed).integers(0, 256, (32, 40, 3), dtype=np.uint8) for seed in range(4)]
    expected = [dream_image(image, settings) for image in images]
    together = threading.Barrier(2)

    def dream(image: np.ndarray) -> np.ndarray:
        together.wait()
        return dream_image(image, settings)

    with ThreadPoolExecutor(2) as pool:
        for image, before in zip(pool.map(dream, images), expected, strict=True):
            np.testing.assert_array_equal(image, before)
