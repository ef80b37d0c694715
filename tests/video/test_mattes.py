"""Masks that are computed from the frames."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from renders import frames_of, segments_done, start_render, tiny
from torch import Tensor

from dreamvid import dream_frames, load_settings
from dreamvid.errors import SettingsError
from dreamvid.networks.subject import u2netp as subject
from dreamvid.networks.subject.u2netp import load_subject_network
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.settings.size import Size
from dreamvid.video.mask import is_matte, mask_fingerprint, mask_notes, open_mask
from dreamvid.video.mattes.matte import Matte

HEIGHT, WIDTH, SIDE = 96, 128, 36


def scene(index: int) -> Tensor:
    """A bright disc that moves right over a dark texture that moves down, as a camera sees it that tilts."""
    generator = torch.Generator().manual_seed(0)
    ground = F.interpolate(torch.rand(1, 3, 40, 32, generator=generator), scale_factor=4, mode="bicubic").clamp(0, 1)
    image = 0.1 + 0.3 * ground[:, :, index : index + HEIGHT, :WIDTH]
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    disc = place(index)
    rings = 0.15 * torch.sin((x - 40 - 3 * index) * 0.7) * torch.sin((y - 48) * 0.6)
    color = torch.tensor([0.95, 0.75, 0.3]).view(1, 3, 1, 1) - rings
    return torch.where(disc, color, image).clamp(0, 1)


def place(index: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return ((y - 48) ** 2 + (x - 40 - 3 * index) ** 2 < (SIDE / 2) ** 2)[None, None]


def opened(name: str) -> Matte:
    matte = open_mask(name, Size(HEIGHT, WIDTH), "cpu")
    assert isinstance(matte, Matte)
    return matte


def test_the_subject_is_found_and_the_background_is_the_rest() -> None:
    found = opened("subject").next(scene(0), Size(HEIGHT, WIDTH))
    assert found.shape == (1, 1, HEIGHT, WIDTH)
    assert found[place(0)].mean() > 0.9
    assert found[~place(0)].mean() < 0.1
    rest = opened("background").next(scene(0), Size(HEIGHT, WIDTH))
    torch.testing.assert_close(rest, 1 - found)


def test_what_moves_by_itself_is_found_while_the_camera_moves() -> None:
    matte = opened("motion")
    assert matte.next(scene(0), Size(HEIGHT, WIDTH)).max() == 0  # one image shows no motion
    for index in (1, 2, 3):
        found = matte.next(scene(index), Size(HEIGHT, WIDTH))
        assert found[place(index)].mean() > 0.8
        away = F.max_pool2d(place(index).float(), 25, 1, 12) == 0
        assert found[away].mean() < 0.05


@pytest.mark.parametrize("name", ["subject", "motion"])
def test_a_matte_goes_on_bit_for_bit_from_its_state(name: str) -> None:
    size = Size(HEIGHT, WIDTH)
    whole, first, second = opened(name), opened(name), opened(name)
    expected = [whole.next(scene(index), size) for index in range(6)]
    for index in range(3):
        first.next(scene(index), size)
    second.begin(scene(2), first.state())
    assert all(torch.equal(second.next(scene(index), size), expected[index]) for index in range(3, 6))


def test_a_new_shot_and_another_size_start_anew() -> None:
    matte = opened("motion")
    for index in range(3):
        matte.next(scene(index), Size(HEIGHT, WIDTH))
    assert matte.next(scene(3), Size(HEIGHT, WIDTH), new_shot=True).max() == 0
    assert matte.next(scene(4)[:, :, :80], Size(80, WIDTH)).max() == 0


def test_an_interrupted_render_goes_on_with_its_mask(film: Path, tmp_path: Path) -> None:
    settings = tiny(codec="ffv1", mask="motion")
    whole = render_video(film, tmp_path / "whole.mkv", settings).output
    output = tmp_path / "dream.mkv"
    process = start_render(film, output, settings)
    while not segments_done(output) and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    assert render_video(film, output, settings).resumed_from > 0
    assert (frames_of(output) == frames_of(whole)).all()
    assert (frames_of(output) != frames_of(film)).any()


def test_only_the_subject_is_dreamed() -> None:
    settings = load_settings(None, objective="blocks.1.0", iterations=2, octaves=2, mask="subject", dream_height=96)
    frames = [(255 * scene(index)[0]).permute(1, 2, 0).round().byte().numpy() for index in range(2)]
    for index, dreamed in enumerate(dream_frames(frames, settings)):
        change = np.abs(dreamed.astype(int) - frames[index]).mean(2)
        inside = place(index)[0, 0].numpy()
        assert change[inside].mean() > 10 * change[~inside].mean()


def test_names() -> None:
    assert all(map(is_matte, ("subject", "background", "motion")))
    assert not is_matte("./subject")
    assert mask_notes("subject") == []
    assert subject.SHA256 in mask_fingerprint("subject")
    assert mask_fingerprint("subject") != mask_fingerprint("background") != mask_fingerprint("motion")


def test_an_animation_has_no_subject(tmp_path: Path) -> None:
    settings = tiny(mask="subject", size="32x32", frames=":3")
    with pytest.raises(SettingsError, match=r"`mask` subject is found in the frames of a video.*dreamvid run"):
        render_zoom("noise", tmp_path / "zoom.mp4", settings)


def test_weights_are_those_of_this_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dreamvid.errors import NetworkError

    (tmp_path / "other").write_bytes(b"other")
    monkeypatch.setattr(subject, "WEIGHTS", tmp_path / "other")
    with pytest.raises(NetworkError, match=r"not those of this version\. Reinstall dreamvid"):
        load_subject_network()
