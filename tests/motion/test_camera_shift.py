"""The shift of the camera, and the better of two flows: on shifts that are known."""

import pytest
import torch
from motion_textures import texture, through_a_sensor
from torch import Tensor

from dreamvid.motion.camera_shift import better_flow, camera_shift
from dreamvid.motion.estimators.dis import OpenCvInverseSearch, TorchInverseSearch
from dreamvid.motion.field import MotionEstimator


def pan(right: int, down: int, height: int = 240, width: int = 320) -> tuple[Tensor, Tensor]:
    """Two views (1, 3, H, W) of one picture; what is in the first was `right` and `down` from there in the second."""
    y, x = max(0, down), max(0, right)
    size = height + abs(down), width + abs(right)
    picture = sum((texture(*size, seed, cell=cell) for seed, cell in enumerate((6, 16, 48))), torch.zeros(())) / 3
    views = (picture[:, :, top : top + height, left : left + width] for top, left in ((y, x), (y - down, x - right)))
    this, previous = (through_a_sensor(view, seed) for seed, view in enumerate(views))
    return this, previous


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (-7, 3), (60, -20), (-90, 31)])
def test_the_shift_of_a_picture_is_found(right: int, down: int) -> None:
    this, previous = (255 * view.mean(dim=1, keepdim=True) for view in pan(right, down))
    assert camera_shift(this, previous).tolist() == [[right, down]]


def test_pictures_without_texture_have_not_shifted() -> None:
    assert camera_shift(torch.zeros(2, 1, 40, 60), torch.full((2, 1, 40, 60), 9.0)).tolist() == [[0, 0]] * 2


def test_each_place_takes_the_flow_that_explains_it_and_a_flat_place_that_of_most() -> None:
    this, previous = (255 * view.mean(dim=1, keepdim=True) for view in pan(30, 0))
    this[:, :, :, :40] = previous[:, :, :, :40]  # stands still
    this[:, :, 100:160, 120:220] = previous[:, :, 100:160, 100:260] = 90
    still = torch.zeros(1, 2, 240, 320)
    along = still + torch.tensor([30.0, 0.0]).view(1, 2, 1, 1)
    for flow in (better_flow(this, previous, still, along), better_flow(this, previous, along, still)):
        assert (flow[:, 0, 10:230, 8:30] == 0).float().mean() > 0.95
        assert (flow[:, 0, 10:230, 50:280] == 30).float().mean() > 0.95
        assert (flow[:, 0, 106:154, 136:210] == 30).all()


@pytest.mark.parametrize("estimator", [OpenCvInverseSearch(), TorchInverseSearch()], ids=["opencv", "torch"])
@pytest.mark.parametrize(("right", "down"), [(120, 10), (-150, -20)])
def test_a_whip_pan_is_followed(estimator: OpenCvInverseSearch | TorchInverseSearch, right: int, down: int) -> None:
    """From one frame to the next the camera turns by up to half of the picture's width."""
    motions = MotionEstimator(estimator)
    this, previous = (motions.prepare(view) for view in pan(right, down))
    motion = motions.motion(this, previous)
    height, width = motion.flow.shape[2:]
    flow = motion.flow * torch.tensor([320 / width, 240 / height]).view(1, 2, 1, 1)
    off = (flow - torch.tensor([float(right), float(down)]).view(1, 2, 1, 1)).norm(dim=1)
    columns = slice(0, (320 - right - 20) * width // 320) if right > 0 else slice((20 - right) * width // 320, width)
    seen_before = off[:, 20 * height // 240 : -20 * height // 240, columns]
    assert (seen_before < 2).float().mean() > 0.9
    new = motion.validity[..., -right * width // 320 + 10 :] if right > 0 else motion.validity[..., : -right // 4]
    assert new.mean() < 0.2
