import math

import pytest
import torch
from torch import Tensor

from dreamvid.camera.movement import Camera, Movement, kaleidoscope, move
from dreamvid.errors import SettingsError
from dreamvid.motion.warp import pixel_grid

WIDTH, HEIGHT = 96, 64
EVERYTHING = Camera(zoom=1.5, rotate=25, pan_x=0.1, pan_y=-0.2, shear_x=0.15, shear_y=-0.05, center_x=0.3, center_y=0.8)


def place(matrix: Tensor, x: float, y: float) -> tuple[float, float]:
    x, y, _ = (matrix @ torch.tensor([x, y, 1.0], dtype=torch.float64)).tolist()
    return x, y


def waves(frequency: float, width: int = WIDTH, height: int = HEIGHT, scale: float = 1.0) -> Tensor:
    """Slanted waves of `frequency` cycles per pixel, seen at a scale about the middle: (1, 3, H, W)."""
    grid = pixel_grid(height, width, torch.zeros(1, dtype=torch.float64))
    x, y = (grid[:, 0] - (width - 1) / 2) / scale, (grid[:, 1] - (height - 1) / 2) / scale
    angles = [(math.cos(a), math.sin(a)) for a in (0.3, 1.4, 2.6)]
    return torch.stack([0.5 + 0.4 * torch.cos(math.tau * frequency * (c * x + s * y)) for c, s in angles], 1).float()


def natural(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Tensor:
    """A random image whose power falls with the square of the frequency, (1, 3, H, W) in [0, 1]."""
    noise = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    k = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]).clamp_min(1 / height)
    x = torch.fft.irfft2(torch.fft.rfft2(noise) / k, s=(height, width))
    return (0.5 + 0.15 * x / x.std()).clamp(0, 1)


class TestTransform:
    @pytest.mark.parametrize(
        ("camera", "start", "end"),
        [
            (Camera(), (10, 20), (10, 20)),
            (Camera(zoom=2), (47.5 + 5, 31.5 - 3), (47.5 + 20, 31.5 - 12)),
            (Camera(zoom=0.5), (47.5 + 8, 31.5 + 4), (47.5 + 2, 31.5 + 1)),
            (Camera(rotate=45), (47.5 + 10, 31.5), (47.5, 31.5 + 10)),
            (Camera(pan_x=0.25, pan_y=-0.5), (0, 64), (48, 0)),
            (Camera(shear_x=0.1), (47.5, 31.5 + 10), (47.5 + 2, 31.5 + 10)),
            (Camera(shear_y=0.1), (47.5 + 10, 31.5), (47.5 + 10, 31.5 + 2)),
            (Camera(zoom=3, rotate=70, center_x=0.0, center_y=1.0), (-0.5, 63.5), (-0.5, 63.5)),
        ],
    )
    def test_two_seconds_of_one_movement(self, camera: Camera, start: tuple, end: tuple) -> None:
        assert place(camera.transform(2, WIDTH, HEIGHT), *start) == pytest.approx(end)

    @pytest.mark.parametrize("movement", [EVERYTHING, EVERYTHING + Camera(zoom=0.7, center_x=0.9, pan_y=0.4)])
    def test_the_frame_rate_does_not_change_the_journey(self, movement: Movement) -> None:
        def journey(fps: int) -> Tensor:
            return torch.linalg.matrix_power(movement.transform(1 / fps, WIDTH, HEIGHT), fps)

        torch.testing.assert_close(journey(60), journey(24))
        torch.testing.assert_close(journey(60), movement.transform(1.0, WIDTH, HEIGHT))

    def test_back_is_the_inverse(self) -> None:
        there, back = (EVERYTHING.transform(seconds, WIDTH, HEIGHT) for seconds in (1.5, -1.5))
        torch.testing.assert_close(there @ back, torch.eye(3, dtype=torch.float64))

    def test_cameras_together_add_and_do_not_care_for_order(self) -> None:
        zoom, turn = Camera(zoom=1.5), Camera(rotate=25)
        both = Camera(zoom=1.5, rotate=25).transform(0.7, WIDTH, HEIGHT)
        torch.testing.assert_close((zoom + turn).transform(0.7, WIDTH, HEIGHT), both)
        torch.testing.assert_close((turn + zoom).transform(0.7, WIDTH, HEIGHT), both)

    def test_size_scales_the_journey(self) -> None:
        zoom = Camera(zoom=1.5, rotate=25, pan_x=0.1, pan_y=0.2, center_x=0.2)
        small = place(zoom.transform(1, 96, 64), 20 - 0.5, 30 - 0.5)
        large = place(zoom.transform(1, 192, 128), 40 - 0.5, 60 - 0.5)
        assert [2 * (value + 0.5) - 0.5 for value in small] == pytest.approx(large)

    @pytest.mark.parametrize(
        ("bad", "words"),
        [
            ({"zoom": 0.0}, "zoom got 0: allowed is above 0"),
            ({"zoom": -1.2}, "zoom got -1.2"),
            ({"rotate": math.nan}, "rotate .*finite"),
            ({"zoom": math.inf}, "zoom .*finite"),
            ({"center_x": 1.5}, "center_x got 1.5: allowed is from 0"),
        ],
    )
    def test_impossible_cameras_are_refused(self, bad: dict, words: str) -> None:
        with pytest.raises(SettingsError, match=words):
            Camera(**bad)


