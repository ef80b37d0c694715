"""Networks that want images of certain sizes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid import dream_frames, load_settings
from dreamvid.dream import session
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import NetworkError
from dreamvid.networks.network import Network
from dreamvid.networks.trace import trace
from dreamvid.networks.truncate import ImageSizes, truncate


class UpAndDown(nn.Module):
    """Halves the image a few times and adds it, enlarged, to what it was before: as HRNet and U-Nets do."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.depth = depth
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Sequential(*(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(depth)))
        self.up = nn.Upsample(scale_factor=2**depth, mode="nearest")
        self.joined = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.joined(x + self.up(self.down(x)))


class Windows(nn.Module):
    """Rearranges windows of a number of positions, as attention in windows does."""

    def __init__(self, window: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.window = window
        self.conv = nn.Conv2d(3, 4, 4, 4)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        size = self.window
        x = x.view(n, c, h // size, size, w // size, size).mean((3, 5), keepdim=True).expand(-1, -1, -1, size, -1, size)
        return self.last(x.reshape(n, c, h, w))


class OneSize(nn.Module):
    """Has a matrix product over all positions, as AlexNet and VGG had at first."""

    def __init__(self, side: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(4 * (side // 2) ** 2, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))


@pytest.mark.parametrize(
    ("module", "layer", "multiple"),
    [
        (UpAndDown(1), "joined", 2),
        (UpAndDown(2), "joined", 4),
        (UpAndDown(5), "joined", 32),
        (UpAndDown(5), "down", 1),
        (Windows(7), "last", 28),
        (Windows(8), "last", 32),
    ],
)
def test_multiples_are_found(module: nn.Module, layer: str, multiple: int) -> None:
    truncated = truncate(trace(module, "picky"), [layer], (0.5,) * 3, (0.5,) * 3, "picky", 224)
    assert truncated.sizes.multiple == multiple
    assert truncated.sizes.only is None
    stride = {"joined": 1, "down": 32, "last": 4}[layer]
    for height, width in [(5, 9), (97, 131), (224, 64), (3, 300)]:
        activation = truncated(torch.rand(1, 3, height, width))[layer]
        if min(height, width) >= truncated.sizes.smallest:
            assert activation.shape[2:] == (-(-height // stride), -(-width // stride))


class Patches(nn.Module):
    """Cuts the image into patches, drops the rest, and expects one number of them, as vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 4, 16, 16)
        self.register_buffer("mask", torch.ones(1, 1, 1, 1, 1))
        self.position = nn.Parameter(torch.rand(1, 4, 9))
        self.fc = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.patches(x).flatten(2) * self.mask[0, 0] + self.position).mean(2))


def test_sizes_that_get_through_by_accident_are_not_taken_for_all_sizes() -> None:
    truncated = Network("transformer", Patches(), input_size=48).truncate(["fc"])
    assert truncated.sizes == ImageSizes(48, only=48)


def test_what_is_padded_is_exact_where_the_border_is_not_seen() -> None:
    network = Network("picky", UpAndDown(3), input_size=64)
    truncated = network.truncate(["joined"])
    image = torch.rand(1, 3, 128, 160)
    whole = truncated(image)["joined"]
    part = truncated(image[:, :, :101, :93])["joined"]
    assert part.shape == (1, 5, 101, 93)
    torch.testing.assert_close(part[:, :, :80, :72], whole[:, :, :80, :72])
    padded = F.pad(image[:, :, :101, :93], (0, 3, 0, 3), mode="replicate")
    torch.testing.assert_close(part, truncated(padded)["joined"][:, :, :101, :93])


@pytest.mark.parametrize("size", [(33, 50), (100, 141), (31, 17)])
@pytest.mark.parametrize("tile", [64, 1024])
def test_gradients_of_any_size(size: tuple[int, int], tile: int) -> None:
    network = Network("picky", UpAndDown(4), input_size=64)
    objective = parse_objective("joined").resolve(network.table)
    gradient = TiledGradient(network.truncate(objective.layers), objective, tile=tile)(torch.rand(1, 3, *size))
    assert gradient.shape == (1, 3, *size)
    assert gradient.isfinite().all()
    # No pixel stands for the padding behind it, which would draw a line along the border.
    strength = gradient.abs().mean((0, 1))
    assert strength[-1].mean() < 4 * strength.mean()
    assert strength[:, -1].mean() < 4 * strength.mean()


def test_a_network_of_one_size_is_refused_with_it() -> None:
    network = Network("square", OneSize(48), input_size=48)
    truncated = network.truncate(["fc"])
    assert truncated.sizes == ImageSizes(48, only=48)
    assert truncated(torch.rand(2, 3, 48, 48))["fc"].shape == (2, 6)
    message = r"'square' takes only images of 48 x 48 pixels if fc .*got 80 x 60\. Give it an image of 48 x 48"
    with pytest.raises(NetworkError, match=message):
        truncated(torch.rand(1, 3, 60, 80))
    assert network.truncate(["features"])(torch.rand(1, 3, 60, 80))["features"].shape[2:] == (30, 40)


def test_a_network_of_one_size_dreams_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "load_network", lambda *_, **__: Network("square", OneSize(64), input_size=64))
    fields = {"objective": "fc", "iterations": 1, "octaves": 2, "dream_height": 90, "warm_iterations": 1}
    for height, width in [(64, 64), (90, 130), (40, 200)]:
        frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        for dreamed in dream_frames(frames, load_settings(None, **fields)):
            assert dreamed.shape == (height, width, 3)
            assert np.abs(dreamed.astype(int) - frames[0]).mean((0, 1)).min() > 0.3


def test_windows_of_one_size_are_those_of_the_network() -> None:
    network = Network("square", OneSize(48), input_size=48)
    objective = parse_objective("fc:2").resolve(network.table)
    gradient = TiledGradient(network.truncate(["fc"]), objective, tile=1024, halo=8)
    image = torch.rand(1, 3, 80, 70)
    found = gradient(image)
    window = torch.roll(image, (8, 8), (2, 3))[:, :, :48, :48]  # the first window begins 8 pixels outside
    torch.testing.assert_close(found[:, :, :32, :32], gradient(window)[:, :, 8:40, 8:40])
    repeated = torch.cat([image[:, :, 24:72, 24:], image[:, :, 24:72, :2]], dim=3)
    torch.testing.assert_close(found[:, :, 32:64, 32:64], gradient(repeated)[:, :, 8:40, 8:40])
    assert (found != 0).float().mean() > 0.9


def test_a_network_without_any_size_is_refused() -> None:
    with pytest.raises(NetworkError, match="No image of up to 384 x 384 pixels gets through to fc"):
        Network("huge", OneSize(512), input_size=512).truncate(["fc"])


def test_nothing_is_printed_while_sizes_are_tried(capfd: pytest.CaptureFixture[str]) -> None:
    assert Network("picky", UpAndDown(5), input_size=64).truncate(["joined"]).sizes.multiple == 32
    assert Network("square", OneSize(48), input_size=48).truncate(["fc"]).sizes.only == 48
    with pytest.raises(NetworkError):
        Network("huge", OneSize(512), input_size=512).truncate(["fc"])
    assert capfd.readouterr() == ("", "")
