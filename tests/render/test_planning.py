"""The first frame is dreamed before the source is read to its end, and the result is that of a render planned first."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from renders import FRAMES, children, tiny

from dreamvid.render.plan import Plan
from dreamvid.render.video_producer import VideoProducer
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.source import open_for_render

BAR = 20


def make_film(path: Path, graph: str) -> Path:
    run_ffmpeg(["-f", "lavfi", "-i", graph, "-c:v", "ffv1", f"file:{path}"], "making a film")
    return path


def open_producer(source: str | Path) -> VideoProducer:
    settings = tiny()
    return VideoProducer.from_source(open_for_render(source, settings.video), settings)


def dream(producer: VideoProducer, plan: Plan) -> tuple[np.ndarray, Counter[tuple[int, ...]]]:
    """Dream all frames; return them and the gradients that it took."""
    with producer.dreams(plan.segments, plan, None) as images:
        frames = np.stack([image.numpy() for image in images])
    return frames, producer.ascent.gradient.evaluated


def planned_first(source: Path) -> tuple[Plan, np.ndarray, Counter[tuple[int, ...]]]:
    producer = open_producer(source)
    plan = producer.make_plan(lambda progress: None)
    return plan, *dream(producer, plan)


def begun_early(source: Path) -> tuple[Plan, np.ndarray, Counter[tuple[int, ...]], int]:
    producer = open_producer(source)
    with producer.begin_planning():
        plan = producer.make_plan(lambda progress: None)
    early = producer.ascent.gradient.evaluated.total()
    return plan, *dream(producer, plan), early


def nothing_runs() -> bool:
    running = {thread.name for thread in threading.enumerate()}
    return running.isdisjoint({"plan", "decode", "ffmpeg-log"}) and "ffmpeg" not in " ".join(children())


def test_the_first_frame_is_dreamed_once_and_early(film: Path) -> None:
    plan, wanted, gradients = planned_first(film)
    same, frames, early_gradients, early = begun_early(film)
    assert same == plan
    assert plan.count == FRAMES
    assert np.array_equal(frames, wanted)
    assert early > 0
    assert early_gradients == gradients, "what was dreamed early is not dreamed again"
    assert nothing_runs()


def test_bars_of_the_first_frame_alone_are_none(tmp_path: Path) -> None:
    """Everything that comes later decides whether a black border is a bar: the first frame is dreamed again then."""
    picture = "testsrc2=size=96x64:rate=10,lutrgb=r=val/2+60,format=gbrp,trim=end_frame=6"
    border = f"{picture},pad=96:{64 + BAR}:0:0:black,drawbox=y=64:h={BAR}:c=gray:t=fill:enable='gt(n,0)'"
    film = make_film(tmp_path / "film.mkv", border)
    first = make_film(tmp_path / "first.mkv", f"{border},trim=end_frame=1")
    assert planned_first(first)[0].segments[0].bars.bottom == BAR
    plan, wanted, gradients = planned_first(film)
    assert not plan.segments[0].bars
    same, frames, early_gradients, early = begun_early(film)
    assert same == plan
    assert np.array_equal(frames, wanted)
    assert early_gradients.total() == gradients.total() + early


def test_leaving_ends_planning() -> None:
    producer = open_producer("lavfi:testsrc2=size=96x64:rate=25")  # has no end
    with pytest.raises(KeyError), producer.begin_planning():
        raise KeyError
    assert nothing_runs()
