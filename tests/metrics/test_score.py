"""The score is honest: known films have known scores, and worse films have worse ones."""

import json
import math
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.octaves import OctaveAscent, Shifts
from dreamvid.dream.optimizer import UpdateRule
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import InputError, OutputError
from dreamvid.figures.charts import plot_score
from dreamvid.figures.worst_frames import plot_worst_frames, worst_frames_sheet
from dreamvid.image.io import read_image
from dreamvid.metrics.report import Score
from dreamvid.metrics.score import ObjectiveMeter, Scorer, read_pairs, score, score_frames
from dreamvid.metrics.temporal import OLDEST, RevealedPlaces, Tone, warping_error
from dreamvid.networks.network import load_network
from dreamvid.settings import load_settings
from dreamvid.settings.recipe import Recipe, write_recipe
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import ffmpeg_path

HEIGHT, WIDTH, PAN, FRAMES = 96, 160, 4, 8


@pytest.fixture(scope="module")
def meter() -> ObjectiveMeter:
    return ObjectiveMeter.from_settings(load_settings(device="cpu"))


RULE = UpdateRule(laplacian_levels=4, gradient_norm="mean", color_space="rgb", clamp="step")


def _texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Soft spots that flow can hold on to, (1, 3, H, W) from 0.2 to 0.8."""
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)
    return 0.2 + 0.6 * (smooth - smooth.amin()) / (smooth.amax() - smooth.amin())


def _pan(canvas: Tensor, frames: int = FRAMES) -> list[Tensor]:
    """Windows on a wide image: it moves left by PAN pixels a frame, new places come in on the right."""
    return [canvas[..., n * PAN : n * PAN + WIDTH].contiguous() for n in range(frames)]


@pytest.fixture(scope="module")
def canvas() -> Tensor:
    return _texture(HEIGHT, WIDTH + FRAMES * PAN + 64, seed=1)  # the dream's own border is never seen


@pytest.fixture(scope="module")
def ascent() -> OctaveAscent:
    network = load_network()
    objective = parse_objective("blocks.4.1").resolve(network.table)
    return OctaveAscent(
        TiledGradient(network.truncate(objective.layers), objective, tile=1024), RULE, octave_carry="residual"
    )


@pytest.fixture(scope="module")
def overlay(canvas: Tensor, ascent: OctaveAscent) -> Tensor:
    """The residual of the whole canvas, dreamed once."""
    return _grow(ascent, canvas, frame=0)


def _grow(ascent: OctaveAscent, image: Tensor, frame: int) -> Tensor:
    size = (image.shape[2], image.shape[3])
    return ascent.grow(image, None, [size], iterations=4, step=0.02, shifts=Shifts(0, frame))


@pytest.fixture(scope="module")
def films(canvas: Tensor, overlay: Tensor, ascent: OctaveAscent) -> dict[str, list[Tensor]]:
    source = _pan(canvas)
    return {
        "source": source,
        "riding": _pan(canvas + overlay),
        "alone": [frame + _grow(ascent, frame, n) for n, frame in enumerate(source)],
    }


@pytest.fixture(scope="module")
def riding(films: dict[str, list[Tensor]], meter: ObjectiveMeter) -> Score:
    return score_frames(films["source"], films["riding"], meter, fps=25)


def test_a_copy_of_the_source_has_no_excess_and_strength_one(
    films: dict[str, list[Tensor]], meter: ObjectiveMeter
) -> None:
    result = score_frames(films["source"], films["source"], meter, fps=4)
    assert np.array_equal(result.excess[1:], np.zeros(FRAMES - 1))
    assert np.allclose(result.strength, 1, atol=1e-6)
    assert all(abs(change) < 1e-6 for change in result.drift.values())
    assert result.mean_clipped == 0
    seen = np.isfinite(result.revealed_strength)
    assert seen.any()
    assert np.allclose(result.revealed_strength[seen], 1, atol=1e-5)


def test_frames_dreamed_alone_are_worse_than_a_dream_that_rides(
    films: dict[str, list[Tensor]], meter: ObjectiveMeter, riding: Score
) -> None:
    alone = score_frames(films["source"], films["alone"], meter, fps=25)
    assert riding.mean_strength > 1.2
    assert alone.mean_strength > 1.2
    assert abs(riding.mean_excess) < 0.1 * alone.mean_excess


def test_shuffled_frames_are_worse(films: dict[str, list[Tensor]], meter: ObjectiveMeter, riding: Score) -> None:
    order = [3, 0, 6, 1, 7, 4, 2, 5]
    shuffled = score_frames(films["source"], [films["riding"][n] for n in order], meter, fps=25)
    assert shuffled.mean_excess > 10 * abs(riding.mean_excess)
    assert shuffled.mean_source_error == riding.mean_source_error


def test_a_known_flicker_gives_its_square(meter: ObjectiveMeter) -> None:
    still = _texture(64, 96)
    source = [still] * 5
    offsets = [0.0, 0.05, -0.03, -0.03, 0.1]
    result = score_frames(source, [still + offset for offset in offsets], meter, fps=25)
    expected = [1e4 * (b - a) ** 2 for a, b in pairwise(offsets)]
    assert math.isnan(result.dream_error[0])
    assert result.dream_error[1:] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert result.source_error[1:] == pytest.approx([0] * 4, abs=1e-6)
    assert result.valid_fraction[1:] == pytest.approx([1] * 4)
    assert result.mean_excess == pytest.approx(np.mean(expected), rel=1e-3)


def test_the_error_counts_only_the_mask_and_follows_the_flow() -> None:
    previous = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 2
    this = torch.roll(previous, -2, dims=3)  # what is here was two pixels to the right
    mask = torch.zeros(1, 1, 8, 12)
    mask[..., :10] = 1
    assert warping_error(this, previous, flow, mask) == pytest.approx(0, abs=1e-6)
    changed = this.clone()
    changed[0, 1, 3, 4] += 0.6
    changed[0, :, :, 11] += 0.9
    assert warping_error(changed, previous, flow, mask) == pytest.approx(1e4 * 0.36 / (3 * 80), rel=1e-4)
    assert math.isnan(warping_error(this, previous, flow, torch.zeros_like(mask)))


def _sky(frames: int) -> list[Tensor]:
    """A sky without clouds behind a camera that stands still: soft noise of half a level, new in each frame."""
    light = torch.linspace(0.6, 0.8, 120)[:, None].expand(120, 160).expand(1, 3, 120, 160)
    generator = torch.Generator().manual_seed(2)
    noise = (torch.randn(1, 1, 30, 40, generator=generator) for _ in range(frames))
    return [
        light + 0.002 * F.interpolate(n, (120, 160), mode="bicubic", align_corners=False).expand(1, 3, 120, 160)
        for n in noise
    ]


def test_a_dream_that_stands_still_before_a_noisy_sky_has_no_excess(meter: ObjectiveMeter) -> None:
    """Its flow is that of noise, and the dream is not to follow it; a dream that changes is told as before."""
    sky, dream = _sky(6), 0.2 * (_texture(120, 160, seed=4) - 0.5)
    still = score_frames(sky, [frame + dream for frame in sky], meter, fps=25)
    others = [0.2 * (_texture(120, 160, seed=4 + n) - 0.5) for n in range(6)]
    changing = score_frames(sky, [frame + other for frame, other in zip(sky, others, strict=True)], meter, fps=25)
    assert still.mean_excess < 0.02 * changing.mean_excess


@pytest.mark.parametrize("speed", [0.5, PAN])
def test_a_dream_that_stands_still_before_a_moving_texture_is_told(
    canvas: Tensor, meter: ObjectiveMeter, speed: float
) -> None:
    """However slowly it moves, what is seen to move has to take its dream along."""
    shift = [torch.tensor([[[1, 0, 2 * n * speed / canvas.shape[3]], [0, 1, 0]]]) for n in range(4)]
    grids = [F.affine_grid(matrix, list(canvas.shape), align_corners=False) for matrix in shift]

    def moving(image: Tensor) -> list[Tensor]:
        return [F.grid_sample(image, grid, mode="bicubic", align_corners=False)[..., :WIDTH] for grid in grids]

    pattern = 0.2 * (_texture(*canvas.shape[2:], seed=4) - 0.5)
    source = moving(canvas)
    stuck = score_frames(source, [frame + pattern[..., :WIDTH] for frame in source], meter, fps=25)
    riding = score_frames(source, moving(canvas + pattern), meter, fps=25)
    step = 1e4 * (moving(pattern)[1] - moving(pattern)[0]).square().mean()
    assert stuck.mean_excess > 0.8 * float(step)
    assert abs(riding.mean_excess) < 0.1 * stuck.mean_excess


def test_tone_of_known_images() -> None:
    half = torch.zeros(1, 3, 4, 8)
    half[..., :4] = 1
    assert Tone.from_image(half) == Tone(pytest.approx(0.5), pytest.approx(0.5), 0.0)
    red = torch.zeros(1, 3, 4, 8)
    red[:, 0] = 0.8
    assert Tone.from_image(red) == Tone(pytest.approx(0.8 * 0.299), pytest.approx(0, abs=1e-6), pytest.approx(0.8))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_clipped_share_is_exact_and_leaves_out_what_the_source_clips(
    kind: type[np.unsignedinteger], meter: ObjectiveMeter
) -> None:
    top = np.iinfo(kind).max
    source = np.full((64, 80, 3), top // 2, kind)
    source[:8] = top
    dream = source.copy()
    dream[:16, :, 0] = top  # half of these rows were clipped before
    dream[60, :20, 2] = 0
    result = score_frames([source, source], [dream, source], meter, fps=25)
    assert result.clipped.tolist() == [(8 * 80 + 20) / (64 * 80), 0.0]


def test_strength_is_of_what_is_dreamed_at_the_time() -> None:
    texts = ("blocks.1.0", "blocks.2.1:3")
    single = [ObjectiveMeter(text, "efficientnet_lite2") for text in texts]
    meter = ObjectiveMeter(f"{texts[0]} | {texts[1]} @ 2s linear", "efficientnet_lite2")
    rng = np.random.default_rng(0)
    source, dream = (rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(2))
    curve = score_frames([source] * 4, [dream] * 4, meter, fps=1.0).strength
    for time, first in enumerate((1.0, 0.5, 0.0, 0.0)):  # the weight of the first objective
        values = []
        for frame in (dream, source):
            image = torch.from_numpy(frame / np.float32(255)).permute(2, 0, 1)[None]
            values.append(first * single[0].value(image) + (1 - first) * single[1].value(image))
        assert curve[time] == pytest.approx(values[0] / values[1], rel=1e-5)
    assert len(set(curve.round(6))) == 3


def test_drift_is_what_the_dream_does_and_not_the_source(meter: ObjectiveMeter) -> None:
    frames, fps = 12, 4
    source = [0.5 * _texture(64, 64) + 0.02 * n for n in range(frames)]
    steady = score_frames(source, [frame + 0.1 for frame in source], meter, fps=fps)
    assert steady.drift["brightness"] == pytest.approx(0, abs=1e-5)
    rising = score_frames(source, [frame + 0.01 * n for n, frame in enumerate(source)], meter, fps=fps)
    # After the first second 8 frames, 4 to 11, are left: quarters are 4, 5 and 10, 11.
    first = rising.brightness[[4, 5]].mean()
    assert rising.drift["brightness"] == pytest.approx(0.01 * 6 / first, rel=1e-3)
    short = score_frames(source[:6], source[:6], meter, fps=fps)
    assert math.isnan(short.drift["strength"])
    assert replace(steady, strength=np.linspace(1, 3.2, 12)).drift["strength"] == pytest.approx(1.2 / 1.9)


def test_ages_of_places_follow_the_pan() -> None:
    flow = torch.zeros(1, 2, 4, 80)
    flow[:, 0] = PAN
    carried = torch.ones(1, 1, 4, 80)
    carried[..., -PAN:] = 0
    places = RevealedPlaces()
    places.restart(flow)
    for n in range(1, 16):
        age = places.advance(flow, carried)
        seen = [min(k, OLDEST + 1) if k < n else OLDEST + 1 for k in range(80 // PAN)]
        assert age[0, 0, 0].tolist() == [float(a) for a in seen for _ in range(PAN)][::-1]


def test_strength_and_change_of_new_places_are_relative_to_the_rest() -> None:
    flow = torch.zeros(1, 2, 4, 40)
    carried = torch.ones(1, 1, 4, 40)
    carried[..., :8] = 0
    places = RevealedPlaces()
    places.restart(flow)
    everywhere = torch.ones_like(carried)
    for n in range(4):
        age = places.advance(flow, carried if n == 0 else everywhere)
        old = age > OLDEST
        source = torch.where(old, 2.0, 5.0)
        # The rest is at 3 times the source, new places at a growing part of that; they change twice as much.
        dream = source * 3 * torch.where(old, 1.0, 0.25 * (n + 1))
        places.add(source, dream, torch.where(old, 0.01, 0.02), carried if n == 0 else everywhere, flow)
    assert places.strength()[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert places.change()[1:4] == pytest.approx([2, 2, 2], rel=1e-5)
    assert math.isnan(places.change()[0])
    assert math.isnan(places.strength()[4])
    assert places.share()[:5] == pytest.approx([0.05] * 4 + [0])


def test_change_of_new_places_is_compared_with_what_moves_as_fast() -> None:
    """A still half that hardly changes; a moving half whose old places change as much as its new ones."""
    flow = torch.zeros(1, 2, 4, 80)
    flow[:, 0, :, 40:] = 5
    carried = torch.ones(1, 1, 4, 80)
    carried[..., 72:] = 0
    places = RevealedPlaces()
    places.restart(flow)
    everywhere = torch.ones_like(carried)
    change = torch.full_like(carried, 0.001)
    change[..., 40:] = 0.02
    for n in range(4):
        places.advance(flow, carried if n == 0 else everywhere)
        places.add(everywhere, everywhere, change, everywhere, flow)
    assert places.change()[1:4] == pytest.approx([1, 1, 1], rel=1e-5)


def test_places_that_stay_undreamed_are_told(
    canvas: Tensor, overlay: Tensor, films: dict[str, list[Tensor]], meter: ObjectiveMeter, riding: Score
) -> None:
    lacking = overlay.clone()
    lacking[..., WIDTH:] = 0  # what the first frame does not show is never dreamed
    result = score_frames(films["source"], _pan(canvas + lacking), meter, fps=25)
    assert riding.revealed_strength[:4].mean() > 0.7
    assert result.revealed_strength[:4].mean() < 0.8 * riding.revealed_strength[:4].mean()


def test_a_cut_is_left_out(meter: ObjectiveMeter) -> None:
    first, second = _texture(64, 96, seed=1), _texture(64, 96, seed=2)
    source = [first, first, second, second]
    result = score_frames(source, source, meter, fps=25, cuts=[2])
    assert np.isfinite(result.source_error).tolist() == [False, True, False, True]
    assert result.cuts == (2,)
    assert result.revealed_share.sum() == 0


def test_films_of_different_sizes_are_brought_together(meter: ObjectiveMeter) -> None:
    large = np.kron(np.random.default_rng(0).integers(60, 200, (48, 64, 3)), np.ones((2, 2, 1))).astype(np.uint8)
    small = large[::2, ::2]
    result = score_frames([large] * 2, [small] * 2, meter, fps=25)
    assert result.size == Size(height=48, width=64)
    assert result.summary()["size"] == [64, 48], "width, height: the report keeps its order"
    assert np.allclose(result.strength, 1, atol=1e-4)
    assert result.mean_excess == pytest.approx(0, abs=1e-6)
    assert score_frames([large] * 2, [large] * 2, meter, fps=25, width=80).size == Size(height=60, width=80)


def test_wrong_input_is_refused(meter: ObjectiveMeter) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(InputError, match="source has 2 frames and the dream 5"):
        score_frames([frame] * 2, [frame] * 5, meter, fps=25)
    with pytest.raises(InputError, match="source has 3 frames and the dream 1"):
        score_frames([frame] * 3, [frame], meter, fps=25)
    with pytest.raises(InputError, match="no frames"):
        score_frames([], [], meter, fps=25)
    with pytest.raises(InputError, match=r"has to be RGB.*float64 of shape \(48, 64\)"):
        score_frames([np.zeros((48, 64))], [frame], meter, fps=25)  # type: ignore[list-item]
    with pytest.raises(InputError, match="allowed is 1 pixel or more"):
        Scorer(meter, width=0)


def test_json_and_plot(riding: Score, tmp_path: Path) -> None:
    read = json.loads(riding.to_json())
    assert read["version"] == 4
    assert read["valid_fraction"] == pytest.approx(np.nanmean(riding.valid_fraction))
    assert [read[name] for name in ("flashes", "flash_frames", "noise")] == [0, 0, 0]
    assert read["evenness"] == riding.mean_evenness
    assert read["curves"]["flashing_blocks"] == [None, *[0] * (FRAMES - 2), None]
    assert read["excess"] == riding.mean_excess
    assert read["drift"]["strength"] is None  # 8 frames at 25 a second are too short
    assert read["curves"]["dream_error"][0] is None
    assert read["curves"]["dream_error"][1:] == riding.dream_error[1:].tolist()
    assert all(len(curve) == FRAMES for curve in read["curves"].values())
    plot_score(riding, tmp_path / "out.png")
    image = read_image(tmp_path / "out.png")
    blue = np.abs(image.astype(int) - (0, 114, 178)).sum(axis=2) < 60
    columns = np.flatnonzero(blue[:200].any(axis=0))  # the dream's error, across the first panel
    assert np.ptp(columns) > 600
    with pytest.raises(OutputError):
        plot_score(riding, tmp_path / "nowhere" / "out.png")


def test_flashes_and_grain_are_counted_and_the_worst_frames_named(meter: ObjectiveMeter, tmp_path: Path) -> None:
    source = [np.full((64, 80, 3), 100, np.uint8)] * 12
    dream = [np.full((64, 80, 3), 130, np.uint8) for _ in source]
    dream[3][:24, :32] = 100  # 12 blocks
    dream[4][:8, :8] = 140
    dream[8][32:40, 32:48] = 100  # 2 blocks
    dream[10][::2, :16] = 60  # 16 blocks
    dream[10][1::2, :16] = 160
    result = score_frames(source, dream, meter, fps=8)
    assert result.flashing_blocks[1:-1].tolist() == [0, 0, 12, 0, 0, 0, 0, 2, 0, 0]
    assert result.flash_frames == 1
    assert result.mean_flashes == pytest.approx(1000 * 14 / (10 * 80 - 2 * 14))  # a hole is no neighbor of a hole
    assert result.flashes[3] == pytest.approx(1000 * 12 / 80)
    assert result.mean_noise == pytest.approx(1000 * 16 / (12 * 80))
    assert result.noise[10] == pytest.approx(200)
    named = [(frame.index, frame.time_seconds) for frame in result.worst_frames]
    # Frame 4 is as uneven as 5, but next to frame 3; 11 is next to 10.
    assert named == [(10, 1.25), (3, 0.375), (8, 1.0), (5, 0.625)]
    assert [frame.flashing_blocks for frame in result.worst_frames] == [0, 12, 2, 0]
    assert [frame.noisy_blocks for frame in result.worst_frames] == [16, 0, 0, 0]

    plot_worst_frames(
        result,
        _write_film(tmp_path / "source.mkv", source),
        _write_film(tmp_path / "dream.mkv", dream),
        tmp_path / "worst.png",
    )
    sheet = read_image(tmp_path / "worst.png")
    # Rows of three, the source's above the dream's: frames 9, 10, 11 of the dream are in the second.
    top, left = sheet.shape[0] // 8 + 4, sheet.shape[1] // 3 + 4
    assert np.array_equal(sheet[top : top + 64, left : left + 80], dream[10])


def test_a_copy_names_no_frame_and_has_no_sheet(meter: ObjectiveMeter) -> None:
    source = [np.full((64, 80, 3), 100, np.uint8)] * 3
    result = score_frames(source, source, meter, fps=25)
    assert result.worst_frames == ()
    assert math.isnan(result.mean_evenness)
    with pytest.raises(InputError, match="names no frame"):
        worst_frames_sheet(result, {})


def _write_film(path: Path, frames: list[np.ndarray]) -> Path:
    """Store frames without loss (RGB)."""
    height, width = frames[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "10", "-i", "pipe:0"]
    command = [str(ffmpeg_path()), "-v", "error", "-y", *raw, "-c:v", "libx264rgb", "-qp", "0", str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)
    return path


def test_numbers_behind_the_end_of_the_range_are_left_out(tmp_path: Path) -> None:
    """As are those beside the last frame, if it is one of the worst."""
    pixels = [np.full((64, 80, 3), 20 * number, np.uint8) for number in range(8)]
    source = _write_film(tmp_path / "source.mkv", pixels)
    dream = _write_film(tmp_path / "dream.mkv", pixels[1:5])
    pairs = read_pairs(source, dream, {2, 3, 4, 5}, frames="1:5")
    assert sorted(pairs) == [2, 3]
    assert all(int(image.mean()) == 20 * (1 + number) for number, pair in pairs.items() for image in pair)


def test_films_and_the_recipe_beside_the_dream(canvas: Tensor, meter: ObjectiveMeter, tmp_path: Path) -> None:
    pixels = [(frame[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy() for frame in _pan(canvas, frames=6)]
    other = np.ascontiguousarray(pixels[0][::-1]) // 5
    source = _write_film(tmp_path / "source.mkv", [*pixels, other, other])
    dreamed = [np.clip(frame.astype(int) + 9 * (n % 2), 0, 255).astype(np.uint8) for n, frame in enumerate(pixels)]
    dream = _write_film(tmp_path / "dream.mkv", [*dreamed[2:], other, other])
    with pytest.raises(InputError, match=r"has 8 frames, .* has 6: .*`frames=0:6`"):
        score(source, dream)

    done: list[tuple[int, int]] = []
    result = score(source, dream, frames="2:", on_frame=lambda *counts: done.append(counts))
    assert done == [(n + 1, 6) for n in range(6)]
    assert result.cuts == (4,)
    assert result.times_seconds == pytest.approx(np.arange(2, 8) / 10, abs=0.002)
    in_memory = score_frames([*pixels[2:], other, other], [*dreamed[2:], other, other], meter, fps=10, cuts=[4])
    assert result.dream_error == pytest.approx(in_memory.dream_error, nan_ok=True)
    assert result.strength == pytest.approx(in_memory.strength, rel=1e-5)

    settings = load_settings(objective="blocks.3.1", frames="2:", device="cpu")
    write_recipe(Recipe(settings), Path(f"{dream}.toml"))
    by_recipe = score(source, dream)
    assert by_recipe.objective == "blocks.3.1"
    assert by_recipe.dream_error == pytest.approx(result.dream_error, nan_ok=True)

    write_recipe(Recipe(settings, kind="zoom"), Path(f"{dream}.toml"))
    with pytest.raises(InputError, match="recipe of a zoom"):
        score(source, dream)
