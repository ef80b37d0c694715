"""A preview is coarse while values move and fine when they rest; newer values stop it before its next step."""

from pathlib import Path

import numpy as np
import pytest
from renders import RATE, tiny

from dreamvid.api import Dreamer, DreamStep
from dreamvid.audio.decode import decode_audio
from dreamvid.image.io import write_image
from dreamvid.settings import load_settings
from dreamvid.ui.studio.dreaming.machine import LEAST_LINES, PreviewMachine, Verdict
from dreamvid.ui.studio.dreaming.requests import (
    Answer,
    AtlasRequest,
    LayersRequest,
    Moment,
    MotionRequest,
    PresetsRequest,
    PreviewRequest,
    Request,
)
from dreamvid.ui.studio.dreaming.work import Work
from dreamvid.ui.studio.dreaming.worker import Desk, serve
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

OCTAVES = (125, 175, 245, 343, 480)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(
    machine: PreviewMachine, clock: Clock, *, step: float, moves_at: float = 1e9, octaves: tuple[int, ...] = OCTAVES
):
    """Go through a dream of ten steps an octave; yield (time, verdict, lines) where something happens."""
    machine.begin()
    begun = clock.now
    for octave, lines in enumerate(octaves):
        for done in range(1, 11):
            clock.now += step * (lines / octaves[-1]) ** 2
            moved = clock.now - begun >= moves_at
            verdict = machine.after_step(lines, octave, len(octaves), done, 10, moved=moved)
            if verdict is not Verdict.GO_ON:
                yield round(clock.now - begun, 3), verdict, lines
            if verdict is Verdict.STOP:
                return
            if verdict is Verdict.SHOW:
                machine.shown()


def test_a_preview_sharpens_octave_by_octave() -> None:
    clock = Clock()
    seen = list(run(PreviewMachine(clock), clock, step=0.1))
    assert [lines for _, _, lines in seen] == [175, 245, 343]  # 125 lines are no preview; the last is the finished one
    assert all(verdict is Verdict.SHOW for _, verdict, _ in seen)


@pytest.mark.parametrize("step", [0.01, 0.1, 0.3, 1.0])
def test_the_first_picture_has_enough_lines_and_comes_soon(step: float) -> None:
    clock = Clock()
    seconds, verdict, lines = next(run(PreviewMachine(clock), clock, step=step))
    assert verdict is Verdict.SHOW
    if step <= 0.3:
        assert lines >= LEAST_LINES
    assert seconds < 1.4 + step


def test_a_newer_value_stops_a_shown_preview_within_a_step() -> None:
    clock = Clock()
    seen = list(run(PreviewMachine(clock), clock, step=0.1, moves_at=1.0))
    time, verdict, _ = seen[-1]
    assert verdict is Verdict.STOP
    assert 1.0 <= time <= 1.1


def test_values_that_never_rest_still_show_pictures() -> None:
    """A hand that drags a slider for ten seconds sees a picture at least once a second and a half."""
    clock, machine, shown = Clock(), None, []
    machine = PreviewMachine(clock)
    while clock.now < 10:
        for _, verdict, _ in run(machine, clock, step=0.15, moves_at=0.05):
            if verdict is Verdict.SHOW:
                shown.append(clock.now)
    gaps = np.diff([0.0, *shown])
    assert len(shown) >= 6
    assert gaps.max() <= 1.6


def test_values_that_move_before_the_first_picture_replace_it_at_once_if_one_was_just_shown() -> None:
    clock = Clock()
    machine = PreviewMachine(clock)
    list(run(machine, clock, step=0.02))
    machine.shown()
    seen = list(run(machine, clock, step=0.1, moves_at=0.0))
    assert [verdict for _, verdict, _ in seen] == [Verdict.STOP]


def _request(number: int, kind: type = PreviewRequest, session: str = "s") -> Request:
    settings = load_settings()
    if kind is PreviewRequest:
        return PreviewRequest(session, number, Moment("noise"), settings)
    if kind is PresetsRequest:
        return PresetsRequest(session, number, Moment("noise"), ())
    return LayersRequest(session, number, settings)


def test_the_newest_preview_comes_first_and_replaces_older_ones() -> None:
    desk = Desk()
    for request in (_request(1, PresetsRequest), _request(2), _request(3), _request(4, session="other")):
        desk.put(request)
    stopped = _request(0, PresetsRequest)
    assert desk.has_before(stopped)
    desk.put_back(stopped)  # a newer one waits
    taken = [desk.take() for _ in range(3)]
    assert [request.number for request in taken if request] == [4, 3, 1]
    desk.close()
    assert desk.take() is None


