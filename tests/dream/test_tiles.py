import subprocess
import sys

import pytest
import torch
from torch import nn

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient, read_activations
from dreamvid.errors import DeviceError
from dreamvid.networks.network import Network, load_network


def small_network() -> Network:
    """Three 3×3 convolutions, stride 2 in all, receptive field 9: everything about it is known."""
    torch.manual_seed(0)
    first, second, third = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 4, 3, padding=1)
    body = nn.Sequential(first, nn.ReLU(), second, nn.Tanh(), third)
    return Network("small", body)


def make(tile: int, halo: int = 16) -> TiledGradient:
    network = small_network()
    objective = parse_objective("4").resolve(network.table)
    return TiledGradient(network.truncate(objective.layers), objective, tile=tile, halo=halo)


def test_tiles_with_halo_equal_the_whole_frame():
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    whole = make(tile=4096)(image)
    tiled = make(tile=64)(image)  # 2 × 2 tiles of 48 × 64, and 16 pixels around
    # Each tile's objective is a mean over its own positions, halo included.
    tiled = tiled * ((48 + 32) * (64 + 32)) / (96 * 128)
    inside = (slice(None), slice(None), slice(16, -16), slice(16, -16))
    error = (tiled[inside] - whole[inside]).abs().max() / whole[inside].abs().max()
    assert error < 1e-5


def test_tiles_without_halo_differ_only_at_their_edges():
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    whole = make(tile=4096)(image)
    tiled = make(tile=64, halo=0)(image) * (48 * 64) / (96 * 128)
    off = (tiled - whole).abs().amax(dim=(0, 1)) / whole.abs().max()
    assert off[16:32, 16:48].max() < 1e-5
    assert off[44:52, 16:112].max() > 1e-3


