"""The plan covers every frame once, is cut where the shots are, and names what is wrong with a range."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from renders import CUT, FRAMES, RATE, SEGMENTS, tiny

from dreamvid.errors import SourceError
from dreamvid.render.engine import render_video
from dreamvid.render.plan import SEGMENT_SECONDS, Plan, cut_segments, make_plan
from dreamvid.settings import Settings
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe, scan
from dreamvid.video.shots import detection_size, find_cuts
from dreamvid.video.source import open_source


def plan_of(source: Path | str, settings: Settings) -> Plan:
    opened = open_source(source)
    return make_plan(opened, probe(opened), settings)


@given(st.data())
def test_segments_partition_the_frames_at_the_cuts(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 2000))
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=20)) - {count})
    rate = Fraction(data.draw(st.integers(1, 120_000)), 1001)
    start = data.draw(st.integers(0, 99))
    segments = cut_segments(count, cuts, rate, start=start)
    covered = [frame for segment in segments for frame in range(segment.start, segment.stop)]
    assert covered == list(range(start, start + count))
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert [segment.start - start for segment in segments if segment.new_shot] == [0, *cuts]
    assert all(segment.count <= max(1, round(SEGMENT_SECONDS * rate)) for segment in segments)


def test_without_a_memory_every_segment_stands_alone() -> None:
    assert all(segment.new_shot for segment in cut_segments(100, [], Fraction(10), alone=True))


def test_finds_the_cut_and_survives_json(film: Path) -> None:
    plan = plan_of(film, tiny())
    assert tuple((s.start, s.stop, s.new_shot) for s in plan.segments) == SEGMENTS
    assert (plan.count, plan.rate, plan.constant_rate, plan.trimmed) == (FRAMES, RATE, True, False)
    assert plan.damage == ()
    times = [pts * plan.time_base for pts in plan.pts]
    assert times == [Fraction(n) / RATE for n in range(FRAMES)]
    assert Plan.from_json(plan.to_json()) == plan


def test_a_range_counts_in_the_sources_frames(film: Path) -> None:
    plan = plan_of(film, tiny(frames="10:20"))
    assert (plan.start, plan.count, plan.trimmed) == (10, 10, True)
    assert [segment.start for segment in plan.segments] == [10, CUT]
    assert plan.pts[0] * plan.time_base == 10 / RATE
    assert plan.end_pts is not None
    assert plan.end_pts * plan.time_base == 20 / RATE
    assert plan.elapsed_seconds(12) == pytest.approx(float(1 / RATE))


def test_a_range_up_to_the_end_is_no_trim(film: Path) -> None:
    assert not plan_of(film, tiny(frames=f"0:{FRAMES}")).trimmed
    assert not plan_of(film, tiny(frames=f"0:{FRAMES + 9}")).trimmed


def test_another_rate_is_planned_in_its_own_frames(film: Path) -> None:
    plan = plan_of(film, tiny(fps="5", frames="20:"))
    assert (plan.rate, plan.time_base) == (5, Fraction(1, 5))
    assert plan.count == pytest.approx(2 * FRAMES - 20, abs=1)
    assert plan.pts[0] == 20
    assert plan.segments[1].start == pytest.approx(2 * CUT, abs=1)


def test_an_empty_range_names_the_count_and_the_remedy_runs(film: Path) -> None:
    with pytest.raises(SourceError, match=f"has {FRAMES} frames") as caught:
        plan_of(film, tiny(frames="70:80"))
    remedy = str(caught.value).split("`frames=")[1].rstrip("`.")
    assert plan_of(film, tiny(frames=remedy)).count == FRAMES
    with pytest.raises(SourceError, match="fewer frames"):
        plan_of(film, tiny(frames="700:800", fps="5"))


def test_a_graph_without_an_end_is_taken_as_far_as_asked() -> None:
    assert plan_of("lavfi:testsrc2=size=32x32:rate=30", tiny(frames="3:9")).count == 6
    assert plan_of("lavfi:testsrc2=size=32x32:rate=30", tiny(frames="3:9", fps="10")).count == 6


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every ffmpeg that is started while a test runs, by its arguments."""
    started: list[list[str]] = []
    popen = subprocess.Popen

    def start(command: list[str], *args: object, **options: object) -> object:
        started.append(command)
        return popen(command, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_a_plan_decodes_the_file_once_and_a_render_once_more(
    film: Path, tmp_path: Path, commands: list[list[str]]
) -> None:
    source = open_source(film)
    info = probe(source)
    commands.clear()
    make_plan(source, info, tiny())
    assert len(commands) == 1
    commands.clear()
    render_video(film, tmp_path / "dream.mkv", tiny(iterations=0, warm_iterations=0))
    whole = [command for command in commands if f"file:{film}" in command and "-frames:v" not in command]
    # Two of them are stopped after a frame: the first one is planned and dreamed before all others are known.
    assert len([command for command in whole if "rawvideo" in command]) == 2 + 2


@pytest.mark.parametrize(
    "name",
    [
        "jitter.mp4",
        "gap.mp4",
        "stream.ts",
        "edit_list.mp4",
        "delays.gif",
        "interlaced.mpg",
        "resized.ts",
        "corrupted.mp4",
    ],
)
@pytest.mark.parametrize("wanted", [{}, {"frames": "4:9"}, {"fps": "12"}])
def test_one_pass_finds_what_a_scan_and_a_reader_find(
    name: str, wanted: dict[str, str], zoo: Callable[[str], Path]
) -> None:
    settings = tiny(**wanted)
    source = open_source(zoo(name))
    info = probe(source)
    plan = make_plan(source, info, settings)
    (start, stop), fps = settings.video.frame_range(), settings.video.rate()
    seen = scan(source, info, None if fps is not None else stop)
    with FrameReader(source, info, scan=seen, start=start, stop=stop, size=detection_size(info), fps=fps) as reader:
        frames = list(reader)
    assert plan.pts == tuple(frame.pts for frame in frames)
    assert (plan.rate, plan.constant_rate) == (
        (fps, True) if fps is not None else (seen.frame_rate, seen.constant_rate)
    )
    assert plan.irregularities == seen.irregularities
    assert bool(plan.damage) == bool(seen.damage or seen.notes)
    cuts = find_cuts(frame.pixels for frame in frames)
    assert [segment.start - start for segment in plan.segments if segment.new_shot] == [0, *cuts]
