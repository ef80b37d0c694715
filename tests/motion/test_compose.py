import pytest
import torch
from motion_textures import texture

from dreamvid.motion.carry import FlowWithValidity, compose
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.field import MotionEstimator
from dreamvid.motion.warp import warp

DIS = load_estimator("dis")


def moved_by(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y]).view(1, 2, 1, 1).expand(1, 2, 20, 30).contiguous()


def test_two_moves_add_up_and_their_doubts_multiply():
    whole, half = torch.ones(1, 1, 20, 30), torch.full((1, 1, 20, 30), 0.5)
    near, far = (FlowWithValidity(moved_by(*way), half) for way in ((2, -1), (0.5, 3)))
    flow, valid, _ = compose(near, far)
    assert torch.allclose(flow, moved_by(2.5, 2))
    assert torch.allclose(valid, 0.25 * whole)
    assert compose(near, None) is near


def test_the_second_flow_is_looked_up_where_the_first_one_leads():
    x = torch.arange(30.0).view(1, 1, 1, 30).expand(1, 1, 20, 30)
    growing = torch.cat((0.1 * x, torch.zeros_like(x)), dim=1)  # x moves on by a tenth of itself
    step = FlowWithValidity(growing, torch.ones(1, 1, 20, 30))
    flow = compose(step, step).flow
    inside = slice(0, 25)  # beyond it leads out of the image
    assert torch.allclose(flow[:, 0, :, inside], (0.21 * x)[:, 0, :, inside], atol=1e-4)


def test_where_nothing_moves_a_chain_carries_bit_for_bit():
    still = FlowWithValidity(torch.zeros(1, 2, 20, 30), torch.ones(1, 1, 20, 30))
    chain = compose(still, compose(still, still))
    image = torch.rand(1, 3, 20, 30)
    assert torch.equal(chain.validity * warp(image, chain.flow), image)


def test_both_ways_at_once_are_what_each_is_by_itself():
    wide = texture(64, 140)
    this, previous = wide[..., 17:113], wide[..., 20:116]
    motions = MotionEstimator(DIS)
    frames = motions.prepare(this), motions.prepare(previous)
    forth, back = motions.both_ways(*frames)
    alone_field = motions.motion(*frames)
    for name in ("flow", "validity", "temporal_activity"):
        got, alone = getattr(forth, name), getattr(alone_field, name)
        assert torch.equal(got, alone)
    assert (back.flow[:, 0, 12:-12, 12:-12] - 3).abs().mean() < 0.2
    assert back.validity[..., 8:-8, 8:-8].mean() > 0.95
    assert float(back.validity[..., -1].max()) == pytest.approx(0, abs=0.05), "its right border leaves the image"
