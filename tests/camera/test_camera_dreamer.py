"""Animations: the same journey at every rate, no border, loops that close, renders that go on where they stopped."""

import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from renders import finish_render_zoom, frames_of, names, segments_done
from torch import Tensor

from dreamvid import Camera, zoom_frames
from dreamvid.camera.camera_dreamer import CameraDreamer
from dreamvid.camera.movement import move
from dreamvid.camera.noise import noise_image
from dreamvid.errors import InputError, SettingsError, SourceError
from dreamvid.image.io import write_image
from dreamvid.image.tensors import fit
from dreamvid.render.engine import render_zoom
from dreamvid.render.start_image import StartImage
from dreamvid.settings import Settings, list_presets, load_settings
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

SIZE = Size(height=48, width=64)
FAST = {"dream_height": 48, "octaves": 1, "iterations": 2, "device": "cpu"}


def quick(preset: str = "infinite-zoom", **overrides: object) -> Settings:
    chosen: dict[str, object] = {"objective": "blocks.1.0", "size": "64x48", **FAST}
    return load_settings(preset, **{**chosen, **overrides})


def film(settings: Settings, count: int, fps: float = 12, **more: object) -> list[Tensor]:
    dreamer = CameraDreamer(settings, noise_image(SIZE, 1), fps=fps, count=count, **more)
    with torch.no_grad():
        return [dreamer.dream(index) for index in range(count)]


def step(before: Tensor, after: Tensor) -> float:
    return float((after - before).abs().mean())


@functools.cache
def twelve_frames(preset: str) -> Tensor:
    return torch.cat(film(load_settings(preset, **FAST), 12, fps=6))


class TestPresets:
    @pytest.mark.parametrize("name", [preset.name for preset in list_presets("zoom")])
    def test_twelve_frames_of_each(self, name: str) -> None:
        images = twelve_frames(name)
        assert images.shape == (12, 3, 48, 64)
        assert images.isfinite().all()
        assert ((images <= 0) | (images >= 1)).float().mean() < 0.01
        assert 0.12 < images[-1].std() < 0.35
        steps = (images[1:] - images[:-1]).abs().mean(dim=(1, 2, 3))
        assert steps.min() > 1e-3, "it stands quite still"

    def test_there_are_nine_and_they_say_what_they_are(self) -> None:
        presets = list_presets("zoom")
        assert len(presets) >= 9
        assert len({preset.description for preset in presets}) == len(presets)

    def test_they_differ(self) -> None:
        lasts = [twelve_frames(preset.name) for preset in list_presets("zoom")]
        for i, one in enumerate(lasts):
            for other in lasts[:i]:
                assert step(one[-1], other[-1]) > 0.03


