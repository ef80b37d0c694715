"""One render at a time to an output; what was begun is only gone on with by the same render."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from renders import FRAMES, SEGMENTS, finish_render, frames_of, names, segments_done, start_render, tiny

from dreamvid.errors import JobError, OutputError, SourceError
from dreamvid.render.engine import render_video
from dreamvid.render.farm.segment_store import load_checkpoint, save_checkpoint
from dreamvid.render.job import Job
from dreamvid.render.output import OutputTarget
from dreamvid.render.progress import Progress
from dreamvid.render.video_producer import VideoProducer
from dreamvid.runtime.files import acquire

OLD = Path(__file__).resolve().parent.parent / "data" / "version-0.1"
FFV1 = {"codec": "ffv1"}


class EnoughError(Exception):
    """Ends a render from its progress."""


def begin(film: Path, output: Path, segments: int, **settings: object) -> None:
    """Render until so many segments are done, and leave it there."""

    def look(progress: Progress) -> None:
        if progress.stage == "join" or segments_done(output) >= segments:
            raise EnoughError

    with pytest.raises(EnoughError):
        render_video(film, output, tiny(**FFV1, **settings), on_progress=look)
    assert segments_done(output) >= segments


def test_a_checkpoint_is_bit_exact(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    state = {
        "residual": torch.randn(1, 3, 7, 5).transpose(2, 3),
        "odd": torch.tensor([float("nan"), -0.0, 1e-45, float("inf")]),
        "count": torch.tensor(7),
    }
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)
    assert loaded is not None
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()
    assert names(tmp_path) == ["state.safetensors"]
    path.write_bytes(path.read_bytes()[:50])
    assert load_checkpoint(path) is None
    assert load_checkpoint(tmp_path / "none.safetensors") is None


def test_a_second_render_to_the_same_output_is_refused(tmp_path: Path) -> None:
    destination = OutputTarget.from_path(tmp_path / "out.mp4", tiny())
    with Job(destination):
        with pytest.raises(JobError, match="another render is writing"):
            Job(destination)
        with Job(OutputTarget.from_path(tmp_path / "other.mp4", tiny())):  # the remedy
            pass
    with Job(destination):
        pass
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="hands a descriptor on")
def test_a_lock_is_waited_for_while_a_child_of_its_killed_holder_begins(tmp_path: Path) -> None:
    descriptor = acquire(tmp_path)
    assert descriptor is not None
    # What a process killed while it starts another leaves behind: a child that has its descriptors, for a moment yet.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"], pass_fds=[descriptor])
    os.close(descriptor)
    again = acquire(tmp_path)
    assert again is not None
    assert child.wait() == 0
    os.close(again)


@pytest.mark.skipif(os.name == "nt", reason="stops a process with a signal")
def test_a_lock_ends_with_its_process(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    output = tmp_path / "dream.mkv"
    process = start_render(film, output, tiny(**FFV1))
    while segments_done(output) == 0 and process.is_alive():
        process.join(0.005)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # so that it cannot end while it is asked about
    with pytest.raises(JobError, match="another render is writing"):
        render_video(film, output, tiny(**FFV1))
    process.kill()
    process.join()
    result = render_video(film, output, tiny(**FFV1))
    assert result.resumed_from >= SEGMENTS[0][1]
    assert (frames_of(output) == frames_of(undisturbed)).all()


def test_another_recipe_is_refused_and_both_ways_out_lead_out(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    begin(film, output, 1)
    changed = tiny(**FFV1, iterations=1, warm_iterations=0)
    with pytest.raises(JobError, match="`iterations` was 2 and is 1 now; `warm_iterations` was 1 and is 0") as caught:
        render_video(film, output, changed)
    assert "`restart=True`" in str(caught.value)
    assert "-o" in str(caught.value)
    assert segments_done(output) == 1, "a refusal must not cost what is done"
    other = render_video(film, tmp_path / "other.mkv", changed)
    anew = render_video(film, output, changed, restart=True)
    assert (other.resumed_from, anew.resumed_from) == (0, 0)
    assert (frames_of(output) == frames_of(tmp_path / "other.mkv")).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml", "other.mkv", "other.mkv.toml"]


def test_where_nothing_is_done_yet_another_recipe_just_begins(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    assert finish_render(film, output, tiny(**FFV1), die_at=20) == -9
    assert segments_done(output) == 0
    assert (tmp_path / ".dream.mkv.job" / "manifest.json").exists()
    assert render_video(film, output, tiny(**FFV1, iterations=0, frames="0:3")).frames == 3
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_a_changed_source_is_refused(film: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "film.mp4", tmp_path / "dream.mkv"
    shutil.copy(film, source)
    begin(source, output, 1)
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    with pytest.raises(JobError, match="the source's content has changed"):
        render_video(source, output, tiny(**FFV1))


def test_a_smaller_tile_may_go_on(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    begin(film, output, 1)
    assert render_video(film, output, tiny(**FFV1, tile=512)).resumed_from == SEGMENTS[0][1]


def test_lost_parts_of_a_job_are_rendered_again(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    output = tmp_path / "dream.mkv"
    folder = tmp_path / ".dream.mkv.job"
    begin(film, output, 1)
    (folder / "000000.safetensors").unlink()  # the second segment cannot go on without it
    first = render_video(film, output, tiny(**FFV1))
    assert first.resumed_from == 0
    assert [warning for warning in first.warnings if "state" in warning and "rendered again: 0:7." in warning]
    assert (frames_of(output) == frames_of(undisturbed)).all()
    output.unlink()
    begin(film, output, 3)
    (folder / "000001.mov").write_bytes(b"cut off")
    (folder / ".000002.mov.1-2.part").write_bytes(b"an orphan's")
    second = render_video(film, output, tiny(**FFV1))
    assert second.resumed_from == SEGMENTS[2][1] - SEGMENTS[2][0]
    assert [warning for warning in second.warnings if "damaged" in warning and "rendered again: 7:16." in warning]
    assert (frames_of(output) == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml"]


def test_a_damaged_state_is_told_at_once(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    output = tmp_path / "dream.mkv"
    begin(film, output, 1)
    state = tmp_path / ".dream.mkv.job" / "000000.safetensors"
    state.write_bytes(state.read_bytes()[:100])
    told: list[str] = []
    result = render_video(film, output, tiny(**FFV1), on_progress=lambda progress: told.append(progress.message))
    assert "rendered again: 0:7." in told[0]
    assert result.warnings == (told[0],)
    assert (frames_of(output) == frames_of(undisturbed)).all()


@pytest.mark.parametrize("damage", [None, b"[1, 2"])
def test_segments_without_a_manifest_are_nobodys(film: Path, tmp_path: Path, damage: bytes | None) -> None:
    """A render with other settings must not take them for its own, and what is thrown away is told."""
    output, changed = tmp_path / "dream.mkv", tiny(**FFV1, iterations=0, warm_iterations=0)
    begin(film, output, 1)
    manifest = tmp_path / ".dream.mkv.job" / "manifest.json"
    manifest.unlink()
    if damage is not None:
        manifest.write_bytes(damage)
    result = render_video(film, output, changed)
    assert result.resumed_from == 0
    assert [warning for warning in result.warnings if "manifest.json" in warning and "rendered again" in warning]
    other = render_video(film, tmp_path / "other.mkv", changed)
    assert other.warnings == ()
    assert (frames_of(output) == frames_of(other.output)).all()


def test_a_job_of_version_0_1_is_refused_and_both_ways_out_lead_out(tmp_path: Path) -> None:
    output, source = tmp_path / "dream.mp4", "lavfi:testsrc2=size=48x32:rate=5/2:duration=10"
    shutil.copytree(OLD / "dream.mp4.job", tmp_path / ".dream.mp4.job")
    settings = tiny(dream_height=24, reduction="l2", step_size=0.02, octave_carry="image", disocclusion_iterations=2)
    with pytest.raises(JobError, match=r"was begun by dreamvid 0\.1\.0, .*`restart=True`.*`output`") as caught:
        render_video(source, output, settings)
    assert "reduction" not in str(caught.value), "the names that have changed explain nothing"
    assert (tmp_path / ".dream.mp4.job" / "finished.json").exists(), "a refusal must not cost what is done"
    few = tiny(iterations=0, warm_iterations=0, frames="0:3")
    assert render_video(source, tmp_path / "other.mp4", few).frames == 3
    assert render_video(source, output, few, restart=True).frames == 3
    assert names(tmp_path) == ["dream.mp4", "dream.mp4.toml", "other.mp4", "other.mp4.toml"]


def test_frames_that_run_out_are_an_error_in_words(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dreams = VideoProducer._dream
    monkeypatch.setattr(VideoProducer, "_dream", lambda *arguments: islice(dreams(*arguments), 5))
    with pytest.raises(SourceError, match=rf"no more frames after 5 of {FRAMES}"):
        render_video(film, tmp_path / "dream.mkv", tiny(**FFV1))


def test_an_unreadable_manifest_is_refused_with_a_way_out(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "dream.mkv"
    begin(film, output, 1)
    (tmp_path / ".dream.mkv.job" / "manifest.json").write_text('{"format": 0}')
    with pytest.raises(JobError, match=r"cannot be read.*`restart=True`"):
        render_video(film, output, tiny(**FFV1))
    assert render_video(film, output, tiny(**FFV1), restart=True).resumed_from == 0


def test_what_is_published_already_is_only_cleaned_up(film: Path, tmp_path: Path) -> None:
    """Ended between the last rename and the clean-up: the same call is content, another one is told."""
    output = tmp_path / "dream.mkv"
    begin(film, output, 3)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / ".dream.mkv.job", kept)
    assert finish_render(film, output, tiny(**FFV1), die_at=30) == -9
    assert output.exists()
    assert (tmp_path / ".dream.mkv.job").exists()
    before = output.stat().st_mtime_ns
    with pytest.raises(OutputError, match="`overwrite=True`"):
        render_video(film, output, tiny(**FFV1, seed=1))
    assert output.stat().st_mtime_ns == before
    assert ".dream.mkv.job" not in names(tmp_path)
