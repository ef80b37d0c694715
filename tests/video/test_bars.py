"""Black bars are found to the pixel, and what is only dark is not taken for one."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dreamvid.render.plan import Plan, make_plan
from dreamvid.settings import load_settings
from dreamvid.settings.size import Size
from dreamvid.video.bars import NO_BARS, Bars, find_bars, frame_edges
from dreamvid.video.ffmpeg import ffmpeg_path
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

WIDTH, HEIGHT, FRAMES = 320, 240, 10

Pixels = npt.NDArray[np.uint8]
Clip = Callable[..., Plan]


def _picture(width: int, height: int, index: int, seed: int = 0) -> Pixels:
    """Soft spots of all kinds of light, which drift."""
    rng = np.random.default_rng(seed)
    spots = cv2.resize(rng.random((height // 16 + 2, width // 16 + 4, 3)), (width + 32, height))
    light = 20 + 220 * spots[:, index : index + width].clip(0, 1)
    return (light * np.roll((1, 0.7, 0.4), seed) if seed else light).astype(np.uint8)


def _inside(bars: Bars, index: int, seed: int = 0) -> Pixels:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rows, columns = bars.inner(Size(HEIGHT, WIDTH))
    frame[rows, columns] = _picture(WIDTH - bars.left - bars.right, HEIGHT - bars.top - bars.bottom, index, seed)
    return frame


@pytest.fixture
def plan_of(tmp_path: Path) -> Clip:
    """Encode frames with x264, losing something, and plan their render."""

    def plan(frames: list[Pixels], *, crf: int = 23, **settings: str) -> Plan:
        path = tmp_path / "clip.mp4"
        height, width = frames[0].shape[:2]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "10", "-i", "pipe:0"]
        coded = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", "yuv420p", str(path)]
        data = b"".join(frame.tobytes() for frame in frames)
        subprocess.run([str(ffmpeg_path()), "-v", "error", "-y", *raw, *coded], input=data, check=True)
        source = open_source(path)
        return make_plan(source, probe(source), load_settings(None, device="cpu", **settings))

    return plan


@pytest.mark.parametrize(
    "bars",
    [
        Bars(top=30, bottom=30),
        Bars(left=40, right=40),
        Bars(top=24, bottom=40),
        Bars(left=102, right=104),
        Bars(top=24, bottom=24, left=32, right=32),
        Bars(bottom=36),
        Bars(top=66, bottom=66, left=80, right=80),
    ],
    ids=str,
)
def test_bars_are_found_to_the_pixel(bars: Bars, plan_of: Clip) -> None:
    plan = plan_of([_inside(bars, index) for index in range(FRAMES)])
    assert [segment.bars for segment in plan.segments] == [bars]
    assert Plan.from_json(plan.to_json()) == plan


def test_bars_full_of_compressed_noise_are_found(plan_of: Clip) -> None:
    rng = np.random.default_rng(3)
    bars = Bars(top=30, bottom=30)
    frames = []
    for index in range(FRAMES):
        noise = rng.normal(0, 3, (HEIGHT, WIDTH, 1)).round()
        frames.append((_inside(bars, index) + noise).clip(0, 255).astype(np.uint8))
    (segment,) = plan_of(frames, crf=32).segments
    for found, true in zip((segment.bars.top, segment.bars.bottom), (30, 30), strict=True):
        assert abs(found - true) <= 1
    assert (segment.bars.left, segment.bars.right) == (0, 0)


def test_bars_of_a_video_that_fades_in_from_black_are_found(plan_of: Clip) -> None:
    bars = Bars(top=30, bottom=30)
    frames = [(_inside(bars, index) * min(1.0, index / 8)).astype(np.uint8) for index in range(16)]
    assert {segment.bars for segment in plan_of(frames).segments} == {bars}


def test_a_picture_without_bars_has_none(plan_of: Clip) -> None:
    assert plan_of([_inside(NO_BARS, index) for index in range(FRAMES)]).segments[0].bars == NO_BARS


def test_bars_are_dreamed_on_when_that_is_asked_for(plan_of: Clip) -> None:
    frames = [_inside(Bars(top=30, bottom=30), index) for index in range(FRAMES)]
    assert plan_of(frames, bars="dream").segments[0].bars == NO_BARS


def _night(index: int, *, stars: int) -> Pixels:
    """A black sky above a lit town with a straight horizon."""
    rng = np.random.default_rng(5)
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[150:] = _picture(WIDTH, HEIGHT - 150, index)
    for row, column in zip(rng.integers(5, 140, stars), rng.integers(5, WIDTH - 5, stars), strict=True):
        frame[row : row + 2, column : column + 2] = 200
    return frame


def _lamp(index: int) -> Pixels:
    """A lamp that swings in a room without other light."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(frame, (150 + 2 * index, 120), 50, (250, 220, 160), -1)
    return cv2.GaussianBlur(frame, (0, 0), 6)


