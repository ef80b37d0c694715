import pytest

from dreamvid.errors import SettingsError
from dreamvid.settings import Recipe, Settings, load_settings, merge, write_recipe
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.schema import numeric_fields


def test_a_text_for_a_number_is_its_schedule() -> None:
    settings = load_settings(step_size="0s: 0.01, 4s: 0.02", octaves="3 + 2*sin(t)")
    assert settings.schedules == {"step_size": "0s: 0.01, 4s: 0.02", "octaves": "3 + 2*sin(t)"}
    assert (settings.dream.step_size, settings.dream.octaves) == (0.01, 3)
    now = settings.at(2.0, 48)
    assert now.dream.step_size == pytest.approx(0.015)
    assert (now.dream.octaves, type(now.dream.octaves)) == (5, int)
    assert now.schedules == {}
    assert now.coherence == settings.coherence


def test_without_schedules_nothing_is_made() -> None:
    settings = load_settings()
    assert settings.at(3.0, 72) is settings
    settings.check_schedules(1e9, 24)


def test_the_three_ways_of_saying_it_agree() -> None:
    text = "0.01 + 0.005*sin(tau*t/4)"
    flag = merge({"dream": {"step_size": text}})
    table = merge({"schedules": {"step_size": text}})
    by_hand = merge(Settings(schedules={"step_size": text}))
    assert flag == table == by_hand


@pytest.mark.parametrize("text", ["0.02", "2e-2", " 0.02 "])
def test_a_number_as_text_stays_a_number(text: str) -> None:
    settings = load_settings(step_size=text)
    assert settings.dream.step_size == 0.02
    assert settings.schedules == {}


def test_the_later_layer_wins() -> None:
    scheduled = merge({"dream": {"step_size": "0s: 0.01, 4s: 0.02"}})
    assert merge(scheduled, {"dream": {"step_size": 0.05}}).schedules == {}
    assert merge(scheduled, {"dream": {"step_size": 0.05}}).dream.step_size == 0.05
    assert merge(scheduled, {"dream": {"octaves": 3}}).schedules == scheduled.schedules
    again = merge(scheduled, {"schedules": {"step_size": "0.03 + 0*t"}})
    assert (again.schedules, again.dream.step_size) == ({"step_size": "0.03 + 0*t"}, 0.03)
    assert merge({"dream": {"step_size": 0.5}}, scheduled) == scheduled
    assert merge(scheduled, merge({"dream": {"octaves": 2}})).schedules == scheduled.schedules


def test_a_recipe_takes_schedules_and_stations_back(tmp_path) -> None:
    settings = load_settings(step_size="0s: 0.01, 4s: 0.02", objective="blocks.3.2 | blocks.4.1 @ 5s")
    path = tmp_path / "dream.mp4.toml"
    write_recipe(Recipe(settings), path)
    assert load_settings(path) == settings


def test_a_preset_file_may_have_them(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[dream]\nstep_size = "0s: 0.01, 4s: 0.02"\nobjective = ["blocks.3.2", "class:peacock @ 10s"]\n'
        '[schedules]\nhalf_life_seconds = "1 + beat"\n'
    )
    settings = load_settings(path)
    assert settings.schedules == {"step_size": "0s: 0.01, 4s: 0.02", "half_life_seconds": "1 + beat"}
    assert settings.dream.objective == "blocks.3.2 | class:peacock @ 10s"
    assert settings.at(0, 0, {"beat": 0.5}).coherence.half_life_seconds == 1.5


def test_noise_follows_the_seed() -> None:
    one, two = (load_settings(step_size="0.02 + 0.01*noise(t)", seed=seed) for seed in (1, 2))
    assert one.at(0.5, 12).dream.step_size != two.at(0.5, 12).dream.step_size


def test_the_whole_film_is_checked_before_it_starts() -> None:
    settings = load_settings(step_size="0s: 0.01, 4s: 2")
    settings.check_schedules(1.9, 24)
    with pytest.raises(SettingsError, match=r"`step_size`: .* gives 1\.005 at 2 s \(frame 120\).*up to 1"):
        settings.check_schedules(4, 60)
    with pytest.raises(SettingsError, match=r"`step_size`.*division by zero"):
        load_settings(step_size="0.01/(1 - t)").check_schedules(2, 10)


def test_schedules_of_sound_need_sound() -> None:
    settings = load_settings(step_size="0.01 + 0.01*beat")
    assert settings.dream.step_size == 0.01
    with pytest.raises(SettingsError, match=r"`step_size`.*'beat'.*`audio`"):
        settings.check_schedules(1, 24)
    settings.check_schedules(1, 24, lambda frame: {"beat": frame / 24})
    with pytest.raises(SettingsError, match="frame 3"):
        load_settings(step_size="0.5 + beat").check_schedules(1, 24, lambda frame: {"beat": float(frame > 2)})


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"dream": {"octaves": "many"}},
            r"`octaves` \(dream.octaves\) got 'many': allowed is from 1 up to 12",
        ),
        ({"dream": {"step_size": "0.01*beet"}}, r"`step_size` \(dream.step_size\)[^^]*\n {7}\^\n.*'beat'"),
        ({"dream": {"step_size": "0s: 2, 4s: 0.1"}}, "`step_size`.*gives 2 at 0 s"),
        ({"schedules": {"crf": "t"}}, r"\[schedules\] 'crf'"),
        ({"video": {"crf": "20 + t"}}, "`crf`"),
        ({"schedules": {"steps": "t"}}, "'step_size'"),
        ({"schedules": {"step_size": "sin("}}, r"\[schedules\] step_size: .*"),
        ({"schedules": {"step_size": 0.1}}, r"\[schedules\] step_size must be text"),
        ({"schedules": 3}, "table"),
        ({"schedules": {"step_size": "t"}, "dream": {"step_size": "t"}}, "two schedules"),
        ({"dream": {"objective": ["a", "b"]}}, "`objective`.*needs its time"),
    ],
)
def test_what_is_refused_is_named(tables: dict, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        merge(tables)


def test_leaves_are_settings_in_groups_and_numbers_are_among_them() -> None:
    names = [name for _, name, _ in setting_fields()]
    assert len(names) == len(set(names))
    assert "schedules" not in names
    assert set(numeric_fields()) <= set(names)
    assert {"step_size", "octaves", "half_life_seconds"} <= set(numeric_fields())