@pytest.mark.parametrize(("count", "batches"), [(1, [1]), (2, [4]), (5, [1, 4]), (7, [4, 4]), (9, [1, 4, 4])])
def test_a_batch_of_images_has_their_gradients_in_few_shapes(count, batches):
    images = torch.rand(count, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    gradient = make(tile=512)
    together = gradient.of_batch(images)
    assert sorted(shape[0] for shape in gradient.evaluated.elements()) == batches
    alone = torch.cat([make(tile=512)(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-6 * float(alone.abs().max()), rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["blocks.4.1", "blocks.2.2:0-9,12", "0.5*blocks.3.2 - 0.2*blocks.4.1:3", "blocks.3.2:strongest(8)"],
)
def test_gradients_that_are_recorded_have_the_bits_of_the_first_call(text):
    network = load_network(device="cpu")
    objective = parse_objective(text).resolve(network.table)
    module = network.truncate(objective.layers)
    gradient = TiledGradient(module, objective, tile=512)
    generator = torch.Generator().manual_seed(1)
    before = torch.get_num_threads()
    for size in ((1, 92, 164), (3, 80, 80)) * 5:
        images = torch.rand(size[0], 3, *size[1:], generator=generator)
        x = images.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(objective(read_activations(module, x)).sum(), x)
        found = gradient(images) if len(images) == 1 else gradient.of_batch(images)
        assert torch.equal(found, wanted)
        torch.set_num_threads(3 - min(2, torch.get_num_threads()))  # 1 and 2 in turn
    torch.set_num_threads(before)
    (recorded,) = gradient._replays.values()
    assert recorded._works is True  # 2 sizes, of which all but 2 calls each were replayed


def test_a_recorded_gradient_follows_a_change_of_the_objective():
    network = load_network(device="cpu")
    first, second = (parse_objective(text).resolve(network.table) for text in ("blocks.4.1:3", "blocks.4.1:7"))
    gradient = TiledGradient(network.truncate(["blocks.4.1"]), first, tile=512)
    image = torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(1))
    of_first = [gradient(image) for _ in range(4)][-1]
    gradient.objectives = ((second, 1.0),)
    of_second = [gradient(image) for _ in range(4)]
    fresh = TiledGradient(network.truncate(["blocks.4.1"]), second, tile=512)(image)
    assert all(torch.equal(found, fresh) for found in of_second)
    assert not torch.equal(of_first, fresh)
    gradient.objectives = ((first, 0.5), (second, 0.5))
    mixed = gradient(image)
    gradient.objectives = ((first, 1.0),)
    assert torch.equal(gradient(image), of_first)
    assert not torch.equal(mixed, of_first)


@pytest.mark.parametrize("shift", [(0, 0), (6, 10), (95, 127)])
def test_a_shift_is_undone(shift):
    """Away from the border, which lies elsewhere in the rolled image, a shift by whole strides changes nothing."""
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(2))
    gradient = make(tile=4096)
    reference, shifted = gradient(image), gradient(image, (shift[0] // 2 * 2, shift[1] // 2 * 2))
    close = (reference - shifted).abs().amax(dim=(0, 1)) < 1e-5 * reference.abs().max()
    assert close.float().mean() > 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (65, 33), (129, 130)])
def test_any_size(size):
    gradient = make(tile=64)(torch.rand(1, 3, *size), (3, 5))
    assert gradient.shape == (1, 3, *size)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


class Narrow(nn.Module):
    """A network on a device that holds images of `limit` pixels."""

    def __init__(self, inner: nn.Module, limit: int) -> None:
        super().__init__()
        self.inner, self.limit = inner, limit

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        if x.numel() // 3 > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(x)


def test_out_of_memory_halves_the_tile_with_a_warning():
    gradient = make(tile=1024)
    gradient.network = Narrow(gradient.network, 200 * 200)
    image = torch.rand(1, 3, 300, 400)
    with pytest.warns(UserWarning, match=r"`tile=100`"):
        result = gradient(image)
    torch.testing.assert_close(result, make(tile=100)(image))


def test_out_of_memory_at_the_smallest_tile_says_what_to_do():
    gradient = make(tile=256)
    gradient.network = Narrow(gradient.network, 10)
    with pytest.warns(UserWarning, match="tiles of"), pytest.raises(DeviceError, match="`dream_height`"):
        gradient(torch.rand(1, 3, 300, 400))


MEMORY = """
import torch
from dreamvid.settings import load_settings
from dreamvid import Dreamer
from dreamvid.runtime.process import peak_memory
torch.set_num_threads(1)
small = load_settings(None, dream_height=64, octaves=1, iterations=1, device="cpu")
Dreamer(small).dream(torch.rand(3, 64, 96))
before = peak_memory()
large = load_settings(None, dream_height=2160, octaves=1, iterations=1, tile=512, device="cpu")
Dreamer(large).dream(torch.rand(3, 2160, 3840))
print((peak_memory() - before) / 2**30)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is not read there")
def test_a_4k_frame_dreamed_at_4k_takes_less_than_4_gigabytes():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 4.0


@pytest.mark.parametrize("weight", [1.0, 1e-6, -1e-6])
@pytest.mark.parametrize("fade", [False, True])
def test_the_gradient_of_a_float16_network_does_not_underflow(weight: float, fade: bool) -> None:
    """Each of 200 x 260 positions has a millionth part in the mean: less than float16 can hold."""
    network = small_network()
    image = torch.rand(1, 3, 200, 260, generator=torch.Generator().manual_seed(4))
    texts = ["4", "2:1 - 0:2"] if fade else ["4 + 0:1"]
    objectives = [((weight * parse_objective(text)).resolve(network.table), 0.5) for text in texts]

    def gradient(dtype: torch.dtype) -> torch.Tensor:
        found = TiledGradient(network.truncate(["0", "2", "4"]).to(dtype), objectives[0][0], tile=1024)
        found.objectives = objectives
        return found(image)

    expected, half = gradient(torch.float32), gradient(torch.float16)
    assert half.dtype == torch.float32
    assert (half - expected).norm() < 0.02 * expected.norm()
