"""One contract for every flow estimator."""

import pytest
import torch

from dreamvid.errors import SettingsError
from dreamvid.motion.flow import flow_estimator


def texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module", params=["dis", "raft", "none"])
def estimator(request):
    # RAFT's real weights need a download; its contract of shapes holds for random ones.
    return flow_estimator(request.param, weights="random" if request.param == "raft" else None)


@pytest.mark.parametrize("size", [(1, 1), (33, 77), (64, 96), (97, 161)])
def test_any_size_gives_a_finite_flow_of_that_size(estimator, size):
    this, previous = torch.rand(1, 3, *size), torch.rand(1, 3, *size)
    flow = estimator(this, previous)
    assert flow.shape == (1, 2, *size)
    assert flow.dtype == torch.float32
    assert torch.isfinite(flow).all()


@pytest.mark.parametrize(("right", "down"), [(5, 0), (-3, 2), (0, 7)])
def test_a_panned_texture_has_the_backward_flow_of_its_pan(right, down):
    wide = texture(160, 200)
    previous = wide[:, :, 20:140, 20:180]
    this = wide[:, :, 20 - down : 140 - down, 20 - right : 180 - right]
    flow = flow_estimator("dis")(this, previous)[0, :, 20:-20, 20:-20]
    assert float(flow[0].median()) == pytest.approx(-right, abs=0.1)
    assert float(flow[1].median()) == pytest.approx(-down, abs=0.1)
    assert (flow[0] + right).abs().mean() < 0.3


def test_nothing_moves_without_flow():
    assert flow_estimator("none")(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)).abs().max() == 0


def test_an_unknown_estimator_is_refused():
    with pytest.raises(SettingsError, match="dis, raft, none"):
        flow_estimator("farneback")