class TestMove:
    def test_standing_still_changes_nothing(self) -> None:
        image = natural()
        moved, inside = move(image, Camera().transform(1 / 24, WIDTH, HEIGHT))
        assert torch.equal(moved, image)
        assert bool((inside == 1).all())

    def test_whole_pixels_are_a_plain_shift(self) -> None:
        image = natural()
        moved, inside = move(image, Camera(pan_x=5 / WIDTH, pan_y=-3 / HEIGHT).transform(1, WIDTH, HEIGHT))
        torch.testing.assert_close(moved[..., :-3, 5:], image[..., 3:, :-5], atol=1e-5, rtol=0)
        assert bool((inside[..., :-3, 5:] == 1).all())
        assert not inside[..., -3:, :].any()
        assert not inside[..., :5].any()

    @pytest.mark.parametrize("zoom", [1.3, 0.8])
    def test_content_goes_where_the_matrix_says(self, zoom: float) -> None:
        moved, _ = move(waves(0.1), Camera(zoom=zoom).transform(1, WIDTH, HEIGHT))
        inner = (..., slice(16, -16), slice(24, -24))
        torch.testing.assert_close(moved[inner], waves(0.1, scale=zoom)[inner], atol=5e-3, rtol=0)

    @pytest.mark.parametrize(("frequency", "least"), [(0.05, 0.97), (0.12, 0.95), (0.2, 0.9)])
    def test_thirty_steps_keep_detail_and_its_place(self, frequency: float, least: float) -> None:
        """Frequency: cycles per pixel after the steps; bicubic sampling leaves 0.9 of 0.12 and less than 0.5 of 0.2."""
        steps, zoom = 30, 1.01
        image = waves(frequency * zoom**steps, 128, 128)
        matrix = Camera(zoom=zoom).transform(1, 128, 128)
        for _ in range(steps):
            image = move(image, matrix).image
        inner = (..., slice(48, -48), slice(48, -48))
        expected = waves(frequency, 128, 128, scale=1.0)[inner] - 0.5
        gain = float(((image[inner] - 0.5) * expected).mean() / expected.square().mean())
        assert least < gain < 1.02

    def test_nothing_grows_however_often_it_is_moved(self) -> None:
        random = torch.Generator().manual_seed(3)
        image = torch.rand(1, 3, 64, 64, generator=random) * 0.5 + 0.25
        energy = [float(image.std())]
        for index in range(60):
            shift = torch.rand(2, generator=random) - 0.5
            camera = Camera(rotate=3, pan_x=float(shift[0]) / 64, pan_y=float(shift[1]) / 64)
            image = move(image, camera.transform(1, 64, 64), seed=index).image
            energy.append(float(image[..., 20:-20, 20:-20].std()))
        assert max(energy[1:]) <= energy[0]
        assert energy[-1] > 0.4 * energy[0]

    def test_shrinking_makes_no_moire(self) -> None:
        stripes = waves(0.45)
        moved, inside = move(stripes, Camera(zoom=0.25).transform(1, WIDTH, HEIGHT))
        core = moved[..., HEIGHT // 2 - 5 : HEIGHT // 2 + 5, WIDTH // 2 - 8 : WIDTH // 2 + 8]
        assert float(core.std()) < 0.03
        assert 0.05 < float(inside.mean()) < 0.07

    def test_what_comes_in_is_like_the_image(self) -> None:
        image = natural(width=128, height=96)
        start = image.clone()
        matrix = Camera(zoom=0.98).transform(1, 128, 96)
        for index in range(60):
            image, inside = move(image, matrix, seed=(7, index))
            assert 0.94 < float(inside.mean()) < 1
        border = torch.ones(96, 128, dtype=torch.bool)
        border[20:-20, 26:-26] = False
        ring = image[..., border]
        assert float((ring.mean() - start.mean()).abs()) < 0.1
        assert 0.6 < float(ring.std() / start.std()) < 1.7
        assert float((ring < 0.01).float().mean()) < 0.02
        # No mirror image and no streak: columns outside are no copies of those inside.
        left = image[0, 0, 20:-20, :13]
        streak = torch.corrcoef(torch.stack((left[:, 0], left[:, 12])))[0, 1]
        assert abs(float(streak)) < 0.8

    def test_the_seed_decides_what_comes_in(self) -> None:
        matrix = Camera(zoom=0.7).transform(1, WIDTH, HEIGHT)
        one, again, other = (move(natural(), matrix, seed=seed).image for seed in (1, 1, 2))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)

    @pytest.mark.parametrize("camera", [Camera(pan_x=50.0), Camera(zoom=1e-6), Camera(zoom=1e6)])
    def test_extreme_moves_stay_images(self, camera: Camera) -> None:
        moved, inside = move(natural(), camera.transform(1, WIDTH, HEIGHT))
        assert moved.shape == (1, 3, HEIGHT, WIDTH)
        assert inside.shape == (1, 1, HEIGHT, WIDTH)
        assert bool(torch.isfinite(moved).all())
        assert 0 <= float(moved.min()) <= float(moved.max()) <= 1

    def test_a_plain_image_stays_plain(self) -> None:
        plain = torch.full((1, 3, 33, 47), 0.3)
        moved, _ = move(plain, Camera(zoom=0.8, rotate=20).transform(1, 47, 33))
        torch.testing.assert_close(moved, plain, atol=1e-4, rtol=0)


