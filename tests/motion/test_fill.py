"""Flow that is spread to places where it cannot be trusted."""

import torch

from dreamvid.motion.fill import color_affinity, fill_flow


def halves() -> tuple[torch.Tensor, torch.Tensor]:
    """An image that is dark on the left and light on the right, and a flow to the left there, to the right here."""
    image, flow = torch.full((1, 3, 60, 80), 0.2), torch.zeros(1, 2, 60, 80)
    image[..., 40:] = 0.8
    flow[:, 0, :, :40], flow[:, 0, :, 40:] = -6, 6
    return image, flow


def test_what_is_trusted_stays_bit_for_bit():
    image, _ = halves()
    flow = torch.randn(1, 2, 60, 80, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fill_flow(flow, torch.ones(1, 1, 60, 80), color_affinity(image)), flow)


def test_a_hole_takes_the_flow_of_its_color():
    image, flow = halves()
    trust, broken = torch.ones(1, 1, 60, 80), flow.clone()
    trust[:, :, 20:40, 24:56] = 0
    broken[:, :, 20:40, 24:56] = 30
    wrong = (fill_flow(broken, trust, color_affinity(image)) - flow).abs()
    assert wrong[..., :38].max() < 1
    assert wrong[..., 42:].max() < 1


def test_without_anything_to_trust_the_flow_stays():
    image, flow = halves()
    filled = fill_flow(flow, torch.zeros(1, 1, 60, 80), color_affinity(image))
    torch.testing.assert_close(filled[..., :38], flow[..., :38])
    torch.testing.assert_close(filled[..., 42:], flow[..., 42:])


def test_any_size():
    for size in ((1, 1), (2, 7), (33, 5)):
        filled = fill_flow(torch.rand(1, 2, *size), torch.rand(1, 1, *size), color_affinity(torch.rand(1, 3, *size)))
        assert filled.shape == (1, 2, *size)
        assert torch.isfinite(filled).all()
