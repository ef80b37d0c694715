"""What a page tunes: presets of its kind, sources, masks; schedules as text and as a curve over sound and shots."""

from pathlib import Path

import numpy as np
import pytest
from renders import CUT, RATE

from dreamvid.errors import DreamvidError
from dreamvid.image.io import write_image
from dreamvid.settings.palettes import PALETTES
from dreamvid.ui.studio.curves import MOST_POINTS
from dreamvid.ui.studio.dreaming.requests import Moment
from dreamvid.ui.studio.page.scheduling import (
    OBJECTIVE,
    curve_of,
    schedule_text,
    scheduled_names,
    span,
    take_schedule,
    text_of_given,
)
from dreamvid.ui.studio.page.state import DEFAULT_PRESETS, Kind, Pages, Tuning
from dreamvid.ui.studio.workspace import Workspace
from dreamvid.video.ffmpeg import run_ffmpeg


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Workspace:
    opened = Workspace.open(tmp_path_factory.mktemp("tuning") / "studio")
    sources = opened.root / "sources"
    (sources / "film.mp4").write_bytes(film.read_bytes())
    run_ffmpeg(["-i", f"file:{film}", "-an", "-c", "copy", f"file:{sources / 'silent.mp4'}"], "taking the sound away")
    drum = "aevalsrc='sin(880*t)*exp(-9*mod(t,0.5))':d=2"
    run_ffmpeg(["-f", "lavfi", "-i", drum, f"file:{sources / 'drum.wav'}"], "making a drum")
    write_image(sources / "a.png", np.zeros((40, 60, 3), np.uint8))
    return opened


def tuning(workspace: Workspace, kind: Kind = "run", source: str = "sources/film.mp4") -> Tuning:
    return Tuning(workspace, kind, "session", DEFAULT_PRESETS[kind], Moment(source))


def test_a_preset_of_the_other_kind_is_for_the_other_tab(workspace: Workspace) -> None:
    film, animation = tuning(workspace), tuning(workspace, "zoom", "noise")
    with pytest.raises(DreamvidError, match="Animations"):
        film.choose("spiral")
    with pytest.raises(DreamvidError, match="Tune"):
        animation.choose("plants")
    assert (film.preset, animation.preset) == (DEFAULT_PRESETS["run"], DEFAULT_PRESETS["zoom"])


def test_a_recipe_is_taken_unless_it_names_other_files(workspace: Workspace) -> None:
    page = tuning(workspace)
    page.overrides["octaves"] = 2
    (workspace.root / "recipes" / "mine.toml").write_text("[dream]\niterations = 3\n")
    (workspace.root / "recipes" / "bad.toml").write_text('[dream]\nmask = "/etc/passwd"\n')
    with pytest.raises(DreamvidError, match="mask"):
        page.choose("recipes/bad.toml")
    assert page.overrides == {"octaves": 2}
    page.choose("recipes/mine.toml")
    assert page.settings().dream.iterations == 3
    assert page.overrides == {}


def test_an_animation_begins_with_a_frame_of_a_film(workspace: Workspace) -> None:
    """Also with its first one: a film without a moment is no start of an animation."""
    page = tuning(workspace, "zoom", "noise")
    assert page.source == "noise"
    page.look_at("sources/film.mp4", 0.0)
    assert page.source == "sources/film.mp4@0.000"
    page.look_at("sources/film.mp4", 1.5)
    assert page.source == "sources/film.mp4@1.500"
    page.look_at("sources/a.png", 0)
    assert page.source == "sources/a.png"
    page.leave()
    assert page.source == "noise"


def test_an_empty_mask_is_no_mask(workspace: Workspace) -> None:
    page = tuning(workspace)
    page.take({"mask": "sources/a.png"})
    assert page.settings().dream.mask == "sources/a.png"
    page.take({"mask": ""})
    assert page.overrides == {}