class TestJourney:
    def test_the_camera_alone_is_the_same_at_every_rate(self) -> None:
        settings = quick(dream_rate=0, hold_half_life_seconds=3600, rotate=20, center_x=0.4)
        slow, fast = film(settings, 7, fps=12)[-1], film(settings, 16, fps=30)[-1]
        direct = move(
            film(settings, 1)[0], Camera(zoom=1.25, rotate=20, center_x=0.4).transform(0.5, SIZE.width, SIZE.height)
        ).image
        assert step(slow, fast) < 0.01
        assert step(slow, direct) < 0.015

    def test_24_and_60_frames_a_second_show_the_same(self) -> None:
        settings = quick(zoom=1.8, rotate=30)
        slow, fast = film(settings, 13, fps=24), film(settings, 31, fps=60)
        other = film(quick(zoom=1.0, rotate=0), 13, fps=24)[-1]
        assert step(slow[-1], fast[-1]) < 0.6 * step(slow[-1], other)
        assert float(fast[-1].std() / slow[-1].std()) == pytest.approx(1, abs=0.1)
        grown = [float((p[-1] - p[-1].mean(dim=(2, 3), keepdim=True)).diff(dim=3).abs().mean()) for p in (slow, fast)]
        assert grown[1] / grown[0] == pytest.approx(1, abs=0.25)

    def test_what_comes_in_is_dreamed_and_not_dark(self) -> None:
        last = film(quick(zoom=0.5), 13)[-1]
        border = torch.cat([last[:, :, :6].flatten(2), last[:, :, -6:].flatten(2)], dim=2)
        assert abs(float(border.mean() - last.mean())) < 0.12
        assert float(border.std()) > 0.4 * float(last.std())

    def test_colors_stay(self) -> None:
        images = film(quick(dream_rate=1.0), 24, fps=6)
        free = film(quick(dream_rate=1.0, hold_half_life_seconds=3600), 24, fps=6)
        assert abs(float(images[-1].mean() - images[0].mean())) < 0.05
        assert float(images[-1].std()) < 1.5 * float(images[0].std())
        assert float(free[-1].std()) > float(images[-1].std())

    def test_an_even_start_comes_alive(self) -> None:
        dreamer = CameraDreamer(quick(dream_rate=1.0), torch.zeros(1, 3, 48, 64), fps=12)
        with torch.no_grad():
            last = [dreamer.dream(index) for index in range(24)][-1]
        assert last.std() > 0.05
        assert last.mean() > 0.1

    def test_a_still_camera_stands_still(self) -> None:
        images = film(quick(zoom=1, dream_rate=0, hold_half_life_seconds=3600), 4)
        assert step(images[1], images[3]) < 1e-3

    def test_a_kaleidoscope_is_symmetric(self) -> None:
        last = film(quick(kaleidoscope=4, zoom=1.1, dream_rate=0.1), 8)[-1]
        assert step(last, last.flip(2)) < 0.05
        assert step(last, last.flip(3)) < 0.05

    def test_the_center_follows_a_path(self, tmp_path: Path) -> None:
        path = tmp_path / "path.txt"
        path.write_text("# x y t\n0.2 0.5 0\n0.2, 0.5, 9\n")
        led = film(quick(camera_path=str(path), dream_rate=0), 8)[-1]
        assert step(led, film(quick(center_x=0.2, dream_rate=0), 8)[-1]) < 1e-6
        assert step(led, film(quick(dream_rate=0), 8)[-1]) > 0.01

    def test_the_center_follows_what_is_strong(self) -> None:
        start = torch.full((1, 3, 48, 64), 0.5)
        start[:, :, 28:40, 44:60] = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
        dreamer = CameraDreamer(quick(track_objective=True, zoom=1, dream_rate=0), start, fps=4)
        with torch.no_grad():
            for index in range(16):
                dreamer.dream(index)
        x, y = dreamer.state()["center"].tolist()
        assert x > 0.6
        assert y > 0.55


class TestLoop:
    @pytest.mark.parametrize(
        "movement",
        [{"zoom": 1.3}, {"zoom": 0.8}, {"zoom": 1.0}, {"zoom": 1.15, "rotate": 30}, {"zoom": 1.0, "pan_x": 0.1}],
        ids=str,
    )
    def test_the_seam_is_no_larger_than_a_step(self, movement: dict[str, float]) -> None:
        images = film(quick(loop=True, **movement), 24, fps=8)
        steps = [step(*pair) for pair in pairwise(images)]
        assert step(images[-1], images[0]) <= 1.2 * float(np.median(steps))

    def test_without_it_the_seam_is_a_jump(self) -> None:
        images = film(quick(), 12)
        assert step(images[-1], images[0]) > 2 * step(images[-2], images[-1])

    def test_it_closes_where_the_center_was_led(self) -> None:
        images = film(quick(loop=True, track_objective=True, zoom="1.2 + 0.2*sin(tau*t)"), 24)
        steps = [step(*pair) for pair in pairwise(images)]
        assert step(images[-1], images[0]) <= 1.2 * float(np.median(steps))

    def test_it_needs_its_length(self) -> None:
        with pytest.raises(SettingsError, match="number of frames"):
            next(zoom_frames(None, quick(loop=True)))


