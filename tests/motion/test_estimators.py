"""One contract for every flow estimator."""

import warnings

import pytest
import torch
from motion_textures import flow_between

from dreamvid.errors import InputError, NetworkError, SettingsError
from dreamvid.motion.estimator import load_estimator
from dreamvid.motion.estimators.dis import OpenCvInverseSearch, TorchInverseSearch
from dreamvid.motion.field import MotionEstimator

DIS = load_estimator("dis")


def texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module", params=["dis", "dis on a GPU", "raft", "none"])
def estimator(request):
    if request.param == "dis on a GPU":
        return TorchInverseSearch()
    # RAFT's real weights need a download; its contract of shapes holds for random ones.
    return load_estimator(request.param, weights="random" if request.param == "raft" else None)


@pytest.mark.parametrize("size", [(1, 1), (33, 77), (64, 96), (97, 161)])
def test_any_size_gives_a_finite_flow_of_that_size(estimator, size):
    this, previous = torch.rand(1, 3, *size), torch.rand(1, 3, *size)
    flow = flow_between(estimator, this, previous)
    assert flow.shape == (1, 2, *size)
    assert flow.dtype == torch.float32
    assert torch.isfinite(flow).all()


@pytest.mark.parametrize(("right", "down"), [(5, 0), (-3, 2), (0, 7)])
def test_a_panned_texture_has_the_backward_flow_of_its_pan(right, down):
    wide = texture(160, 200)
    previous = wide[:, :, 20:140, 20:180]
    this = wide[:, :, 20 - down : 140 - down, 20 - right : 180 - right]
    flow = flow_between(load_estimator("dis"), this, previous)[0, :, 20:-20, 20:-20]
    assert float(flow[0].median()) == pytest.approx(-right, abs=0.1)
    assert float(flow[1].median()) == pytest.approx(-down, abs=0.1)
    assert (flow[0] + right).abs().mean() < 0.3


@pytest.mark.parametrize("kind", [OpenCvInverseSearch, TorchInverseSearch])
def test_from_coarse_to_fine_both_directions_of_a_pan_are_found(kind):
    """Only the backward flow is estimated finely; the other one has to be its inverse."""
    wide = texture(200, 320)
    estimator = kind()
    motions = MotionEstimator(estimator)
    this, previous = (motions.prepare(wide[..., start : start + 280]) for start in (14, 20))
    field, (forward, valid, _) = motions.both_ways(this, previous)
    inside = (slice(None), slice(None), slice(12, -12), slice(12, -12))
    assert field.flow.shape == forward.shape == (1, 2, 100, 140), "half the size"
    for flow, right in ((field.flow, -3), (forward, 3)):
        assert (flow[inside][:, 0] - right).abs().mean() < 0.15
        assert flow[inside][:, 1].abs().mean() < 0.15
    assert field.validity[inside].mean() > 0.97
    assert valid[inside].mean() > 0.97
    whole = field.at((200, 280))
    assert (whole.flow[:, 0, 24:-24, 24:-24] + 6).abs().mean() < 0.3
    assert whole.validity.shape == whole.temporal_activity.shape == (1, 1, 200, 280)


def test_what_comes_into_view_behind_a_thing_is_not_taken_as_known():
    ground, thing = texture(200, 320), texture(80, 80, 5)
    motions, frames = MotionEstimator(DIS), []
    for place in (100, 116):
        frame = ground.clone()
        frame[:, :, 60:140, place : place + 80] = thing
        frames.append(motions.prepare(frame))
    field, (_, valid, _) = motions.both_ways(frames[1], frames[0])
    backward, forward = field.at((200, 320)).validity, torch.nn.functional.interpolate(valid, (200, 320))
    assert backward[:, :, 70:130, 104:112].mean() < 0.35, "uncovered"
    assert forward[:, :, 70:130, 184:192].mean() < 0.35, "about to be covered"
    for trust in (backward, forward):
        assert trust[:, :, :40].mean() > 0.97
        assert trust[..., 240:].mean() > 0.97


@pytest.mark.parametrize("gain", [0.9, 1.03, 1.1])
def test_light_that_changes_does_not_move_a_sky(gain):
    image = 0.2 + 0.3 * texture(160, 240)
    image[:, :, :80] = torch.linspace(0.75, 0.5, 80).view(1, 1, 80, 1) + 0.02 * texture(80, 240)
    flow = flow_between(load_estimator("dis"), gain * image, image).norm(dim=1)
    assert flow[:, :80].mean() < 0.15
    assert flow[:, 90:].mean() < 0.02


@pytest.mark.parametrize("right", [12, 24, 36])
def test_what_moves_far_is_found_by_its_coarse_light(right):
    wide = 0.5 * texture(240, 400) + 0.5 * texture(24, 40, 1).repeat_interleave(10, 2).repeat_interleave(10, 3)
    flow = flow_between(load_estimator("dis"), wide[..., 40 - right : 360 - right], wide[..., 40:360])[
        ..., 20:-20, 50:-50
    ]
    assert ((flow[:, 0] + right).abs() < 1).float().mean() > 0.95


def bars(number: int) -> torch.Tensor:
    """A texture that pans by 6 pixels a frame, between letterbox bars."""
    frame = torch.zeros(1, 3, 240, 320)
    frame[:, :, 60:180] = texture(120, 400)[..., 40 - 6 * number : 360 - 6 * number]
    return frame


def fade(number: int) -> torch.Tensor:
    """A texture in a black surround that is black in the end."""
    frame = torch.zeros(1, 3, 240, 320)
    frame[:, :, 60:120, 80:160] = texture(60, 80) * (0.1 - 0.1 * number)
    return frame


