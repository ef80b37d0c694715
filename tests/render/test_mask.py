"""Where a film is dreamed, by image and by film."""

import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from known_motion import SMALL, pan, texture
from PIL import Image
from renders import FRAMES, HEIGHT, RATE, WIDTH, frames_of, segments_done, start_render, tiny

from dreamvid import dream_frames, dream_image
from dreamvid.coherence.frame_dreamer import FrameDreamer
from dreamvid.errors import SettingsError
from dreamvid.image.io import write_image
from dreamvid.render.engine import render_video
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.mask import Mask, mask_notes


def left_half(height: int, width: int, value: int = 255) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = value
    return image


@pytest.fixture
def half(tmp_path: Path) -> Path:
    write_image(tmp_path / "half.png", left_half(HEIGHT, WIDTH))
    return tmp_path / "half.png"


@pytest.fixture
def blinking(tmp_path: Path) -> Path:
    """A film of 2 s at 2 frames a second: black, white, black, white."""
    path = tmp_path / "blinking.mkv"
    graph = f"color=black:s={WIDTH}x{HEIGHT}:r=2:d=2,geq=lum='255*mod(N,2)':cb=128:cr=128"
    run_ffmpeg(["-f", "lavfi", "-i", graph, "-c:v", "ffv1", f"file:{path}"], "making a mask")
    return path


def dream_masked(frames: list[torch.Tensor], masks: list[torch.Tensor]) -> list[torch.Tensor]:
    dreamer = FrameDreamer(load_settings(None, **SMALL))
    dreamed = []
    for i, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        motion = dreamer.motion(dreamer.frame(frame), dreamer.frame(frames[i - 1])) if i else None
        dreamed.append(dreamer.dream(dreamer.frame(frame), motion, index=i, elapsed_seconds=1 / 25, mask=mask) - frame)
    return dreamed


def test_an_image_is_stretched_to_the_frame_and_stays(tmp_path: Path) -> None:
    write_image(tmp_path / "m.png", left_half(10, 20))
    with Mask(str(tmp_path / "m.png"), Size(30, 40), "cpu") as mask:
        assert mask.at(0).shape == (1, 1, 30, 40)
        assert mask.at(99)[..., :18].min() > 0.99
        assert mask.at(99)[..., 22:].max() < 0.01


def test_a_film_runs_by_its_own_times_and_its_end_stays(blinking: Path) -> None:
    with Mask(str(blinking), Size(8, 8), "cpu") as mask:
        seen = [round(float(mask.at(float(Fraction(i, 10))).mean()), 1) for i in range(30)]
    assert seen == [0.0] * 5 + [1.0] * 5 + [0.0] * 5 + [1.0] * 15


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return ((y - height / 2) ** 2 + (x - width / 3) ** 2 < (height / 4) ** 2).astype(np.uint8) * 255


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 30, 90), None])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_the_shape_may_be_in_the_transparency(tmp_path: Path, color: tuple[int, int, int] | None, mode: str) -> None:
    """A silhouette, a stencil, a sticker, and a cut-out of a photograph."""
    alpha = disc(30, 40)
    colors = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    if color is not None:
        colors[:] = color
    elif mode != "RGBA":
        pytest.skip("a photograph has colors")
    image = Image.fromarray(np.dstack([colors, alpha]))
    if mode == "P":
        palette = Image.fromarray((alpha > 0).astype(np.uint8), "P")
        palette.putpalette([0, 255, 0, *colors[0, 0].tolist()])
        palette.save(tmp_path / "m.png", transparency=0)
    else:
        image.convert(mode).save(tmp_path / "m.png")
    with Mask(str(tmp_path / "m.png"), Size(30, 40), "cpu") as mask:
        assert np.array_equal(np.rint(mask.at(0)[0, 0].numpy() * 255), alpha)
    assert mask_notes(str(tmp_path / "m.png")) == []


def test_grays_that_are_transparent_count_as_both_say(tmp_path: Path) -> None:
    gray = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    Image.fromarray(np.dstack([gray, disc(30, 40)])).save(tmp_path / "m.png")
    with Mask(str(tmp_path / "m.png"), Size(30, 40), "cpu") as mask:
        assert np.array_equal(np.rint(mask.at(0)[0, 0].numpy() * 255), np.where(disc(30, 40) > 0, gray, 0))


@pytest.mark.parametrize("count", [1, 3])
def test_a_mask_that_is_black_everywhere_is_told(tmp_path: Path, count: int) -> None:
    (tmp_path / "masks").mkdir()
    for number in range(count):
        write_image(tmp_path / "masks" / f"{number}.png", left_half(10, 20, 0))
    text = str(tmp_path / "masks")
    assert "black everywhere" in mask_notes(text)[0]
    frame = np.full((64, 96, 3), 90, np.uint8)
    with pytest.warns(UserWarning, match=r"masks is black everywhere, so that nothing is dreamed"):
        assert np.array_equal(dream_image(frame, tiny(mask=text)), frame)
    write_image(tmp_path / "masks" / "9.png", left_half(10, 20))
    assert mask_notes(text) == []