class TestFrames:
    def test_kinds_and_sizes(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
        array = list(zoom_frames(pixels, quick(), 2))
        assert [frame.shape for frame in array] == [(48, 64, 3)] * 2
        free = load_settings("infinite-zoom", objective="blocks.1.0", **FAST)
        assert next(zoom_frames(pixels, free)).shape == (40, 56, 3)
        tensor = next(zoom_frames(torch.rand(3, 40, 56), free))
        assert (tensor.shape, tensor.dtype) == ((3, 40, 56), torch.float32)
        assert next(zoom_frames(None, quick())).dtype == np.uint8

    def test_a_camera_of_ones_own(self) -> None:
        settings = quick(dream_rate=0, hold_half_life_seconds=3600)
        both = list(zoom_frames(None, settings, 7, fps=12, camera=Camera(zoom=1.5) + Camera(rotate=30)))[-1]
        by_settings = list(
            zoom_frames(None, quick(dream_rate=0, hold_half_life_seconds=3600, zoom=1.5, rotate=30), 7, fps=12)
        )
        assert (both == by_settings[-1]).all()
        by_time = list(zoom_frames(None, settings, 7, fps=12, camera=lambda t: Camera(zoom=1.5, rotate=30)))
        assert (both == by_time[-1]).all()

    def test_it_can_go_on_for_ever_and_is_the_same_again(self) -> None:
        frames = zoom_frames(None, quick())
        first = [next(frames) for _ in range(3)]
        assert all((a == b).all() for a, b in zip(first, zoom_frames(None, quick(), 3), strict=True))

    @pytest.mark.parametrize(("n", "fps"), [(0, 30), (3, 0)])
    def test_bad_numbers(self, n: int, fps: float) -> None:
        with pytest.raises(InputError, match="got 0"):
            zoom_frames(None, quick(), n, fps=fps)


class TestState:
    @pytest.mark.parametrize(
        "more", [{"zoom": 0.7}, {"loop": True}, {"track_objective": True, "kaleidoscope": 3}], ids=str
    )
    def test_it_goes_on_bit_for_bit(self, more: dict[str, object]) -> None:
        settings = quick(**more)
        whole = film(settings, 14)
        dreamer = CameraDreamer(settings, noise_image(SIZE, 1), fps=12, count=14)
        with torch.no_grad():
            for index in range(8):
                dreamer.dream(index)
            fresh = CameraDreamer(settings, noise_image(SIZE, 1), fps=12, count=14)
            fresh.load_state({name: tensor.clone() for name, tensor in dreamer.state().items()})
            rest = [fresh.dream(index) for index in range(8, 14)]
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[8:], strict=True))


class TestRender:
    def settings(self, **overrides: object) -> Settings:
        return quick(**{"codec": "ffv1", "frames": "0:24", "fps": "2", **overrides})

    def test_a_film_its_recipe_and_the_same_again(self, tmp_path: Path) -> None:
        result = render_zoom("noise", tmp_path / "a.mkv", self.settings(frames="0:6", seed=5))
        assert (result.frames, names(tmp_path)) == (6, ["a.mkv", "a.mkv.toml"])
        again = render_zoom("noise", tmp_path / "b.mkv", load_settings(result.recipe))
        assert (frames_of(result.output) == frames_of(again.output)).all()
        assert result.recipe.read_text().count('kind = "zoom"') == 1
        other = render_zoom("noise", tmp_path / "c.mkv", self.settings(frames="0:6", seed=6))
        assert (frames_of(result.output) != frames_of(other.output)).any()

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="kills by SIGKILL")
    def test_killed_it_goes_on_and_ends_the_same(self, tmp_path: Path) -> None:
        settings = self.settings(zoom=0.9)
        whole = render_zoom("noise", tmp_path / "whole.mkv", settings)
        output = tmp_path / "killed.mkv"
        assert finish_render_zoom("noise", output, settings, die_at=2, after_segments=1) == -9
        assert segments_done(output) > 0
        result = render_zoom("noise", output, settings)
        assert 0 < result.resumed_from < 24
        assert (frames_of(output) == frames_of(whole.output)).all()

    def test_a_song_is_its_sound_and_moves_it(self, tmp_path: Path) -> None:
        song = tmp_path / "song.wav"
        run_ffmpeg(["-f", "lavfi", "-i", "sine=f=100:d=9,volume='lt(mod(t,1),0.2)':eval=frame", f"file:{song}"], "song")
        chosen = {"zoom": "1 + beat", "dream_rate": 0, "frames": "0:32", "fps": "8", "codec": None}
        result = render_zoom("noise", tmp_path / "a.mp4", quick(**{**chosen, "audio": str(song)}))
        info = probe(open_source(result.output))
        assert info.audio == ("aac",)
        assert info.duration_seconds == pytest.approx(4, abs=0.1)
        images = frames_of(result.output).astype(float)
        steps = np.abs(np.diff(images, axis=0)).mean(axis=(1, 2, 3))
        # Step k leads to frame k + 1; beats are at every full second.
        assert (steps[[7, 15, 23]] > 3 * steps[[6, 14, 22]]).all()
        deaf = render_zoom("noise", tmp_path / "b.mp4", quick(**{**chosen, "frames": "0:2"}))
        assert any("`zoom`" in warning and "`audio=" in warning for warning in deaf.warnings)

    def test_an_image_keeps_its_shape(self, tmp_path: Path) -> None:
        write_image(tmp_path / "wide.png", np.full((20, 50, 3), 128, np.uint8))
        settings = load_settings("infinite-zoom", objective="blocks.1.0", frames="0:1", **{**FAST, "dream_height": 32})
        result = render_zoom(tmp_path / "wide.png", tmp_path / "a.mp4", settings)
        assert frames_of(result.output).shape == (1, 480, 1200, 3)

    def test_a_draft_is_smaller(self, tmp_path: Path) -> None:
        result = render_zoom("noise", tmp_path / "a.mkv", self.settings(draft=True))
        frames = frames_of(result.output)
        assert len(frames) == 12
        assert frames.shape[1] < 48