def cartoon(number: int) -> torch.Tensor:
    """A shape of one color that moves by 6 pixels a frame over another color."""
    frame = torch.full((1, 3, 240, 320), 0.8)
    frame[:, 0, 80:160, 100 + 6 * number : 200 + 6 * number] = 0.1
    return frame


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [bars, fade, cartoon])
def test_flat_areas_give_a_finite_flow_within_the_frame(estimator, frames):
    flow = flow_between(estimator, frames(1), frames(0))
    assert torch.isfinite(flow).all()
    assert flow.abs().max() < 320


@pytest.mark.filterwarnings("error")
def test_a_flat_area_beside_a_rough_one_is_even():
    """The sums of a box filter end a little below zero there, and the square root of that is no number."""
    frame = torch.zeros(1, 3, 240, 320)
    frame[:, :, 60:120, 80:160] = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(0))
    assert flow_between(load_estimator("dis"), frame, frame).abs().max() == 0


@pytest.mark.parametrize("name", ["dis", "none"])
@pytest.mark.parametrize("light", [0.0, 0.5, 1.0])
def test_a_flat_image_stands_still_exactly(name, light):
    flat = torch.full((1, 3, 120, 160), light)
    assert flow_between(load_estimator(name), flat, flat).abs().max() == 0


def test_a_shape_of_one_color_moves_as_a_whole():
    flow = flow_between(load_estimator("dis"), cartoon(1), cartoon(0))[:, :, 90:150, 116:196]
    assert ((flow[:, 0] + 6).abs() < 1).float().mean() > 0.9
    assert (flow[:, 1].abs() < 1).float().mean() > 0.9


def test_nothing_moves_without_flow():
    assert flow_between(load_estimator("none"), torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)).abs().max() == 0


def test_an_unknown_estimator_is_refused():
    with pytest.raises(InputError, match="Allowed: dis, none, raft"):
        load_estimator("farneback")


@pytest.mark.parametrize("level", [0.0, 1.0, 0.5])
def test_a_flat_frame_stands_still_exactly(estimator, level):
    flat = torch.full((1, 3, 97, 161), level)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        motions = MotionEstimator(estimator)
        assert motions.motion(*[motions.prepare(flat)] * 2).flow.abs().max() == 0


def test_the_surroundings_of_a_letterbox_are_no_garbage():
    """Sums of a box filter end a little below zero where all is black; their root became an arbitrary gray."""
    frame = texture(160, 240)
    frame[:, :, :40], frame[:, :, -40:] = 0, 0
    estimator = load_estimator("dis")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = estimator.prepare(frame).pixels
    assert len(set(even[:8].ravel())) == 1
    motions = MotionEstimator(estimator)
    assert motions.motion(*[motions.prepare(frame)] * 2).flow.abs().max() == 0


@pytest.mark.parametrize("name", ["dis", "none"])
def test_weights_for_an_estimator_without_any_are_refused(name):
    with pytest.raises(SettingsError, match=f"'{name}' has no weights"):
        load_estimator(name, weights="file.pth")


def test_raft_takes_weights_from_a_file(tmp_path):
    raft = load_estimator("raft", weights="random")
    other = {name: tensor + 0.01 for name, tensor in raft._raft.state_dict().items() if tensor.is_floating_point()}
    torch.save({**raft._raft.state_dict(), **other}, tmp_path / "raft.pth")
    changed = load_estimator("raft", weights=str(tmp_path / "raft.pth"))
    this, previous = texture(96, 128), texture(96, 128, 1)
    assert changed.fingerprint != raft.fingerprint
    assert not torch.equal(flow_between(changed, this, previous), flow_between(raft, this, previous))
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(NetworkError, match="raft_small"):
        load_estimator("raft", weights=str(tmp_path / "other.pth"))


def test_both_directions_are_those_of_the_two_estimates(estimator):
    this, previous = (estimator.prepare(texture(96, 144, seed)) for seed in (1, 2))
    backward, forward = estimator.estimate(this, previous)
    again, other = estimator.estimate(previous, this)
    torch.testing.assert_close(forward, again, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(backward, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(136, 160), (97, 161)])
def test_raft_gives_the_flows_of_two_calls_of_torchvision(size):
    """Each frame goes through the encoders once, and both directions are one batch."""
    raft = load_estimator("raft", weights="random")
    this, previous = texture(*size), texture(*size, 1)
    padding = (0, max(128, -(-size[1] // 8) * 8) - size[1], 0, max(128, -(-size[0] // 8) * 8) - size[0])
    pair = [torch.nn.functional.pad(frame, padding, mode="replicate") * 2 - 1 for frame in (this, previous)]
    flows = raft.estimate(raft.prepare(this), raft.prepare(previous))
    for flow, (one, other) in zip(flows, (pair, pair[::-1]), strict=True):
        theirs = raft._raft(one, other)[-1][:, :, : size[0], : size[1]]
        torch.testing.assert_close(flow, theirs, rtol=1e-3, atol=1e-3)
        assert theirs.abs().max() > 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_raft_in_half_precision_on_a_gpu_is_close_to_the_cpu():
    this, previous = texture(136, 160), texture(136, 160, 1)
    cpu, gpu = (load_estimator("raft", device, weights="random") for device in ("cpu", "cuda"))
    expected = flow_between(cpu, this, previous)
    for _ in range(5):  # the third call records, the later ones replay
        flow = flow_between(gpu, this.cuda(), previous.cuda()).cpu()
        assert (flow - expected).abs().mean() < 0.05 * expected.abs().mean()
