"""A render in chunks, by any processes in any order: the same frames, nothing lost, and a plan that is only data."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renders import QUICK, frames_of, names, segments_done, stop_render_and_ffmpeg, tiny

from dreamvid.errors import DreamvidError, Interrupted, JobError, SourceError
from dreamvid.render.engine import render_video
from dreamvid.render.farm.chunk import chunks
from dreamvid.render.farm.plan_file import PlanFile
from dreamvid.render.farm.render_chunk import join_chunks, plan_render, render_chunk, unfinished_chunks
from dreamvid.render.farm.seam import SeamChange, dissolve
from dreamvid.render.farm.split import split_shots
from dreamvid.render.plan import Plan, choose_keyframes, cut_segments
from dreamvid.render.progress import Progress

FFV1 = {"codec": "ffv1"}


def planned(film: Path, folder: Path, **options: Any) -> PlanFile:
    return plan_render(film, folder / "plan.json", "dream.mkv", tiny(**FFV1), **options)


def test_chunks_in_any_order_and_twice_are_the_whole(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    path = planned(film, tmp_path).path
    plan = PlanFile.read(path)
    assert unfinished_chunks(plan) == [0, 1]
    first = render_chunk(plan, 1)
    assert unfinished_chunks(plan) == [0]
    again = render_chunk(plan, 1)
    assert (first.done_before, again.done_before, again.files) == (False, True, first.files)
    with pytest.raises(JobError, match=r"1 of 2 segments are missing: 0\. .*dreamvid segment .*plan\.json 0"):
        join_chunks(plan)
    render_chunk(plan, 0)
    assert join_chunks(plan) == []
    assert (frames_of(tmp_path / "dream.mkv") == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml", "plan.json"]
    assert "joined before" in join_chunks(plan)[0]
    assert render_chunk(plan, 0).done_before
    assert unfinished_chunks(plan) == []
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml", "plan.json"]


def test_a_damaged_segment_is_noticed_and_rendered_again(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    plan = planned(film, tmp_path)
    for number in (0, 1):
        render_chunk(plan, number)
    file = tmp_path / ".dream.mkv.job" / "000002.mov"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)  # as long as before
    with pytest.raises(JobError, match="1 of 2 segments are missing or damaged: 1"):
        join_chunks(plan)
    assert not render_chunk(plan, 1).done_before
    join_chunks(plan)
    assert (frames_of(tmp_path / "dream.mkv") == frames_of(undisturbed)).all()


def test_a_task_that_is_stopped_with_its_ffmpeg_is_stopped(film: Path, tmp_path: Path) -> None:
    """Slurm sends SIGTERM to all processes of a task."""
    plan = planned(film, tmp_path)

    def look(progress: Progress) -> None:
        if progress.done == 9:
            stop_render_and_ffmpeg()

    with pytest.raises(Interrupted, match="same command continues") as caught:
        render_chunk(plan, 0, report=look)
    assert caught.value.exit_code == 143
    assert segments_done(plan.result) == 1
    assert not render_chunk(plan, 0).done_before


def test_a_plain_render_finishes_what_a_farm_has_begun(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    plan = planned(film, tmp_path)
    render_chunk(plan, 1)
    result = render_video(film, tmp_path / "dream.mkv", tiny(**FFV1))
    assert result.resumed_from == 9
    assert (frames_of(result.output) == frames_of(undisturbed)).all()
    assert unfinished_chunks(plan) == []


@pytest.mark.parametrize("name", ["torch", "the device", "`iterations`"])
def test_a_machine_that_would_render_other_frames_is_refused(name: str, film: Path, tmp_path: Path) -> None:
    plan = planned(film, tmp_path)
    other = replace(plan, identity={**plan.identity, name: "another"})
    with pytest.raises(JobError, match=rf"other frames than the plan's: {name} was another and is"):
        render_chunk(other, 0)


def test_another_source_is_refused(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(film.read_bytes())
    plan = planned(source, tmp_path)
    source.write_bytes(film.read_bytes() + b"0")
    with pytest.raises(JobError, match="the source's content has changed"):
        render_chunk(plan, 0)
    with pytest.raises(JobError, match="its content has changed"):
        join_chunks(plan)


@pytest.fixture(scope="module")
def plan_text(film: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return planned(film, tmp_path_factory.mktemp("plan")).path.read_text()


def change(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def apply(values: dict[str, Any]) -> None:
        *outer, last = key.split(".")
        for name in outer:
            values = values[int(name)] if isinstance(values, list) else values[name]
        values[last] = value

    return apply


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output", "../dream.mkv"),
        ("output", "/tmp/dream.mkv"),
        ("output", ".bashrc.mkv"),
        ("output", 5),
        ("dreamvid_plan", 99),
        ("settings", {"nothing": {}}),
        ("settings", {"dream": {"octaves": "__import__('os')"}}),
        ("plan.start", 5),
        ("plan.rate", "1/0"),
        ("plan.rate", "-3"),
        ("plan.segments.0.index", -1),
        ("plan.segments.1.start", 3),
        ("plan.segments.1.pre_roll", 99),
        ("plan.segments.1.pre_roll", -9),
        ("plan.segments.0.new_shot", False),
        ("plan.segments.2.stop", 10**12),
        ("plan.segments.0.bars", {"top": -5, "bottom": 0, "left": 0, "right": 0}),
        ("plan.pts", "abc"),
        ("more", 1),
    ],
)
def test_a_plan_that_was_changed_is_refused_in_words(key: str, value: object, plan_text: str, tmp_path: Path) -> None:
    values, path = json.loads(plan_text), tmp_path / "plan.json"
    change(key, value)(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DreamvidError):
        PlanFile.read(path)


@pytest.mark.parametrize("source", ["lavfi:color=red:d=1", "-", "http://localhost/x.mp4", "concat:a|b"])
def test_a_plans_source_is_a_file(source: str, plan_text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(plan_text)
    plan = PlanFile.read(tmp_path / "plan.json")
    with pytest.raises(SourceError, match="no such file"):
        render_chunk(replace(plan, source=source), 0)


def test_a_graph_is_not_planned(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a plan is for files"):
        planned(Path("lavfi:testsrc2=size=32x32:rate=5:d=1"), tmp_path)


@settings(deadline=None)
@given(st.data())
def test_pieces_dream_the_frames_that_the_whole_shot_dreams(data: st.DataObject) -> None:
    count, rate = data.draw(st.integers(1, 3000)), Fraction(data.draw(st.integers(1, 60)))
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=4)) - {count})
    cadence = data.draw(st.integers(1, 4))
    keyframes = choose_keyframes(count, cuts, cadence)
    segments = cut_segments(count, cuts, rate, start=7, keyframes=keyframes)
    numbers = tuple(7 + position for position in keyframes)
    whole = Plan(7, tuple(range(count)), None, 1 / rate, True, rate, False, (), segments, numbers)
    changes = data.draw(st.just([]) | st.lists(st.floats(0, 255), min_size=count, max_size=count))
    split = split_shots(whole, data.draw(st.floats(4, 60)), data.draw(st.floats(0.01, 9)), changes)
    shown = [frame for segment in split.segments if segment.shown for frame in range(segment.start, segment.stop)]
    assert shown == list(range(7, 7 + count))
    assert [segment.index for segment in split.segments] == list(range(len(split.segments)))
    for before, after in pairwise(split.segments):
        assert before.ends_piece == (after.pre_roll > 0)
        if before.ends_piece:
            assert (before.start, before.stop, after.overlap) == (after.start, after.stop, True)
            assert before.stop - 1 in numbers, "what follows has its keyframe"
    shot = 7
    for chunk in chunks(split):
        first = chunk.segments[0]
        shot = first.start if first.new_shot else shot
        assert first.new_shot == (first.pre_roll == 0)
        assert first.start - first.pre_roll >= shot
        assert first.start - first.pre_roll in numbers


def test_a_seam_is_where_the_footage_changes_least_within_a_second_of_the_middle() -> None:
    rate, count = Fraction(20), 200
    segments = cut_segments(count, [], rate, keyframes=range(count))
    whole = Plan(0, tuple(range(count)), None, 1 / rate, True, rate, False, (), segments, tuple(range(count)))

    def seam(changes: list[float]) -> int:
        return next(segment.start for segment in split_shots(whole, 6, 1.0, changes).segments if segment.pre_roll)

    assert seam([]) == seam([3.0] * count) == 100
    assert seam([3.0] * 83 + [1.0] * 21 + [3.0] * 96) == 83, "20 frames dissolve, and the one behind them"
    assert seam([3.0] * 20 + [1.0] * 60 + [3.0] * 120) == 100, "too far away"
    assert seam([3.0] * 110 + [9.0] + [3.0] * 89) == 89, "a jump is avoided"


def test_a_pre_roll_of_the_whole_shot_changes_nothing(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    """The piece begins where its shot does, so even its frames are the same, and a plain render knows the pieces."""
    plan = planned(film, tmp_path, split_seconds=4)
    assert [(chunk.span, chunk.segments[0].pre_roll) for chunk in chunks(plan.plan)] == [
        ("0:7", 0),
        ("7:16", 7),
        ("16:25", 0),
    ]
    render_chunk(plan, 1)
    result = render_video(film, tmp_path / "dream.mkv", tiny(**FFV1))
    assert result.resumed_from == 9
    assert (frames_of(result.output) == frames_of(undisturbed)).all()
    assert result.frames == len(frames_of(undisturbed))
    assert "seams_within_shots = 1" in result.recipe.read_text()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_change_across_a_seam_is_measured_against_that_of_the_pieces(dtype: type) -> None:
    top = np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    before, after, source = (rng.integers(0, top, (9, 6, 8, 3), dtype=dtype, endpoint=True) for _ in range(3))

    def ratio(one: np.ndarray, other: np.ndarray, bare: np.ndarray) -> tuple[float, np.ndarray]:
        change = SeamChange()
        shown = np.stack(list(dissolve(one, other, bare, len(one), dtype, change)))
        return change.ratio, shown

    measured, shown = ratio(before, after, source)
    steps = [np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3)).max() for frames in (before, after, shown)]
    assert measured == pytest.approx(steps[2] / max(steps[:2]), rel=1e-4)
    still = np.zeros_like(before)
    assert ratio(still, still, still)[0] == 0
    assert ratio(still, still + np.array(top, dtype), still)[0] > 20, "it fades from black to white"


def test_a_split_changes_its_piece_and_nothing_else(film: Path, tmp_path: Path) -> None:
    quick = tiny(**FFV1, half_life_seconds=0.1)
    whole = render_video(film, tmp_path / "whole.mkv", quick)
    split = render_video(film, tmp_path / "split.mkv", quick, split_seconds=4)
    difference = abs(frames_of(whole.output).astype(int) - frames_of(split.output)).mean(axis=(1, 2, 3))
    assert difference[:7].max() == 0
    assert difference[7:16].min() > 0
    assert difference[16:].max() == 0


def test_the_shell_loop_of_the_documents(film: Path, tmp_path: Path, undisturbed: Path) -> None:
    """As it is written, with quick settings and lossless segments."""
    root = Path(__file__).parents[3]
    text = (root / "docs" / "scale.md").read_text(encoding="utf-8")
    loop = text.partition("**A shell loop:**")[2].partition("```sh\n")[2].partition("```")[0]
    assert loop.count("dreamvid") == 4
    given = {name: str(value) for name, value in QUICK.items()}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in given.items())
    loop = loop.replace("--result dream.mp4", f"--result dream.mkv --codec ffv1 {flags}")
    code = "import sys; from dreamvid.cli import main; sys.exit(main())"
    function = f"set -e\nexport PYTHONPATH='{root}'\ndreamvid() {{ '{sys.executable}' -c '{code}' \"$@\"; }}\n"
    shutil.copy(film, tmp_path / "film.mp4")
    done = subprocess.run(["sh", "-c", function + loop], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(report["segment"], report["frames"], report["done_before"]) for report in reports] == [
        (0, "0:16", False),
        (1, "16:25", False),
    ]
    assert (frames_of(tmp_path / "dream.mkv") == frames_of(undisturbed)).all()
    assert names(tmp_path) == ["dream.mkv", "dream.mkv.toml", "film.mp4", "plan.json"]
