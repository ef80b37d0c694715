import pytest
import torch

from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.occlusion import (
    agreement,
    boundary_strength,
    in_frame_mask,
    motion_boundary,
    occlusion_mask,
    validity,
    was_visible,
)


def agreeing_validity(flow: torch.Tensor, reverse: torch.Tensor) -> torch.Tensor:
    return validity(flow, agreement(flow, reverse))


def flow_of(dx: float, dy: float, height: int = 20, width: int = 30) -> torch.Tensor:
    return torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).repeat(1, 1, height, width)


def test_what_comes_from_outside_is_new():
    mask = in_frame_mask(flow_of(-4, 0))
    assert mask[..., :4].max() == 0
    assert mask[..., 4:].min() == 1


def test_flows_that_undo_each_other_are_valid():
    assert agreeing_validity(flow_of(2, -1), flow_of(-2, 1))[..., 2:-2, 3:-3].min() == 1


def test_flows_that_disagree_are_not():
    assert agreeing_validity(flow_of(2, -1), flow_of(2, 1)).max() == 0


def test_a_long_flow_may_err_more_than_a_short_one():
    short, long = (0.5, 30.0)
    error = 1.5
    assert agreeing_validity(flow_of(short, 0, 20, 90), flow_of(-short + error, 0, 20, 90)).max() == 0
    assert agreeing_validity(flow_of(long, 0, 20, 90), flow_of(-long + error, 0, 20, 90))[..., 5:50].min() == 1


def test_a_step_in_the_flow_is_a_motion_boundary():
    flow = flow_of(0, 0)
    flow[:, 0, :, 15:] = 5
    boundary = motion_boundary(flow)
    assert boundary[..., 14].all()
    assert not boundary[..., :13].any()
    assert not boundary[..., 16:].any()
    assert occlusion_mask(flow, -flow)[..., 14].max() == 0


def test_a_revealed_strip_is_marked():
    """A textured square moves right by 8 over a textured ground: the ground behind it was not seen before."""
    generator = torch.Generator().manual_seed(0)

    def texture(height: int, width: int) -> torch.Tensor:
        noise = torch.rand(1, 3, height // 3, width // 3, generator=generator)
        return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)

    ground, square = texture(120, 180), texture(60, 60)
    previous, this = ground.clone(), ground.clone()
    previous[:, :, 30:90, 60:120] = square
    this[:, :, 30:90, 68:128] = square
    dis = load_estimator("dis")
    mask = agreeing_validity(*dis.estimate(dis.prepare(this), dis.prepare(previous)))
    assert mask[..., 36:84, 61:67].mean() < 0.3, "the strip behind the square is new"
    assert mask[..., 36:84, 80:115].mean() > 0.9, "the square itself was there"
    assert mask[..., 36:84, 10:45].mean() > 0.9, "the ground far off was there"


def test_a_motion_boundary_is_doubted_softly_and_a_zoom_is_not():
    height, width = 40, 60
    x = torch.arange(float(width)).view(1, 1, 1, width).expand(1, 1, height, width)
    y = torch.arange(float(height)).view(1, 1, height, 1).expand(1, 1, height, width)
    zoom = 0.03 * torch.cat((x - 30, y - 20), dim=1)
    assert boundary_strength(zoom).max() == 0
    step = flow_of(0, 0, height, width)
    step[:, 0, :, 30:] = 4
    strength = boundary_strength(step)
    assert strength[..., 29:31].min() == 1
    assert strength[..., :29].max() == 0
    assert strength[..., 31:].max() == 0
    half = flow_of(0, 0, height, width)
    half[:, 0, :, 30:] = 1.5
    assert 0.2 < float(boundary_strength(half).max()) < 0.8


def test_a_little_disagreement_costs_a_little():
    """Flows that miss each other by a pixel, twice what the papers allow, still carry half."""
    middle = agreeing_validity(flow_of(0, 0), flow_of(1, 0))[..., 5:-5, 5:-5]
    assert float(middle.mean()) == pytest.approx(0.5, abs=0.02)
    assert not was_visible(flow_of(0, 0), flow_of(1, 0)).any()
    assert was_visible(flow_of(0, 0), flow_of(0.6, 0)).all()