class TestStart:
    def test_a_moment_of_a_film(self, tmp_path: Path) -> None:
        clip = tmp_path / "clip.mkv"
        graph = "color=black:size=32x24:rate=5:d=2[a];color=white:size=32x24:rate=5:d=2[b];[a][b]concat[v]"
        run_ffmpeg(["-filter_complex", graph, "-map", "[v]", "-c:v", "ffv1", f"file:{clip}"], "clip")
        assert StartImage.read(f"{clip}@1.9").pixels.max() < 5
        assert StartImage.read(f"{clip}@0:02").pixels.min() > 250
        assert StartImage.read(f"{clip}@0:00:03.5s").pixels.min() > 250
        with pytest.raises(SourceError, match=r"ends at 4\.00 s"):
            StartImage.read(f"{clip}@1:00")
        with pytest.raises(SourceError, match=r"clip\.mkv@0:12"):
            StartImage.read(clip)

    def test_the_noise_has_the_same_shapes_at_every_size(self) -> None:
        small, large = noise_image(SIZE, 3), noise_image(Size(height=192, width=256), 3)
        assert step(small, torch.nn.functional.avg_pool2d(large, 4)) < 0.03
        assert step(small, noise_image(SIZE, 4)) > 0.1

    def test_fit_cuts_the_middle(self) -> None:
        image = torch.zeros(1, 3, 20, 60)
        image[..., 20:40] = 1
        assert fit(image, Size(20, 20)).min() > 0.99
        assert fit(image, Size(height=20, width=60)).equal(image)

    def test_bad_ones(self, tmp_path: Path) -> None:
        (tmp_path / "text.png").write_text("no image")
        with pytest.raises(SourceError, match=r"cannot read .*text\.png"):
            StartImage.read(tmp_path / "text.png")
        with pytest.raises(SourceError, match="VIDEO@TIME"):
            StartImage.read("nowhere.png")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5 0.5", "line 1"),
        ("0.5 0.5 0\n0.5 2 1", "line 2"),
        ("0.5 0.5 2\n0.5 0.5 1", "later than 2 s"),
        ("0.5 0.5 soon", "not understood"),
        ("# nothing", "no points"),
    ],
)
def test_paths_that_lead_nowhere(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "path.txt"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        film(quick(camera_path=str(path)), 1)
    with pytest.raises(SettingsError, match="Keep one"):
        film(quick(camera_path=str(path), track_objective=True), 1)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"zoom": 0}, r"`zoom` .*above 0"),
        ({"zoom": "-1"}, r"`zoom` .*above 0"),
        ({"zoom": "1 +"}, "not understood"),
        ({"zoom": "4s: 1, 2s: 2"}, "a time above 4s"),
        ({"zoom": "1 + bas"}, "bass"),
    ],
)
def test_bad_settings(overrides: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        quick(**overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [({"zoom": "1.2 - t"}, r"`zoom`.*at 1\.\d+ s"), ({"frames": "3:9"}, "begins with frame 0")],
)
def test_it_is_refused_before_the_first_frame(overrides: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        render_zoom("noise", tmp_path / "a.mkv", quick(**overrides))
    assert names(tmp_path) == []


def test_a_sound_without_sound(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    run_ffmpeg(["-f", "lavfi", "-i", "anullsrc=d=1", "-t", "1", f"file:{silent}"], "silence")
    with pytest.raises(SourceError, match="silent"):
        render_zoom("noise", tmp_path / "a.mp4", quick(audio=str(silent)))
    with pytest.raises(SourceError, match="not there"):
        render_zoom("noise", tmp_path / "a.mp4", quick(audio=str(tmp_path / "none.wav")))
