"""What can change while a live dream runs, what is refused, and what the loop gets."""

import threading
import tomllib
from pathlib import Path

import pytest

from dreamvid.errors import DreamvidError, ObjectiveError, SettingsError
from dreamvid.render.live.controls import ACTIONS, Action, Controls
from dreamvid.render.live.tempo import TapTempo
from dreamvid.settings import Settings, load_settings, write_recipe
from dreamvid.settings.merge import setting_fields


@pytest.fixture
def controls() -> Controls:
    return Controls(load_settings())


def test_every_number_that_can_be_a_schedule_is_a_control_and_has_a_range() -> None:
    from dreamvid.settings.schema import numeric_fields

    run, zoom = Controls(load_settings()), Controls(load_settings("infinite-zoom"), "zoom")
    names = {control.name for one in (run, zoom) for control in one.inventory()}
    assert set(numeric_fields()) - names == {"tile"}
    for control in [*run.inventory(), *zoom.inventory()]:
        assert control.help
        if control.kind in ("number", "integer"):
            assert control.minimum is not None
            assert control.maximum is not None


def test_no_control_names_a_file_or_a_network(controls: Controls) -> None:
    zoom = Controls(load_settings("infinite-zoom"), "zoom")
    names = {control.name for one in (controls, zoom) for control in one.inventory()}
    assert not names & {"mask", "weights", "flow_weights", "camera_path", "audio", "model", "flow", "device", "codec"}
    texts = {c.name for one in (controls, zoom) for c in one.inventory() if c.kind == "text"}
    assert texts == {"objective"}


def test_a_knob_covers_its_range_and_its_position_is_found_again(controls: Controls) -> None:
    for control in [*controls.inventory(), *Controls(load_settings("spiral"), "zoom").inventory()]:
        if control.kind not in ("number", "integer"):
            continue
        assert control.minimum is not None
        assert control.maximum is not None
        stops = control.stops
        assert list(stops) == sorted(stops)
        assert stops[-1] == control.maximum
        assert stops[0] > control.minimum if control.above_minimum else stops[0] == control.minimum
        for position in (0.0, 0.13, 0.5, 0.71, 1.0):
            value = control.at(position)
            back = control.at(control.position(value))
            # four digits, or one step of an integer
            assert back == pytest.approx(value, rel=2e-3, abs=1.0 if control.kind == "integer" else 1e-9), control.name


