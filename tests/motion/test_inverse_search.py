"""PyTorch's dense inverse search against OpenCV's: on motion that is known, and on footage."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from motion_textures import flow_between, texture, through_a_sensor
from torch import Tensor

from dreamvid.image.tensors import luma, to_tensor
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.estimators.dis import OpenCvInverseSearch, TorchInverseSearch
from dreamvid.motion.inverse_search import inverse_search
from dreamvid.motion.warp import distance_outside, pixel_grid, sample, warp
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

HEIGHT, WIDTH = 160, 224

# This frame, the previous one, the backward flow, and where it can be known.
Case = tuple[Tensor, Tensor, Tensor, Tensor]


def rough(height: int, width: int, seed: int) -> Tensor:
    """Texture in grains of several sizes."""
    return sum((texture(height, width, seed + cell, cell) for cell in (4, 12, 40)), torch.zeros(())) / 3


def moved_by(flow: Tensor) -> Case:
    previous = rough(HEIGHT, WIDTH, 0)
    places = pixel_grid(HEIGHT, WIDTH, flow) + flow
    known = (distance_outside(places, HEIGHT, WIDTH) <= 0).float()
    return sample(previous, places), previous, flow, known


def waves(length: float) -> Case:
    """Every region moves elsewhere."""
    random = torch.randn(1, 2, 4, 5, generator=torch.Generator().manual_seed(3))
    return moved_by(length * F.interpolate(random, (HEIGHT, WIDTH), mode="bicubic"))


def camera(zoom: float, turn: float) -> Case:
    x, y = (pixel_grid(HEIGHT, WIDTH, torch.zeros(1)) - torch.tensor([WIDTH / 2, HEIGHT / 2]).view(1, 2, 1, 1)).unbind(
        1
    )
    return moved_by(torch.stack((zoom * x - turn * y, turn * x + zoom * y), dim=1))


def driver(speed: int) -> Case:
    """A thing drives to the right, in front of a ground that moves to the right by two pixels."""
    ground, thing = rough(HEIGHT, WIDTH + 2, 0), rough(HEIGHT, WIDTH, 100)
    this, previous = ground[..., :WIDTH].clone(), ground[..., 2:].clone()
    rows, before, now = slice(40, 120), slice(60, 130), slice(60 + speed, 130 + speed)
    previous[:, :, rows, before] = this[:, :, rows, now] = thing[:, :, rows, :70]
    flow = torch.zeros(1, 2, HEIGHT, WIDTH)
    flow[:, 0] = -2
    flow[:, 0, rows, now] = -speed
    known = torch.ones(1, 1, HEIGHT, WIDTH)
    known[:, :, rows, 60 : 60 + speed] = 0
    known[..., :2] = 0
    return this, previous, flow, known


CASES = {
    "waves of 1": waves(1),
    "waves of 4": waves(4),
    "a zoom": camera(0.04, 0),
    "a turn": camera(0, 0.05),
    "both": camera(-0.05, 0.08),
    "a driver of 5": driver(5),
    "a driver of 18": driver(18),
}


@pytest.mark.parametrize("case", CASES)
def test_known_motion_is_found_as_well_as_by_opencv(case: str) -> None:
    this, previous, flow, known = CASES[case]
    this, previous = through_a_sensor(this, 1), through_a_sensor(previous, 2)

    def error(estimator: OpenCvInverseSearch | TorchInverseSearch) -> float:
        apart = (flow_between(estimator, this, previous) - flow).norm(dim=1, keepdim=True)
        return float((apart * known).sum() / known.sum())

    assert error(TorchInverseSearch()) <= 1.1 * error(OpenCvInverseSearch())


def footage() -> Iterator[tuple[Tensor, Tensor]]:
    """Frames of ffmpeg's: hills and clouds that pass, and detail that turns and flickers."""
    for text in ("demo", "lavfi:cellauto=s=320x180:rule=110,gblur=3,rotate=0.03*n,zoompan=z=1.01^in:d=1:s=320x180"):
        source = open_source(text)
        with FrameReader(source, probe(source), start=8, stop=10, size=Size(180, 320)) as reader:
            frames = [to_tensor(frame.pixels) for frame in reader]
        yield from zip(frames[1:], frames, strict=False)


def test_footage_is_explained_as_well_as_by_opencv() -> None:
    errors = {OpenCvInverseSearch: 0.0, TorchInverseSearch: 0.0}
    for this, previous in footage():
        for kind in errors:
            moved = warp(luma(previous), flow_between(kind(), this, previous), mode="bilinear")
            errors[kind] += float((moved - luma(this)).abs().mean())
    assert errors[TorchInverseSearch] <= 1.1 * errors[OpenCvInverseSearch]
    assert errors[TorchInverseSearch] > 0


def test_both_get_the_same_even_images() -> None:
    frame = texture(97, 161)
    frame[:, :, :30] = 0
    ours, theirs = TorchInverseSearch().prepare(frame).levels[0, 0], OpenCvInverseSearch().prepare(frame).pixels
    apart = (ours - torch.from_numpy(theirs)).abs()
    assert apart.max() <= 1, "one level, by rounding"
    assert (apart > 0).float().mean() < 0.001


def test_a_pair_is_not_changed_by_the_others_in_its_batch() -> None:
    images = [255 * luma(texture(64, 96, seed)) for seed in range(4)]
    together = inverse_search(torch.cat(images[:2]), torch.cat(images[2:]))
    for number in range(2):
        alone = inverse_search(images[number], images[2 + number])
        torch.testing.assert_close(together[number : number + 1], alone, rtol=1e-3, atol=1e-3)


def test_the_device_decides_and_a_render_knows() -> None:
    cuda, cpu, metal = (load_estimator("dis", device) for device in ("cuda", "cpu", "mps"))
    assert isinstance(cuda, TorchInverseSearch)
    assert isinstance(cpu, OpenCvInverseSearch)
    assert isinstance(metal, OpenCvInverseSearch)
    assert cuda.fingerprint != cpu.fingerprint


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same_flow_in_a_call_and_in_a_recording() -> None:
    this, previous = (through_a_sensor(image, 1) for image in CASES["both"][:2])
    cpu = flow_between(TorchInverseSearch(), this, previous)
    estimator = load_estimator("dis", "cuda")
    prepared = [estimator.prepare(image.cuda()) for image in (this, previous)]
    for _ in range(5):  # the third call records, the later ones replay
        flow = estimator.estimate(*prepared)[0].cpu()
        assert float((flow - cpu).abs().median()) < 0.01
        assert float((flow - cpu).abs().mean()) < 0.1