def _skyline(index: int) -> Pixels:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rng = np.random.default_rng(2)
    for left in range(0, WIDTH, 20):
        frame[int(rng.integers(70, 200)) :, left : left + 20] = _picture(20, HEIGHT, index)[:1]
    return frame


def _title(index: int) -> Pixels:
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.putText(frame, "THE END", (70, 130), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (255, 255, 255), 3)
    return frame


@pytest.mark.parametrize(
    "frame",
    [
        lambda index: _night(index, stars=40),
        _lamp,
        _skyline,
        _title,
        lambda index: np.zeros((HEIGHT, WIDTH, 3), np.uint8),
    ],
    ids=["night sky", "lamp", "skyline", "title", "black"],
)
def test_what_is_only_dark_is_not_a_bar(frame: Callable[[int], Pixels], plan_of: Clip) -> None:
    plan = plan_of([frame(index) for index in range(FRAMES)])
    assert {segment.bars for segment in plan.segments} == {NO_BARS}


def test_stars_too_small_for_planning_show_in_full_size(plan_of: Clip) -> None:
    """In frames of 120 lines nothing is left of a star of one pixel in 720 lines."""
    frames = []
    for index in range(3):
        frame = cv2.resize(_night(index, stars=0), (1280, 720), interpolation=cv2.INTER_NEAREST)
        rng = np.random.default_rng(5)
        frame[rng.integers(5, 400, 60), rng.integers(5, 1275, 60)] = 220
        frames.append(frame)
    assert plan_of(frames, crf=10).segments[0].bars == NO_BARS


def test_each_shot_has_its_own_bars_and_a_dark_one_those_of_the_others(plan_of: Clip) -> None:
    wide, tall = Bars(top=30, bottom=30), Bars(left=40, right=40)
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8) for _ in range(6)]
    for index, frame in enumerate(dark):
        cv2.circle(frame, (160 + index, 120), 20, (200, 200, 200), -1)
    frames = [
        *(_inside(wide, index, seed=1) for index in range(8)),
        *(_inside(tall, index, seed=2) for index in range(6)),
        *dark,
        *(_inside(NO_BARS, index, seed=3) for index in range(6)),
    ]
    segments = plan_of(frames).segments
    assert [(segment.start, segment.bars) for segment in segments] == [(0, wide), (8, tall), (14, wide), (20, NO_BARS)]


def test_a_bar_has_to_stay_black_for_the_whole_shot() -> None:
    frames = [_inside(Bars(top=30, bottom=30), index) for index in range(FRAMES)]
    frames[6][:20] = 90  # something moves through the bar
    edges = [frame_edges(frame) for frame in frames]
    assert find_bars(edges, [], Size(HEIGHT, WIDTH)) == [Bars(bottom=30)]


def test_bars_at_another_size_leave_no_part_of_a_bar() -> None:
    bars = Bars(top=21, bottom=20, left=3)
    full, small = Size(height=1080, width=1920), Size(height=360, width=640)
    assert bars.scaled(full, small) == Bars(top=7, bottom=7, left=1)
    assert bars.scaled(full, full) == bars
    assert Fraction(bars.inner(full)[0].stop) == 1060
