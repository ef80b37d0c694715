"""What the tab of results needs: which source and frames a result shows, and a copy that every browser plays."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from renders import FRAMES, HEIGHT, WIDTH, frames_of, tiny

from dreamvid.errors import DreamvidError
from dreamvid.settings import Recipe, write_recipe
from dreamvid.ui.studio.playable import playable_copy
from dreamvid.ui.studio.scoring import first_frame_of, kind_of, source_of
from dreamvid.ui.studio.workspace import Workspace
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source


@pytest.mark.parametrize("name", ["film.gif", "film.mkv"])
def test_a_copy_plays_in_every_browser_and_is_made_once(film: Path, tmp_path: Path, name: str) -> None:
    video = tmp_path / name
    lossless = ["-c:v", "ffv1"] if name.endswith(".mkv") else []
    run_ffmpeg(["-i", f"file:{film}", *lossless, f"file:{video}"], "making a video that no browser plays")
    cache = tmp_path / "cache"
    copy = playable_copy(video, cache)
    info = probe(open_source(copy))
    assert (info.pixel_format, info.width, info.height) == ("yuv420p", WIDTH, HEIGHT)
    assert b"avc1" in copy.read_bytes()  # H.264
    assert bool(info.audio) == name.endswith(".mkv")
    blocks = [
        frames.reshape(FRAMES, HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean(axis=(2, 4))
        for frames in (frames_of(copy), frames_of(video))
    ]
    assert np.abs(blocks[0] - blocks[1]).mean() < 4
    stamp = copy.stat().st_mtime_ns
    assert playable_copy(video, cache).stat().st_mtime_ns == stamp
    assert [path.name for path in cache.iterdir()] == [copy.name]


def test_what_is_no_video_has_no_copy(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no film")
    with pytest.raises(DreamvidError):
        playable_copy(tmp_path / "x.mp4", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_recipe_says_what_a_result_shows(film: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "studio")
    shutil.copy(film, workspace.root / "sources" / "film.mp4")
    result = workspace.root / "results" / "a.mp4"
    assert (source_of(result, workspace), kind_of(result), first_frame_of(result)) == (None, "", 0)
    origin = {"source": "sources/film.mp4", "output": "results/a.mp4"}
    write_recipe(Recipe(tiny(frames="12:20"), "run", origin), result.with_name("a.mp4.toml"))
    assert (source_of(result, workspace), kind_of(result), first_frame_of(result)) == ("sources/film.mp4", "run", 12)
    write_recipe(Recipe(tiny(), "run", {"source": "/etc/passwd"}), result.with_name("a.mp4.toml"))
    assert (source_of(result, workspace), first_frame_of(result)) == (None, 0)
