"""Controls are read off the settings model; curves and commands say what would run."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvid.errors import SettingsError
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schedule import EASINGS, parse_schedule
from dreamvid.ui.studio import copy_as
from dreamvid.ui.studio.controls import FIRST_OF_RUN, FIRST_OF_ZOOM, controls, shown_value
from dreamvid.ui.studio.curves import Point, points_of, sampled, text_of
from dreamvid.ui.studio.workspace import Workspace


@pytest.mark.parametrize("kind", ["run", "zoom"])
def test_every_setting_has_a_control_with_what_the_model_says(kind: str) -> None:
    fields = {name: field for group, name, field in setting_fields() if group in GROUPS_OF_KIND[kind]}
    found = {control.name: control for control in controls(kind)}
    assert list(found) == list(fields)
    for name, control in found.items():
        assert control.help == fields[name].description
        assert control.default == fields[name].default
    assert set(FIRST_OF_RUN if kind == "run" else FIRST_OF_ZOOM) <= set(found)


def test_a_slider_shows_values_that_are_allowed() -> None:
    for control in (*controls("run"), *controls("zoom")):
        if control.low is not None and control.name != "coherence":
            for value in (control.low, control.high):
                load_settings(None, **{control.name: int(value) if control.form == "whole number" else value or 0.001})


def test_forms_follow_the_types() -> None:
    forms = {control.name: control.form for control in controls("run")}
    assert forms["octaves"] == "whole number"
    assert forms["step_size"] == forms["coherence"] == "number"
    assert forms["keep_color"] == "switch"
    assert forms["optimizer"] == forms["flow"] == forms["precision"] == "choice"
    assert forms["objective"] == forms["mask"] == forms["cadence"] == "text"


def test_a_schedule_is_shown_as_its_text() -> None:
    settings = load_settings(None, step_size="0s: 0.01, 2s: 0.02")
    control = next(control for control in controls("run") if control.name == "step_size")
    assert shown_value(settings, control) == "0s: 0.01, 2s: 0.02"


points = st.lists(
    st.builds(
        Point,
        st.floats(0, 100).map(lambda value: round(value, 2)),
        st.floats(-10, 10).map(lambda value: round(value, 3) + 0.0),
        st.sampled_from(sorted(EASINGS)),
    ),
    min_size=2,
    max_size=8,
    unique_by=lambda point: point.time_seconds,
)


@given(points)
def test_points_become_text_and_points_again(given_points: list[Point]) -> None:
    ordered = sorted(given_points, key=lambda point: point.time_seconds)
    assert points_of(text_of(given_points), 25) == ordered


def test_text_becomes_points_unless_it_is_an_expression() -> None:
    assert points_of("0.5", 25) == [Point(0, 0.5)]
    assert points_of("0f: 1, 50f: 2 ease-in", 25) == [Point(0, 1), Point(2, 2, "ease-in")]
    assert points_of("0s: 1 + beat, 4s: 2", 25) is None
    assert points_of("0.01 + 0.02*sin(t)", 25) is None
    with pytest.raises(SettingsError):
        points_of("0s: 1, 0s: 2", 25)
    with pytest.raises(SettingsError):
        text_of([Point(0, 1, "bouncy")])


def test_a_curve_is_the_schedule_s() -> None:
    text = "0s: 1, 4s: 3 ease-in-out"
    values = sampled(text, 4.0, 25, 9)
    assert values == pytest.approx([parse_schedule(text).at(0.5 * index, 0) for index in range(9)])
    assert sampled("2*beat", 1.0, 2, 3, {"beat": [0.0, 0.5, 1.0]}) == [0.0, 1.0, 2.0]


CHANGES: list[dict[str, object]] = [
    {},
    {"octaves": 2, "step_size": 0.02, "keep_color": True},
    {"objective": "-0.5*blocks.3.2 + 'x'".replace(" + 'x'", ""), "half_life_seconds": 2.5},
    {"coherence": 0.8},
    {"coherence": 0.1, "warm_iterations": 4},
    {"step_size": "0s: 0.01, 2s: 0.02 ease-in", "total_variation": 0.3, "frames": "0:10", "crf": 12},
    {"objective": 'class:"golden retriever" | blocks.4.1 @ 2s'},
]


@pytest.mark.parametrize("preset", ["animals", "plants", "recipes/own.toml"])
@pytest.mark.parametrize("changes", CHANGES)
def test_the_command_and_the_script_have_the_settings(tmp_path: Path, preset: str, changes: dict[str, object]) -> None:
    workspace = Workspace.open(tmp_path / "my studio")
    (workspace.root / "recipes" / "own.toml").write_text("[dream]\nkeep_color = true\noctaves = 6\n")
    path = preset if "/" not in preset else workspace.root / preset
    settings = load_settings(path, **changes)
    text = copy_as.command("run", "sources/a b.mp4", "results/x.mp4", preset, settings, workspace)
    assert _of_command(text, workspace) == settings.model_dump()
    script = copy_as.python("run", "sources/a b.mp4", "results/x.mp4", preset, settings, workspace)
    assert _of_script(script).model_dump() == settings.model_dump()


def _of_command(text: str, workspace: Workspace) -> object:
    from dreamvid.cli.app import build_app

    cd, folder, _, program, *words = shlex.split(text)
    assert (cd, folder, program) == ("cd", str(workspace.root), "dreamvid")
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    given = dict(bound.arguments)
    preset = given["preset"]
    names = {name for _, name, _ in setting_fields()}
    overrides = {**given, **given.pop("overrides", {})}
    chosen = preset if "/" not in preset else workspace.root / preset
    return load_settings(chosen, **{name: overrides[name] for name in overrides if name in names}).model_dump()


def _of_script(text: str) -> Settings:
    import os

    found: list[Settings] = []
    before = Path.cwd()
    text = text.replace("from dreamvid import dream_video, load_settings", "from dreamvid import load_settings")
    try:
        exec(text, {"dream_video": lambda source, output, settings: found.append(settings)})
    finally:
        os.chdir(before)
    return found[0]
