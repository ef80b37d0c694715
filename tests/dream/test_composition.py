"""What is done with a dream when it is added to its source: strength, palette, blending, sharpening."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamvid import dream_image, load_settings
from dreamvid.coherence import large_frame
from dreamvid.dream.composition import Composition
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.palette import Palette
from dreamvid.errors import SettingsError
from dreamvid.image.io import write_image
from dreamvid.image.oklab import from_oklab, to_oklab
from dreamvid.image.tensors import luma
from dreamvid.settings import DreamSettings
from dreamvid.settings.palettes import PALETTES

ADD = UpdateRule.from_settings(DreamSettings()).add


def image(seed: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    noise = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * torch.nn.functional.interpolate(noise, (48, 64), mode="bicubic").clamp(0, 1)


SOURCE, RESIDUAL = image(1), image(2, -0.3, 0.3)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # published with the color space
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.62796, 0.22486, 0.12585)),
        ((0.0, 1.0, 0.0), (0.86644, -0.23389, 0.17950)),
        ((0.0, 0.0, 1.0), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_has_the_published_values(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = to_oklab(torch.tensor(rgb).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(lab), atol=2e-4, rtol=0)


def test_oklab_and_back_is_the_same_image() -> None:
    torch.testing.assert_close(from_oklab(to_oklab(SOURCE)), SOURCE, atol=2e-5, rtol=0)


def test_a_plain_composition_is_the_update_rule_bit_for_bit() -> None:
    assert torch.equal(Composition().compose(SOURCE, RESIDUAL, ADD), ADD(SOURCE, RESIDUAL))


@pytest.mark.parametrize("blend", ["normal", "luma", "overlay", "screen"])
@pytest.mark.parametrize("palette", ["none", "warm"])
def test_strength_0_shows_the_source(blend: str, palette: str) -> None:
    composition = Composition(strength=0.0, blend=blend, palette=palette)  # type: ignore[arg-type]
    colors = composition.color_map(Palette.from_text(palette, "cpu"), SOURCE, RESIDUAL, ADD)
    torch.testing.assert_close(composition.compose(SOURCE, RESIDUAL, ADD, colors=colors), SOURCE, atol=1e-6, rtol=0)


def test_strength_scales_what_is_added() -> None:
    middle, small = image(3, 0.4, 0.6), RESIDUAL / 4  # nothing is clamped
    for strength in (0.5, 1.0, 2.0):
        added = Composition(strength=strength).compose(middle, small, ADD) - middle
        torch.testing.assert_close(added, strength * small, atol=1e-6, rtol=0)


def test_luma_keeps_the_chroma_and_normal_does_not() -> None:
    middle, small = image(3, 0.4, 0.6), RESIDUAL / 4
    dreamed = Composition(blend="luma").compose(middle, small, ADD)
    torch.testing.assert_close(dreamed - luma(dreamed), middle - luma(middle), atol=1e-6, rtol=0)
    torch.testing.assert_close(luma(dreamed), luma(middle + small), atol=1e-6, rtol=0)


def test_screen_only_lightens_and_overlay_keeps_black_and_white() -> None:
    screened = Composition(blend="screen", strength=2.0).compose(SOURCE, RESIDUAL, ADD)
    assert (screened >= SOURCE - 1e-6).all()
    ends = (SOURCE > 0.5).float()  # black and white alone
    torch.testing.assert_close(Composition(blend="overlay").compose(ends, RESIDUAL, ADD), ends)


def test_sharpening_is_of_the_source_and_leaves_flat_areas() -> None:
    still = torch.zeros_like(RESIDUAL)
    flat = torch.full_like(SOURCE, 0.3)
    sharpen = Composition(sharpen_source=1.0)
    torch.testing.assert_close(sharpen.compose(flat, still, ADD), flat, atol=1e-6, rtol=0)
    edge = torch.where(torch.arange(640).view(1, 1, 1, -1) < 320, 0.3, 0.6).expand(1, 3, 480, 640)
    sharpened = sharpen.compose(edge, torch.zeros_like(edge), ADD)
    across = sharpened[0, 0, 240]
    assert across[319] < 0.29  # darker on the dark side of the edge
    assert across[320] > 0.61
    torch.testing.assert_close(across[:300], edge[0, 0, 240, :300], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [name for name in PALETTES if name not in ("none", "source", "mono", "neon")])
def test_colors_get_the_mean_of_the_palette(name: str) -> None:
    palette = Palette.from_text(name, "cpu")
    assert palette is not None
    calm = image(4, 0.3, 0.7)  # neither end of the range cuts colors off
    held = palette.map_from(Palette.of_image(calm))(calm)
    found = Palette.of_image(held)
    torch.testing.assert_close(found.mean, palette.mean, atol=0.01, rtol=0)
    lightness = (to_oklab(held) - to_oklab(calm))[:, 0].abs()
    assert lightness.mean() < 0.002  # few colors are outside of what RGB has


def test_mono_has_no_color() -> None:
    palette = Palette.from_text("mono", "cpu")
    assert palette is not None
    gray = palette.map_from(Palette.of_image(SOURCE))(SOURCE)
    assert (gray.amax(dim=1) - gray.amin(dim=1)).max() < 0.01


def test_an_image_gives_its_own_palette(tmp_path: Path) -> None:
    other = image(5, 0.3, 0.6) * torch.tensor([1.2, 0.9, 0.6]).view(1, 3, 1, 1)
    pixels = (other[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    write_image(tmp_path / "colors.png", pixels)
    palette = Palette.from_text(str(tmp_path / "colors.png"), "cpu")
    assert palette is not None
    wanted = Palette.of_image(other)
    torch.testing.assert_close(palette.mean, wanted.mean, atol=2e-3, rtol=0)
    held = Palette.of_image(palette.map_from(Palette.of_image(image(4, 0.3, 0.7)))(image(4, 0.3, 0.7)))
    torch.testing.assert_close(held.mean, wanted.mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(held.covariance, wanted.covariance, atol=2e-4, rtol=0)


def test_an_unknown_palette_is_told_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="'warm'"):
        Palette.from_text("wram", "cpu")


def test_strips_of_a_large_frame_are_composed_as_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = (SOURCE[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    settings = load_settings(
        None,
        iterations=1,
        octaves=1,
        dream_height=48,
        objective="blocks.1.0",
        palette="autumn",
        sharpen_source=1.5,
        strength=1.3,
        blend="overlay",
    )
    whole = dream_image(pixels, settings)
    monkeypatch.setattr(large_frame, "LARGE_PIXELS", 100)
    monkeypatch.setattr(large_frame, "row_strips", lambda height, width: [slice(0, 7), slice(7, 40), slice(40, height)])
    strips = dream_image(pixels, settings)
    assert np.abs(strips.astype(int) - whole.astype(int)).max() <= 1


def test_strength_follows_its_schedule_in_every_frame() -> None:
    from dreamvid import dream_frames

    frame = (SOURCE[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    settings = load_settings(
        None, iterations=2, octaves=1, dream_height=48, objective="blocks.1.0", cadence=2, strength="frame % 2"
    )
    dreamed = list(dream_frames([frame] * 5, settings, fps=10))
    changed = [bool((made != frame).any()) for made in dreamed]
    assert changed == [False, True, False, True, False]