@pytest.mark.parametrize("color", ["black", "white"])
def test_a_video_may_have_its_shape_in_its_transparency(tmp_path: Path, color: str) -> None:
    """A square of half the height, that is there in the second of two frames."""
    path = tmp_path / "shape.mov"
    graph = f"color={color}:s=40x20:r=2:d=1,format=rgba,geq=r='p(X,Y)':g='p(X,Y)':b='p(X,Y)'"
    graph += ":a='255*N*lt(X,10)*lt(Y,10)'"
    run_ffmpeg(["-f", "lavfi", "-i", graph, "-c:v", "qtrle", f"file:{path}"], "making a mask")
    with Mask(str(path), Size(20, 40), "cpu") as mask:
        assert mask.at(0).max() == 0
        later = mask.at(0.6)
        assert later[..., :10, :10].min() > 0.99
        assert later.sum() < 101
    assert mask_notes(str(path)) == []


@pytest.mark.parametrize("text", ["nothing.png", "folder", "words.mp4", "words.png"])
def test_what_cannot_be_read_is_told_with_what_is_allowed(text: str, tmp_path: Path, film: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("words.mp4", "words.png"):
        (tmp_path / name).write_text("no image")
    with pytest.raises(SettingsError, match=r"`mask` .*an image or a video"):
        render_video(film, tmp_path / "dream.mkv", tiny(mask=str(tmp_path / text)))
    with pytest.raises(SettingsError, match=r"`mask` .*an image or a video"):
        dream_image(np.zeros((64, 96, 3), np.uint8), tiny(mask=str(tmp_path / text)))
    assert not list(tmp_path.glob("dream*"))


def test_black_is_the_source_and_white_dreams(half: Path) -> None:
    source = (texture(HEIGHT, WIDTH)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for dreamed in dream_frames([source] * 3, tiny(mask=str(half), half_life_seconds=5.0), fps=25):
        assert (dreamed[:, WIDTH // 2 :] == source[:, WIDTH // 2 :]).all()
        assert (dreamed[:, : WIDTH // 2] != source[:, : WIDTH // 2]).mean() > 0.5


def test_gray_holds_its_share_from_frame_to_frame() -> None:
    frames = pan(8, speed=1)
    whole = dream_masked(frames, [torch.ones(1, 1, 96, 128)] * 8)
    part = dream_masked(frames, [torch.full((1, 1, 96, 128), 0.5)] * 8)
    shares = [float(a.abs().mean() / b.abs().mean()) for a, b in zip(part, whole, strict=True)]
    assert all(0.35 < share < 0.65 for share in shares), shares


def test_a_mask_that_moves_takes_the_dream_away_and_lets_it_grow() -> None:
    frames = pan(8, speed=1)
    left = torch.zeros(1, 1, 96, 128)
    left[..., :64] = 1
    dreamed = dream_masked(frames, [left] * 2 + [1 - left] * 6)
    strength = [(float(r[..., :60].abs().mean()), float(r[..., 68:].abs().mean())) for r in dreamed]
    assert strength[1][1] == 0
    assert strength[1][0] > 0.01
    assert strength[2][0] == 0, "at once"
    grown = [right / strength[1][0] for _, right in strength[2:]]
    assert all(0.75 < share < 1.35 for share in grown), "as at a place that comes into view"


def test_keeping_the_colors_adds_the_same_to_every_channel() -> None:
    frames = [0.25 + 0.5 * frame for frame in pan(3, speed=1)]
    dreamer = FrameDreamer(load_settings(None, keep_color=True, step_size=0.004, **SMALL))
    for i, frame in enumerate(frames):
        motion = dreamer.motion(dreamer.frame(frame), dreamer.frame(frames[i - 1])) if i else None
        residual = dreamer.dream(dreamer.frame(frame), motion, index=i, elapsed_seconds=1 / 25) - frame
        assert residual.abs().mean() > 0.005
        assert (residual - residual.mean(1, keepdim=True)).abs().max() < 1e-5


def test_keeping_the_colors_stops_before_a_channel_clips() -> None:
    red = torch.zeros(1, 3, 64, 64)
    red[:, 0] = 0.98
    red[:, 1:] = texture(64, 64)[:, 1:] * 0.2 + 0.05
    dreamer = FrameDreamer(load_settings(None, keep_color=True, **{**SMALL, "dream_height": 64}))
    residual = dreamer.dream(dreamer.frame(red), None, index=0, elapsed_seconds=1 / 25) - red
    assert (residual - residual.mean(1, keepdim=True)).abs().max() < 1e-5
    assert residual.max() <= 0.02 + 1e-5


def test_a_masked_film_goes_on_where_it_was_stopped(film: Path, blinking: Path, tmp_path: Path) -> None:
    settings = tiny(codec="ffv1", mask=str(blinking), keep_color=True)
    process = start_render(film, tmp_path / "broken.mkv", settings)
    while not segments_done(tmp_path / "broken.mkv") and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    resumed = render_video(film, tmp_path / "broken.mkv", settings)
    undisturbed = render_video(film, tmp_path / "whole.mkv", settings)
    assert resumed.resumed_from > 0
    images = frames_of(undisturbed.output)
    assert (frames_of(resumed.output) == images).all()
    source = frames_of(film)
    unlike = abs(images.astype(int) - source).mean(axis=(1, 2, 3))
    black = [i for i in range(FRAMES) if int(i / RATE * 2) in (0, 2)]
    assert unlike[black].max() == 0
    assert np.delete(unlike, black).min() > 0