def test_motion_of_older_values_is_not_dreamed_any_more() -> None:
    """But thumbnails of presets are, which do not depend on the values."""
    settings = load_settings()
    motion = MotionRequest("s", 1, Moment("noise"), settings, "x.mp4")
    desk = Desk()
    desk.put(motion)
    desk.put(_request(2, PresetsRequest))
    desk.put(_request(3, session="other"))
    assert desk.take() == _request(3, session="other")
    desk.put(_request(4))
    assert [request.number for request in (desk.take(), desk.take()) if request] == [4, 2]
    desk.put(_request(5))
    desk.put_back(motion)  # it was stopped by the newer preview
    assert [request.number for request in (desk.take(),) if request] == [5]
    desk.put_back(motion)  # it was stopped by another page's
    assert desk.take() == motion


def _answers(folder: Path, request: Request) -> list[Answer]:
    """Ask for one thing; return what is answered."""
    desk, answers = Desk(), []

    def answer(given: Answer) -> None:
        answers.append(given)
        if given.stage in ("done", "error", "fine"):
            desk.close()

    desk.put(request)
    serve(desk, answer, folder)
    return answers


def test_an_animation_s_motion_is_its_first_seconds_with_its_music(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    drum = "aevalsrc='sin(880*t)*exp(-9*mod(t,0.25))':d=3"
    run_ffmpeg(["-f", "lavfi", "-i", drum, "file:drum.wav"], "making a drum")
    small = {"objective": "blocks.1.0", "dream_height": 48, "iterations": 2, "octaves": 2, "device": "cpu"}
    form = {"size": "96x48", "frames": "0:30", "audio": "drum.wav", "loop": True}
    settings = load_settings("drift", **small, **form, zoom="1 + 6*beat")
    request = MotionRequest("s", 1, Moment("noise"), settings, str(tmp_path / "loop.mp4"), kind="zoom")
    answers = _answers(tmp_path, request)
    assert answers[-1].values == {"file": "loop.mp4", "sound": True}
    source = open_source(tmp_path / "loop.mp4")
    info = probe(source)
    assert (info.width, info.height, info.frame_rate) == (96, 48, 12)
    assert info.audio
    with FrameReader(source, info) as reader:
        frames = np.stack([frame.pixels for frame in reader]).astype(int)
    assert len(frames) == 12  # one second: as long as the animation
    step = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert np.abs(frames[-1] - frames[0]).mean() < 2 * step.max()  # it closes
    silent = load_settings("drift", **small, **{**form, "audio": None}, zoom="1 + 6*beat")
    request = MotionRequest("s", 2, Moment("noise"), silent, str(tmp_path / "silent.mp4"), kind="zoom")
    assert _answers(tmp_path, request)[-1].values == {"file": "silent.mp4", "sound": False}
    with FrameReader(open_source(tmp_path / "silent.mp4"), probe(open_source(tmp_path / "silent.mp4"))) as reader:
        still = np.stack([frame.pixels for frame in reader]).astype(int)
    assert np.abs(np.diff(still, axis=0)).mean() < 0.8 * step.mean()  # nothing moves it


def test_music_that_ends_before_an_animation_s_motion_is_followed_by_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_ffmpeg(["-f", "lavfi", "-i", "sine=d=0.4", "file:short.wav"], "making a tone")
    small = {"objective": "blocks.1.0", "dream_height": 48, "iterations": 1, "octaves": 1, "device": "cpu"}
    settings = load_settings("drift", **small, size="96x48", frames="0:60", audio="short.wav")
    request = MotionRequest("s", 1, Moment("noise"), settings, str(tmp_path / "loop.mp4"), kind="zoom")
    assert _answers(tmp_path, request)[-1].values == {"file": "loop.mp4", "sound": True}
    with FrameReader(open_source("loop.mp4"), probe(open_source("loop.mp4"))) as reader:
        assert sum(1 for _ in reader) == 24  # two seconds
    samples, rate = decode_audio(tmp_path / "loop.mp4")
    assert np.abs(samples[: int(0.3 * rate)]).max() > 0.1
    assert np.abs(samples[int(0.6 * rate) :]).max() < 1e-3
    (tmp_path / "short.wav").write_bytes(b"no sound")
    request = MotionRequest("s", 2, Moment("noise"), settings, str(tmp_path / "none.mp4"), kind="zoom")
    refused = _answers(tmp_path, request)[-1]
    assert refused.stage == "error"
    assert "a bug" not in refused.message


def test_a_film_s_motion_is_a_draft_around_the_moment_and_is_kept(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = MotionRequest("s", 1, Moment(str(film), 3.0), tiny(), str(tmp_path / "span.mp4"), seconds=3.0)
    answers = _answers(tmp_path, request)
    parts = [answer.values for answer in answers[:-1]]
    assert parts[-1] == {"done": len(parts), "total": len(parts)}
    info = probe(open_source(tmp_path / "span.mp4"))
    assert float(info.frame_rate) == pytest.approx(float(RATE) / 2)
    stamp = (tmp_path / "span.mp4").stat().st_mtime_ns
    assert [answer.stage for answer in _answers(tmp_path, request)] == ["done"]
    assert (tmp_path / "span.mp4").stat().st_mtime_ns == stamp
    still = MotionRequest("s", 1, Moment("none.mp4"), tiny(), str(tmp_path / "none.mp4"))
    assert _answers(tmp_path, still)[-1].stage == "error"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["span.mp4"]


def test_steps_of_a_dream_can_be_watched_and_stopped() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (96, 128, 3), np.uint8)
    settings = load_settings(objective="blocks.1.0", dream_height=96, octaves=3, iterations=3, device="cpu")
    plain = Dreamer(settings).dream(frame)
    steps: list[DreamStep] = []
    images: list[np.ndarray] = []

    def watch(step: DreamStep) -> None:
        steps.append(step)
        images.append(step.image())

    assert (Dreamer(settings, on_step=watch).dream(frame) == plain).all()
    assert [(step.octave, step.done) for step in steps] == [(o, d) for o in range(3) for d in (1, 2, 3)]
    assert (images[-1] == plain).all()
    change = [float(np.abs(image.astype(int) - frame).mean()) for image in images]
    assert change[0] < change[2] < change[-1] * 1.5

    class Enough(Exception):
        pass

    def stop(step: DreamStep) -> None:
        if step.octave == 1:
            raise Enough

    dreamer = Dreamer(settings, on_step=stop)
    with pytest.raises(Enough):
        dreamer.dream(frame)


def test_another_file_of_the_same_name_is_previewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(objective="blocks.1.0", dream_height=48, iterations=0, octaves=1, device="cpu")
    work, means = Work(tmp_path), []
    for gray in (40, 200):
        (tmp_path / "a.png").unlink(missing_ok=True)
        write_image(tmp_path / "a.png", np.full((48, 64, 3), gray, np.uint8))
        means.append(work._frame(Moment("a.png"), settings, 48).mean())
    assert means == [40, 200]


def test_requests_are_answered_and_errors_are_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sources").mkdir()
    write_image(tmp_path / "sources" / "a.png", np.full((180, 240, 3), 120, np.uint8))
    small = {"objective": "blocks.1.0", "dream_height": 180, "iterations": 2, "octaves": 2, "device": "cpu"}
    settings, wrong = load_settings(**small), load_settings(**{**small, "objective": "blocks.9.9"})
    moment = Moment("sources/a.png")
    desk, answers = Desk(), []
    queue: list[Request] = [
        PreviewRequest("a", 1, moment, settings),
        PreviewRequest("b", 2, moment, wrong),
        PreviewRequest("c", 3, Moment("sources/none.png"), settings),
        PresetsRequest("a", 4, moment, (("one", settings), ("two", settings)), lines=90),
        LayersRequest("a", 5, settings),
        AtlasRequest("a", 6, settings, "blocks.1.0", (0, 3), str(tmp_path / "atlas")),
    ]
    for request in queue:
        desk.put(request)

    def answer(given: Answer) -> None:
        answers.append(given)
        if given.name == "presets" and given.stage in ("done", "error"):
            desk.close()

    serve(desk, answer, tmp_path)
    by_number = {number: [given for given in answers if given.number == number] for number in range(1, 7)}
    assert by_number[1][-1].stage == "fine"
    assert by_number[1][-1].data.startswith(b"\xff\xd8")
    assert (by_number[2][-1].stage, by_number[3][-1].stage) == ("error", "error")
    assert "blocks.9.9" in by_number[2][-1].message
    assert [given.values.get("preset") for given in by_number[4]] == ["one", "two", None]
    assert by_number[5][0].values["layers"]["blocks.4.1"] == 120
    assert sorted(path.name for path in (tmp_path / "atlas").iterdir()) == ["0.jpg", "3.jpg"]