def test_an_older_event_does_not_win_over_a_newer_one(workspace: Workspace) -> None:
    page = tuning(workspace)
    assert page.is_newest("moment", 3)
    assert not page.is_newest("moment", 2)
    assert page.is_newest("preset", 2)
    assert page.is_newest("moment", 4)
    assert page.is_newest("moment", "x")


def test_a_page_takes_up_what_the_last_one_showed(workspace: Workspace) -> None:
    first = Pages(workspace).get("one", "run")
    first.look_at("sources/film.mp4", 1.0)
    first.overrides = {"octaves": 2}
    first.save()
    pages = Pages(workspace)
    second = pages.get("two", "run")
    assert (second.moment, second.overrides) == (first.moment, {"octaves": 2})
    second.overrides["octaves"] = 3
    assert pages.get("two", "run").overrides == {"octaves": 3}  # an event of the page that came before its load
    (workspace.cache / "last-run.json").write_text('{"preset": "../../etc/passwd"}')
    assert Pages(workspace).get("three", "run").preset == DEFAULT_PRESETS["run"]


@pytest.mark.parametrize("kind", ["run", "zoom"])
def test_every_number_has_a_curve(workspace: Workspace, kind: Kind) -> None:
    page = tuning(workspace, kind, "sources/film.mp4" if kind == "run" else "noise")
    for name in scheduled_names(kind):
        curve = curve_of(page, name, schedule_text(page, name))
        assert len(curve["points"]) == 1
        if name != OBJECTIVE:
            assert curve["low"] <= curve["points"][0]["v"] <= curve["high"]
            assert curve["least"] <= curve["points"][0]["v"] <= curve["most"]
            assert set(curve["curve"]) == {curve["points"][0]["v"]}


def test_a_curve_lies_over_the_film_s_sound_and_shots(workspace: Workspace) -> None:
    page = tuning(workspace)
    curve = curve_of(page, "step_size", "0.01")
    assert curve["duration"] == pytest.approx(10, abs=0.5)
    assert curve["shots"] == pytest.approx([float(CUT / RATE)], abs=0.01)
    assert max(curve["waveform"]) == 1
    assert curve["waveform"][-1] > 0
    page.overrides["audio"] = "sources/drum.wav"  # two seconds of another sound
    curve = curve_of(page, "step_size", "0.01")
    sounding = len(curve["waveform"]) / curve["duration"] * 2
    assert curve["waveform"][int(sounding) + 2 :] == [0.0] * (len(curve["waveform"]) - int(sounding) - 2)
    assert curve["beats"] == pytest.approx([0, 0.5, 1, 1.5], abs=0.1)


def test_what_follows_sound_follows_the_film_s_own(workspace: Workspace) -> None:
    page = tuning(workspace)
    assert take_schedule(page, "step_size", "0.008 + 0.02*beat") == ""
    assert page.settings().video.audio == "source"
    curve = curve_of(page, "step_size", "0.008 + 0.02*beat")
    assert curve["form"] == "expression"
    assert max(curve["curve"]) > min(curve["curve"])
    silent = tuning(workspace, source="sources/silent.mp4")
    with pytest.raises(DreamvidError, match="the film has none"):
        take_schedule(silent, "step_size", "0.008 + 0.02*beat")
    assert silent.overrides == {}
    animation = tuning(workspace, "zoom", "noise")
    assert "no music yet" in take_schedule(animation, "zoom", "1.2 + 0.3*beat")
    animation.overrides["audio"] = "sources/drum.wav"
    assert take_schedule(animation, "zoom", "1.2 + 0.3*beat") == ""


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("step_size", "nonsense(", "nonsense"),
        ("step_size", "0s: 0.01, 4s: 9", "step_size"),  # beyond its bounds, in the middle
        ("step_size", "0.5*beat - 1", "step_size"),  # where the sound takes it
        ("seed", "0s: 1, 4s: 2", "seed"),
        ("mask", "0s: 1", "mask"),
        (OBJECTIVE, "blocks.4.1 | @ 5s", "objective"),
        (OBJECTIVE, 'guide("/etc/passwd")@blocks.3.2', "objective"),
    ],
)
def test_what_is_no_schedule_changes_nothing(workspace: Workspace, name: str, text: str, reason: str) -> None:
    page = tuning(workspace)
    page.overrides["octaves"] = 2
    with pytest.raises(DreamvidError, match=reason):
        take_schedule(page, name, text)
    assert page.overrides == {"octaves": 2}


