"""A draft is quick and tells what the film will be like."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from known_motion import texture
from renders import FRAMES, HEIGHT, RATE, WIDTH, frames_of, tiny

from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.dream.draft import draft
from dreamvid.dream.octaves import enlarged_size, octave_sizes
from dreamvid.image.tensors import resize
from dreamvid.metrics.score import score as score_films
from dreamvid.render.engine import render_video
from dreamvid.settings import load_settings
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source


def test_without_the_flag_nothing_changes(film: Path) -> None:
    settings = tiny()
    assert draft(settings, probe(open_source(film))) is settings


def test_size_rate_and_range(film: Path) -> None:
    info = probe(open_source(film))
    chosen = draft(tiny(draft=True, frames="5:20"), info)
    assert chosen.video.rate() == RATE / 2
    assert chosen.video.frame_range() == (2, 10)
    height, width = chosen.video.size_pixels() or (0, 0)
    assert height == 34, "48 lines of dream, half of their pixels"
    assert width / height == pytest.approx(WIDTH / HEIGHT, rel=0.05)
    asked = draft(tiny(draft=True, size="192x128", fps="30"), info)
    assert (asked.video.rate(), asked.video.frame_range()) == (Fraction(15), (0, None))


@pytest.mark.parametrize("size", ["1920x1080", "640x360", "320x240", "96x64"])
def test_the_octaves_keep_their_number_and_the_coarsest_its_size(film: Path, size: str) -> None:
    settings = load_settings(None, draft=True, size=size)
    width, height = (int(side) for side in size.split("x"))

    def heights(height: int, width: int, dream: object) -> list[int]:
        names = ("dream_height", "octaves", "octave_scale")
        size = enlarged_size(height, width, dream_height=dream.dream_height)
        return [h for h, _ in octave_sizes(*size, **{name: getattr(dream, name) for name in names})]

    final = heights(height, width, settings.dream)
    chosen = draft(settings, probe(open_source(film)))
    small = chosen.video.size_pixels()
    assert small is not None
    quick = heights(small.height, small.width, chosen.dream)
    assert len(quick) == len(final)
    assert quick[0] == pytest.approx(min(final[0], quick[-1]), abs=1)
    assert quick[-1] == small.height or height < 240, "only a small frame is dreamed larger than it is"
    assert quick[-1] < 0.75 * final[-1]
    assert small.height < 0.75 * height


def test_a_draft_is_rendered_and_its_recipe_makes_the_film(film: Path, tmp_path: Path) -> None:
    result = render_video(film, tmp_path / "draft.mkv", tiny(codec="ffv1", draft=True))
    images = frames_of(result.output)
    assert images.shape[1:3] == (34, 52)
    assert abs(len(images) - FRAMES / 2) <= 1
    asked = load_settings(result.recipe)
    assert asked.video.draft
    assert asked.video.size is None
    assert asked.dream.dream_height == 48
    score = score_films(film, result.output)  # its recipe says which of the source's frames it shows
    assert len(score.strength) == len(images)


def bands(residual: torch.Tensor) -> torch.Tensor:
    """Power of a residual by octaves of cycles per image height: 2 to 4, 4 to 8, 8 to 16, 16 to 32."""
    height, width = residual.shape[2:]
    power = torch.fft.rfft2(residual.mean(1)[0]).abs().square() / (height * width) ** 2
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None] * height, torch.fft.rfftfreq(width)[None] * height)
    return torch.stack([power[(frequency >= low) & (frequency < 2 * low)].sum() for low in (2, 4, 8, 16)])


def test_strength_and_patterns_are_the_same_at_every_size_and_much_the_same_in_a_draft() -> None:
    image = texture(288, 384)
    found = {}
    for name, height, chosen in (
        ("film", 144, dict(dream_height=144)),
        ("large", 288, dict(dream_height=144)),
        ("draft", 102, dict(dream_height=102, octave_scale=1.0)),
    ):
        options = {**dict(octaves=3, octave_scale=1.4, iterations=6, device="cpu"), **chosen}
        if name == "draft":
            coarsest = octave_sizes(144, 192, dream_height=144, octaves=3, octave_scale=1.4)[0][0]
            options["octave_scale"] = (102 / coarsest) ** 0.5
        dreamer = FrameDreamer(load_settings(None, **options))
        frame = resize(image, (height, height * 4 // 3)).clamp(0, 1)
        residual = dreamer.dream(dreamer.frame(frame), None, index=0, elapsed_seconds=0.04) - frame
        found[name] = float(residual.abs().mean()), bands(residual)
    for name, share in (("large", 0.15), ("draft", 0.15)):
        assert found[name][0] == pytest.approx(found["film"][0], rel=share), name
    likeness = torch.log2(found["large"][1] / found["film"][1])
    assert likeness.abs().max() < 1, "each band has the same power within a factor of two"
    assert torch.log2(found["draft"][1] / found["film"][1]).abs().max() < 1.5