class TestFolds:
    @pytest.mark.parametrize("segments", [3, 4, 6])
    def test_a_kaleidoscope_is_symmetric_by_turns_and_by_mirror(self, segments: int) -> None:
        fold = kaleidoscope(segments, 65, 65, turn=20)
        generator = torch.Generator().manual_seed(0)
        radius = 25 * torch.rand(200, generator=generator)
        angle = math.tau * torch.rand(200, generator=generator)

        def at(angle: Tensor) -> Tensor:
            return fold(torch.stack((32 + radius * angle.cos(), 32 + radius * angle.sin()))[None, :, None])

        here = at(angle)
        torch.testing.assert_close(at(angle + math.tau / segments), here, atol=1e-3, rtol=0)
        torch.testing.assert_close(at(2 * math.radians(20) - angle), here, atol=1e-3, rtol=0)
        torch.testing.assert_close(fold(here), here, atol=1e-3, rtol=0)  # folding twice is folding once
        torch.testing.assert_close(torch.hypot(here[0, 0] - 32, here[0, 1] - 32)[0], radius, atol=1e-3, rtol=0)

    def test_one_segment_is_a_half_and_its_mirror_image(self) -> None:
        image = natural()
        moved, inside = move(image, torch.eye(3, dtype=torch.float64), fold=kaleidoscope(1, WIDTH, HEIGHT))
        assert float(inside.min()) > 0.999
        torch.testing.assert_close(moved, moved.flip(2), atol=1e-4, rtol=0)
        half = HEIGHT // 2
        torch.testing.assert_close(moved[:, :, half:], image[:, :, half:], atol=1e-4, rtol=0)

    def test_no_segments_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="1 segment or more, got 0"):
            kaleidoscope(0, WIDTH, HEIGHT)
