"""The film that comes out: its frames, times and sound; what is told on the way, what is refused before any work."""

import logging
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import ZOO
from renders import CUT, FRAMES, HEIGHT, WIDTH, children, frames_of, names, tiny

from dreamvid.errors import DreamvidError, OutputError
from dreamvid.image.io import read_image
from dreamvid.render import video_producer as footage
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.settings import load_settings
from dreamvid.video.ffmpeg import capture_ffmpeg
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

# The frames as they come, through the whole pipeline: what is tested is not the dream.
PLAIN = {"iterations": 0, "warm_iterations": 0, "octaves": 1}


def times_of(path: Path) -> list[Fraction]:
    source = open_source(path)
    info = probe(source)
    return [pts * info.time_base for pts in scan(source, info).pts]


def sound_of(path: Path) -> str:
    return capture_ffmpeg(["-v", "error", "-i", f"file:{path}", "-map", "0:a", "-c", "copy", "-f", "md5", "-"])


def test_all_frames_in_time_with_the_sound_and_nothing_else_left(film: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    result = render_video(film, tmp_path / "dream.mp4", tiny(), on_progress=told.append)
    assert (result.output, result.frames, result.resumed_from) == (tmp_path / "dream.mp4", FRAMES, 0)
    assert result.warnings == ()
    assert frames_of(result.output).shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert times_of(result.output) == times_of(film)
    assert sound_of(result.output) == sound_of(film) != ""
    assert names(tmp_path) == ["dream.mp4", "dream.mp4.toml"]
    assert {"motion", "encode", "decode", "ffmpeg-log"}.isdisjoint(thread.name for thread in threading.enumerate())
    assert "ffmpeg" not in " ".join(children())
    # what was told
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert stages == ["scan", "plan", "dream", "join"]
    dreaming = [progress for progress in told if progress.stage == "dream"]
    assert [progress.done for progress in dreaming] == list(range(1, FRAMES + 1))
    assert all(progress.total == FRAMES and progress.fps > 0 for progress in dreaming)
    assert dreaming[-1].seconds_left == 0
    assert {progress.bottleneck for progress in dreaming} <= {"decode", "motion", "dream", "encode"}
    assert result.profile.busy.dream > 0
    # the recipe is a preset that gives the same settings
    assert load_settings(result.recipe) == tiny()


def test_a_shot_depends_on_nothing_before_it(film: Path, undisturbed: Path, tmp_path: Path) -> None:
    result = render_video(film, tmp_path / "shot.mkv", tiny(codec="ffv1", frames=f"{CUT}:"))
    assert (frames_of(result.output) == frames_of(undisturbed)[CUT:]).all()


@pytest.mark.parametrize("cores", [1, 64])
def test_motion_in_a_thread_of_its_own_gives_the_same_frames(
    film: Path, undisturbed: Path, tmp_path: Path, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage, "_CORES_FOR_MOTION", cores)
    result = render_video(film, tmp_path / "out.mkv", tiny(codec="ffv1"))
    assert (frames_of(result.output) == frames_of(undisturbed)).all()


def test_variable_times_are_kept(tmp_path: Path) -> None:
    source = ZOO["gap.mp4"].build(tmp_path / "gap.mp4")
    result = render_video(source, tmp_path / "out.mp4", tiny(**PLAIN))
    assert times_of(result.output) == times_of(source)
    ranged = render_video(source, tmp_path / "ranged.mp4", tiny(**PLAIN, frames="5:20"))
    wanted = times_of(source)[5:20]
    assert times_of(ranged.output) == [time - wanted[0] for time in wanted]


def test_size_and_rate(film: Path, tmp_path: Path) -> None:
    result = render_video(film, tmp_path / "out.mp4", tiny(**PLAIN, size="64x48", fps="5", frames="0:20"))
    assert frames_of(result.output).shape == (20, 48, 64, 3)
    assert times_of(result.output) == [Fraction(n, 5) for n in range(20)]


def test_images_replace_a_longer_sequence(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    first = render_video(film, f"{folder}/", tiny(**PLAIN, frames="0:12"))
    assert names(folder) == [f"frame_{number:06d}.png" for number in range(12)]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="`overwrite=True`"):
        render_video(film, folder, tiny(**PLAIN, frames="0:5"))
    second = render_video(film, folder, tiny(**PLAIN, frames="2:7"), overwrite=True)
    assert names(folder) == [*(f"frame_{number:06d}.png" for number in range(5)), "notes.txt"]
    assert (second.frames, second.recipe) == (5, tmp_path / "images.toml")
    assert names(tmp_path) == ["images", "images.toml"]
    images = np.stack([read_image(folder / f"frame_{number:06d}.png") for number in range(5)])
    assert np.abs(images.astype(int) - frames_of(film)[2:7]).mean() < 1
    assert first.output == folder


def test_what_a_damaged_source_lost_is_said(tmp_path: Path) -> None:
    source = ZOO["truncated.mp4"].build(tmp_path / "truncated.mp4")
    result = render_video(source, tmp_path / "out.mp4", tiny(**PLAIN))
    assert result.frames == len(frames_of(source)) == len(frames_of(result.output))
    assert any("frames could be decoded" in warning for warning in result.warnings)


def test_any_name_is_only_a_name(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-dash ünï 視頻 %d 'q.mkv", "pipe:1.mp4", "concat:a|b.mov"):
        render_video(film, name, tiny(**PLAIN, frames="0:2"))
        assert names(tmp_path) == [name, f"{name}.toml"]
        assert len(frames_of(Path(name))) == 2
        for path in tmp_path.iterdir():
            path.unlink()


def test_works_in_a_thread(film: Path, tmp_path: Path) -> None:
    """Only the main thread may set a signal's handler."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            render_video(film, tmp_path / "out.mp4", tiny(**PLAIN, frames="0:3"))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert failures == []
    assert len(frames_of(tmp_path / "out.mp4")) == 3


def test_an_existing_output_is_kept_unless_told(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"the output exists.*`overwrite=True`"):
        render_video(film, output, tiny(**PLAIN))
    assert output.read_bytes() == b"precious"
    assert names(tmp_path) == ["out.mp4"]
    assert render_video(film, output, tiny(**PLAIN, frames="0:2"), overwrite=True).frames == 2


def test_a_missing_folder_is_named_and_the_remedy_runs(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "films" / "new" / "out.mp4"
    with pytest.raises(OutputError, match="mkdir -p") as caught:
        render_video(film, output, tiny(**PLAIN))
    assert names(tmp_path) == []
    Path(str(caught.value).split("mkdir -p ")[1]).mkdir(parents=True)
    assert render_video(film, output, tiny(**PLAIN, frames="0:2")).frames == 2


@pytest.mark.parametrize(
    ("output", "settings", "error"),
    [
        ("out.xyz", {}, "cannot write a video with the suffix '.xyz'"),
        ("file/out.mp4", {}, "the output's folder is a file"),
        ("out.mp4", {"codec": "libx266"}, "Did you mean 'libx26"),
        ("out.mp4", {"crf": 60}, "Allowed for libx264: 0"),
        ("out.mp4", {"objective": "blocks.9.9"}, "blocks"),
        ("out.mp4", {"frames": "90:99"}, f"has {FRAMES} frames"),
        ("film.mp4", {}, "the output is the source itself"),
    ],
)
def test_mistakes_leave_nothing_behind(
    film: Path, tmp_path: Path, output: str, settings: dict[str, object], error: str
) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(film.read_bytes())
    (tmp_path / "file").touch()
    with pytest.raises(DreamvidError, match=error) as caught:
        render_video(source, tmp_path / output, tiny(**PLAIN, **settings), overwrite=True)
    assert caught.value.exit_code == 2
    assert names(tmp_path) == ["file", "film.mp4"]


def test_what_is_not_for_the_user_is_logged(film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="dreamvid"):
        render_video(film, tmp_path / "out.mp4", tiny(**PLAIN, frames="0:2"))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("dreamvid.")]
    assert any("-f rawvideo" in line and str(film) in line for line in lines), "the command line that decodes"
    assert "segment 0: frames 0 to 2" in lines
    assert all(record.levelno < logging.WARNING for record in caplog.records if record.name.startswith("dreamvid."))