def test_a_value_reaches_the_next_frame_and_no_other(controls: Controls) -> None:
    assert controls.settings(0.0).dream.step_size == 0.012
    controls.set("step_size", 0.03)
    assert controls.settings(0.1).dream.step_size == 0.03
    controls.set("octaves", 2.0)
    controls.set("keep_color", True)
    controls.set("optimizer", "adam")
    dream = controls.settings(0.2).dream
    assert (dream.octaves, dream.keep_color, dream.optimizer) == (2, True, "adam")
    assert type(dream.octaves) is int


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("step_size", 2.0, "above 0.0 up to 1.0"),
        ("step_size", float("nan"), "above 0.0 up to 1.0"),
        ("step_size", True, "must be a number"),
        ("step_size", "0.01 + 0.02*beet", "beat"),
        ("step_sise", 0.1, "step_size"),
        ("half_life", -1, "from 0.0"),
        ("optimizer", "adamant", "adam"),
        ("palette", "/etc/passwd", "must be one of"),
        ("mask", "/etc/passwd", "cannot change while a live dream runs"),
        ("weights", "x.pth", "cannot change while a live dream runs"),
        ("objective", 'guide("/etc/passwd")@blocks.3.2', "may read a file"),
        ("objective", 'blocks.4.1 | 0.5*(guide("x.jpg")@blocks.3.2) @ 5s', "may read a file"),
        ("objective", "blocks.4.1 +", "expected|Expected"),
        ("objective", "x" * 5000, "at most 2000"),
        ("coherence", "0.5*beat", "cannot be an expression"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(controls: Controls, name: str, value: object, message: str) -> None:
    before = controls.settings(0.0)
    with pytest.raises(DreamvidError, match=message):
        controls.set(name, value)  # type: ignore[arg-type]
    assert controls.settings(0.1) == before


def test_what_the_command_line_gave_can_be_set_back() -> None:
    objective = 'guide("flowers.jpg")@blocks.3.2'
    controls = Controls(load_settings(None, objective=objective, palette="mine.png"))
    controls.set("objective", "blocks.3.2")
    controls.set("palette", "warm")
    controls.settings(0.0)
    assert controls.set("objective", objective) == objective
    assert controls.set("palette", "mine.png") == "mine.png"
    with pytest.raises(DreamvidError):
        controls.set("palette", "other.png")


def test_an_objective_that_the_network_lacks_is_refused_by_the_loops_check() -> None:
    def check(text: str) -> None:
        if "9" in text:
            raise ObjectiveError("no such layer")

    controls = Controls(load_settings(), check_objective=check)
    controls.set("objective", "blocks.3.2")
    with pytest.raises(ObjectiveError):
        controls.set("objective", "blocks.9.2")


def test_an_expression_runs_on_the_live_clock_and_is_held_within_the_bounds(controls: Controls) -> None:
    controls.set("step_size", "0.01*t")
    controls.set("total_variation", "beat")
    assert controls.settings(0.0).dream.step_size > 0
    assert "step_size" in controls.problems()
    settings = controls.settings(3.0, 90, {"beat": 0.25})
    assert settings.dream.step_size == pytest.approx(0.03)
    assert settings.dream.total_variation == 0.25
    assert settings.schedules == {}
    assert controls.settings(1e9).dream.step_size == 1.0


def test_an_expression_without_a_value_leaves_the_number_as_it_was(controls: Controls) -> None:
    controls.set("step_size", "0.02/(t-1)")
    before = controls.settings(3.0).dream.step_size
    assert controls.settings(1.0).dream.step_size == before
    assert "division by zero" in controls.problems()["step_size"]
    controls.set("step_size", 0.02)
    controls.settings(1.1)
    assert controls.problems() == {}


def test_a_number_glides_and_a_size_jumps_in_the_middle(controls: Controls) -> None:
    controls.settings(10.0)
    controls.set("step_size", 0.032, 4)
    controls.set("dream_height", 240, 4)
    seen = [controls.settings(10 + i / 10).dream for i in range(45)]
    steps = [dream.step_size for dream in seen]
    assert steps[0] == 0.012
    assert steps[20] == pytest.approx(0.022)
    assert steps[40:] == [0.032] * 5
    assert steps == sorted(steps)
    heights = [dream.dream_height for dream in seen]
    assert heights == [480] * 20 + [240] * 25


def test_a_preset_cross_fades_numbers_and_objectives(controls: Controls) -> None:
    from dreamvid.settings.objective_timeline import parse_timeline

    controls.settings(5.0)
    controls.preset("plants", 2)
    texts = [controls.settings(5 + i / 2).dream for i in range(6)]
    weights = [
        dict(parse_timeline(dream.objective).at(5 + i / 2)).get("blocks.5.1", 0.0) for i, dream in enumerate(texts)
    ]
    assert weights[0] == 0
    assert weights[2] == pytest.approx(0.5)
    assert weights[4:] == [1, 1]
    assert len({dream.objective for dream in texts[:4]}) == 1, "the loop builds a timeline once"
    assert [dream.iterations for dream in texts] == [10, 11, 12, 13, 14, 14]
    assert controls.settings(9.0).dream == load_settings("plants").dream


def test_only_presets_of_this_network_and_kind_by_name(controls: Controls, tmp_path: Path) -> None:
    names = {one.name for one in controls.presets()}
    assert {"animals", "plants", "smooth", "subtle"} <= names
    assert not names & {"notebook-keras", "infinite-zoom"}
    file = tmp_path / "mine.toml"
    file.write_text("[dream]\noctaves = 2\n")
    for name in ("notebook-keras", "spiral", str(file), "../presets/plants", "plant"):
        with pytest.raises(SettingsError, match="Allowed: animals"):
            controls.preset(name)


def test_the_dial_of_coherence_sets_what_it_stands_for(controls: Controls) -> None:
    controls.set("coherence", 1)
    coherence = controls.settings(0.0).coherence
    assert coherence.half_life_seconds == pytest.approx(6.0)
    assert coherence.warm_iterations == 4
    assert controls.values()["coherence"] == 1
    controls.set("half_life", 2.0)
    assert controls.values()["coherence"] is None


def test_actions_come_once_in_their_order_and_are_bounded(controls: Controls) -> None:
    controls.action("freeze")
    controls.action("blackout", True)
    controls.action("reset", True)
    assert controls.take() == [Action("freeze"), Action("blackout", True), Action("reset")]
    assert controls.take() == []
    for _ in range(10_000):
        controls.action("reset")
    assert len(controls.take()) <= 64
    with pytest.raises(SettingsError, match="freeze"):
        controls.action("freze")
    assert set(ACTIONS) == {"freeze", "reset", "snapshot", "blackout", "record", "tap"}


def test_many_threads_may_change_while_the_loop_reads(controls: Controls) -> None:
    def turn(name: str, values: list[float]) -> None:
        for value in values * 50:
            controls.set(name, value)

    turns = {"step_size": [0.01, 0.02, 0.03], "half_life_seconds": [1.0, 2.0, 3.0], "octaves": [1.0, 2.0, 3.0]}
    threads = [threading.Thread(target=turn, args=item) for item in turns.items() for _ in range(2)]
    for thread in threads:
        thread.start()
    frames: list[Settings] = []
    while any(thread.is_alive() for thread in threads):
        frames.append(controls.settings(len(frames) / 30))
    last = controls.settings(len(frames) / 30)
    assert (last.dream.step_size, last.coherence.half_life_seconds, last.dream.octaves) == (0.03, 3.0, 3)


# --- tempo


def test_taps_give_a_tempo_and_a_beat_that_fades() -> None:
    tempo = TapTempo()
    assert tempo.beat(0.0) is None
    for index in range(5):
        tempo.tap(10 + index * 0.5)
    assert tempo.beats_per_minute == pytest.approx(120)
    assert tempo.beat(12.0) == pytest.approx(1.0)
    assert tempo.beat(20.12) == pytest.approx(0.5, rel=1e-3)
    tempo.tap(30.0)
    assert tempo.beats_per_minute is None
    tempo.tap(31.0)
    assert tempo.beats_per_minute == pytest.approx(60)


# --- the log


def replayed(controls: Controls, tmp_path: Path, start: float, stop: float) -> Settings:
    path = tmp_path / "session.toml"
    write_recipe(controls.log.recipe(start, stop, 30), path)
    return load_settings(path)


def test_the_log_replays_what_the_session_did(controls: Controls, tmp_path: Path) -> None:
    controls.set("octaves", 3)
    live = {}
    for frame in range(360):
        now = frame / 30
        if frame == 100:
            controls.set("step_size", 0.02)
        if frame == 130:
            controls.set("step_size", 0.05, 2)
        if frame == 160:
            controls.set("step_size", 0.01, 1)  # in the middle of the glide
        if frame == 200:
            controls.set("half_life", "1 + 0.5*sin(t)")
        if frame == 230:
            controls.set("half_life", "0s: 1, 9s: 3")
        if frame == 250:
            controls.preset("plants", 1)
        if frame == 300:
            controls.set("objective", "blocks.3.2")
        live[frame] = controls.settings(now, frame)
    start = 45
    settings = replayed(controls, tmp_path, start / 30, 359 / 30)
    from dreamvid.settings.objective_timeline import parse_timeline

    def weights(one: Settings, at: float) -> dict[str, float]:
        return dict(parse_timeline(one.dream.objective).at(at))

    silence = dict.fromkeys(("rms", "bass", "mid", "treble", "onset", "beat"), 0.0)
    for frame in range(start, 360):
        again = settings.at((frame - start) / 30 + 1e-3, frame - start, silence)
        wanted = live[frame]
        assert again.dream.octaves == wanted.dream.octaves
        assert again.dream.step_size == pytest.approx(wanted.dream.step_size, abs=2e-4), frame
        assert again.coherence.half_life_seconds == pytest.approx(wanted.coherence.half_life_seconds, abs=2e-2), frame
        now, then = weights(wanted, frame / 30), weights(settings, (frame - start) / 30)
        for name in now.keys() | then.keys():
            assert now.get(name, 0) == pytest.approx(then.get(name, 0), abs=0.02), frame


def test_the_log_says_what_cannot_be_replayed(controls: Controls, tmp_path: Path) -> None:
    controls.settings(0.0)
    controls.set("optimizer", "adam")
    controls.settings(1.0)
    controls.set("keep_color", True)
    controls.action("freeze")
    controls.settings(3.0)
    controls.take()
    path = tmp_path / "session.toml"
    write_recipe(controls.log.recipe(2.0, 4.0, 30, {"source": "camera:0"}), path)
    tables = tomllib.loads(path.read_text())
    assert tables["dream"]["optimizer"] == "adam"
    assert tables["dream"]["keep_color"] is False
    assert tables["provenance"]["source"] == "camera:0"
    assert tables["provenance"]["not_replayed"] == ["1.000s: keep_color = True", "1.000s: freeze"]
    assert load_settings(path).dream.optimizer == "adam"


def test_an_expression_of_sound_asks_for_the_sound_of_the_recording(controls: Controls, tmp_path: Path) -> None:
    controls.settings(0.0)
    controls.set("step_size", "0.03*beat")
    controls.settings(1.0)
    settings = replayed(controls, tmp_path, 0.0, 5.0)
    assert settings.video.audio == "source"
    assert settings.at(2.0, 60, {"beat": 0.5}).dream.step_size == pytest.approx(0.015)
    assert settings.at(2.0, 60, {"beat": 0.0}).dream.step_size > 0


def test_a_knob_that_never_rests_is_still_a_schedule(controls: Controls, tmp_path: Path) -> None:
    for frame in range(6000):
        controls.set("step_size", 0.01 + (frame * 7 % 100) / 1e4)
        controls.settings(frame / 30, frame)
    settings = replayed(controls, tmp_path, 0.0, 200.0)
    for frame in (0, 1, 2999, 5999):
        value = settings.at(frame / 30 + 1e-3, frame).dream.step_size
        assert value == pytest.approx(0.01 + (frame * 7 % 100) / 1e4)


def test_the_fields_of_the_model_are_covered() -> None:
    """A new setting is a control or is named as fixed: this test asks its author to decide."""
    from dreamvid.render.live.inventory import _FIXED, _FIXED_GROUPS

    run, zoom = Controls(load_settings()), Controls(load_settings("infinite-zoom"), "zoom")
    controls = {control.name for one in (run, zoom) for control in one.inventory()}
    rest = {name for group, name, _ in setting_fields() if group not in _FIXED_GROUPS} - controls
    assert rest == set(_FIXED)
