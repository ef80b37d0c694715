import pytest
import torch
from torch import Tensor

from dreamvid.camera.color_match import color_statistics, hold_statistics, match_colors


def image(seed: int, contrast: float = 0.08, mean: tuple[float, float, float] = (0.5, 0.45, 0.55)) -> Tensor:
    """Smooth random colors well inside the range, (1, 3, 64, 96)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 3, 16, 24, generator=generator)
    coarse[:, 1] += 0.8 * coarse[:, 0]
    x = torch.nn.functional.interpolate(coarse, (64, 96), mode="bilinear")
    return (torch.tensor(mean).view(1, 3, 1, 1) + contrast * x / x.std()).clamp(0.1, 0.9)


def hold(x: Tensor, target: Tensor, elapsed: float = 1.0, half_life: float = 0.0) -> Tensor:
    pull = 1 - 0.5 ** (elapsed / half_life) if half_life else 1.0
    return match_colors(x, color_statistics(target), pull)


def test_the_measures_are_those_of_the_pixels() -> None:
    x = image(0)
    statistics = color_statistics(x)
    pixels = x[0].flatten(1)
    torch.testing.assert_close(statistics.mean, pixels.mean(dim=1))
    torch.testing.assert_close(statistics.covariance, torch.cov(pixels, correction=0))


def test_a_full_pull_gives_the_target_s_mean_and_covariance() -> None:
    target = image(1, contrast=0.06, mean=(0.4, 0.5, 0.6))
    held, goal = color_statistics(hold(image(0), target)), color_statistics(target)
    torch.testing.assert_close(held.mean, goal.mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(held.covariance, goal.covariance, atol=1e-4, rtol=0)


def test_what_is_on_target_stays() -> None:
    x = image(0)
    torch.testing.assert_close(hold(x, x), x, atol=1e-4, rtol=0)


def test_half_of_the_distance_goes_in_a_half_life_at_any_frame_rate() -> None:
    start, target = image(0), image(0, mean=(0.4, 0.5, 0.6))
    results = []
    for fps in (24, 60):
        x = start
        for _ in range(fps // 2):
            x = hold(x, target, elapsed=1 / fps, half_life=0.5)
        results.append(x.mean(dim=(2, 3)))
    halfway = (start.mean(dim=(2, 3)) + target.mean(dim=(2, 3))) / 2
    torch.testing.assert_close(results[0], halfway, atol=2e-3, rtol=0)
    torch.testing.assert_close(results[1], halfway, atol=2e-3, rtol=0)


def test_feedback_that_saturates_alone_is_held() -> None:
    start = image(0, contrast=0.15)
    alone, held = start, start
    target = color_statistics(start)
    for _ in range(200):

        def feed(x: Tensor) -> Tensor:
            return (0.5 + 1.05 * (x - 0.5) + torch.tensor([0.01, 0.0, -0.01]).view(1, 3, 1, 1)).clamp(0, 1)

        alone = feed(alone)
        held = hold_statistics(feed(held), target, elapsed_seconds=1 / 24, half_life_seconds=0.1)
    assert float(((alone == 0) | (alone == 1)).float().mean()) > 0.9
    assert float(((held < 0.5 / 255) | (held > 1 - 0.5 / 255)).float().mean()) == 0
    assert float(held.std() / start.std()) == pytest.approx(1, abs=0.25)
    assert float((held.mean(dim=(2, 3)) - start.mean(dim=(2, 3))).abs().max()) < 0.06


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_plain_image_gets_the_color_and_no_noise(level: float) -> None:
    held = hold(torch.full((1, 3, 20, 30), level), image(0))
    assert bool(torch.isfinite(held).all())
    assert float(held.std(dim=(2, 3)).max()) < 1e-4
    torch.testing.assert_close(held.mean(dim=(2, 3)), image(0).mean(dim=(2, 3)), atol=1e-3, rtol=0)


def test_the_result_is_an_image_and_tones_keep_their_order() -> None:
    ramp = torch.linspace(0, 1, 257).view(1, 1, 1, 257).expand(1, 3, 4, 257)
    wide = torch.cat([torch.zeros(1, 3, 4, 100), torch.ones(1, 3, 4, 100)], dim=3)
    held = hold(ramp, wide)  # stretched far beyond black and white
    assert float(held.min()) > 0
    assert float(held.max()) < 1
    steps = held[0, 0, 0].diff()
    assert float(steps.min()) > -1e-6


def test_runaway_detail_is_calmed_and_the_rest_left() -> None:
    x = image(0, contrast=0.05)
    target = color_statistics(x)
    noisy = x.clone()
    noise = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(2))
    noisy[..., :32] = (noisy[..., :32] + 0.25 * noise).clamp(0, 1)
    held = hold_statistics(noisy, target, elapsed_seconds=1, half_life_seconds=0)
    plain = match_colors(noisy, target, 1.0)
    assert float(held[..., 4:28].diff(dim=3).std()) < 0.7 * float(noisy[..., 4:28].diff(dim=3).std())
    right = (..., slice(48, None))
    assert float((held[right] - x[right]).abs().mean()) < float((plain[right] - x[right]).abs().mean())