def test_points_of_a_page_become_text_and_the_text_points() -> None:
    given = [{"t": 2, "v": 0.03, "easing": "ease-in-out"}, {"t": 0, "v": 0.01, "easing": "linear"}]
    assert text_of_given("step_size", given) == "0s: 0.01, 2s: 0.03 ease-in-out"
    timeline = [
        {"t": 0, "v": None, "easing": "ease-in-out", "text": "blocks.3.2"},
        {"t": 5, "v": None, "easing": "linear", "text": 'class:"golden retriever"'},
    ]
    assert text_of_given(OBJECTIVE, timeline) == 'blocks.3.2 | class:"golden retriever" @ 5s linear'


def test_an_objective_timeline_is_points_too(workspace: Workspace) -> None:
    page = tuning(workspace)
    text = "blocks.3.2 | blocks.4.1:7 @ 2s"
    assert take_schedule(page, OBJECTIVE, text) == ""
    curve = curve_of(page, OBJECTIVE, schedule_text(page, OBJECTIVE))
    assert [(point["t"], point["text"]) for point in curve["points"]] == [(0, "blocks.3.2"), (2, "blocks.4.1:7")]
    assert text_of_given(OBJECTIVE, curve["points"]) == text


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "x",
        [{"t": "0", "v": 1, "easing": "linear"}],
        [{"t": float("nan"), "v": 1, "easing": "linear"}],
        [{"t": 0, "v": float("inf"), "easing": "linear"}],
        [{"t": 0, "v": 1, "easing": "bouncy"}],
        ["0s: 1"],
        [{"t": index, "v": 1, "easing": "linear"} for index in range(MOST_POINTS + 1)],
    ],
)
def test_points_that_are_none_are_refused(given: object) -> None:
    with pytest.raises(DreamvidError):
        text_of_given("step_size", given)


def test_an_animation_lasts_as_long_as_its_render(workspace: Workspace) -> None:
    from dreamvid.settings import DEFAULT_ANIMATION_FORMAT

    page = tuning(workspace, "zoom", "noise")
    stop, rate = DEFAULT_ANIMATION_FORMAT.frame_range()[1], DEFAULT_ANIMATION_FORMAT.rate()
    assert span(page) == pytest.approx((stop / rate, float(rate)))  # type: ignore[operator, arg-type]
    page.overrides |= {"frames": "0:48", "fps": "24"}
    assert span(page) == (2.0, 24.0)


@pytest.mark.extra("gradio")
def test_lists_offer_the_words_and_the_files_that_a_setting_takes(workspace: Workspace) -> None:
    import gradio as gr

    from dreamvid.ui.studio.page.tuning import TuningTab
    from dreamvid.ui.studio.studio import Studio

    studio = Studio(workspace, upload_limit=1 << 20)
    offered = {}
    with gr.Blocks():
        for kind in ("run", "zoom"):
            tab = TuningTab(studio, Pages(workspace), kind)  # type: ignore[arg-type]
            updates = tab.all(tuning(workspace, kind))[-len(tab.components) :]  # type: ignore[arg-type]
            offered[kind] = {name: update.get("choices") for name, update in zip(tab.components, updates, strict=True)}
    for kind in ("run", "zoom"):
        assert offered[kind]["palette"] == [*PALETTES, "sources/a.png"]  # no "": a palette is never missing
    assert offered["run"]["mask"][:4] == ["", "subject", "background", "motion"]
    assert offered["run"]["audio"][:2] == ["", "source"]
    assert sorted(offered["zoom"]["audio"]) == ["", "sources/drum.wav", "sources/film.mp4", "sources/silent.mp4"]
