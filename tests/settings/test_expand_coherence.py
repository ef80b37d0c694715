from fractions import Fraction

import pytest

from dreamvid.errors import SettingsError
from dreamvid.settings import CoherenceSettings, Recipe, load_settings, merge

DEFAULT = CoherenceSettings()


def half_life(**flags: object) -> float:
    return load_settings(None, **flags).coherence.half_life_seconds


def test_the_middle_is_the_default_and_nought_carries_nothing() -> None:
    middle = load_settings(None, coherence=0.5).coherence
    assert middle.half_life_seconds == pytest.approx(DEFAULT.half_life_seconds)
    assert middle.warm_iterations == DEFAULT.warm_iterations
    assert half_life(coherence=0) == 0


def test_more_coherence_remembers_longer() -> None:
    lives = [half_life(coherence=i / 10) for i in range(11)]
    assert lives == sorted(lives)
    assert lives[10] == pytest.approx(5 * DEFAULT.half_life_seconds)


def test_flags_go_over_the_dial_and_the_dial_over_the_preset() -> None:
    assert half_life(coherence="0.9", half_life_seconds="0.3") == 0.3
    assert load_settings(None, coherence="0.9", warm_iterations=7).coherence.warm_iterations == 7
    assert load_settings("subtle", coherence=1).coherence.half_life_seconds == half_life(coherence=1)
    assert load_settings("subtle", coherence=1, octaves=2).dream.octaves == 2


def test_a_later_layer_turns_what_an_earlier_one_has_set() -> None:
    first = load_settings(None, half_life_seconds="1 + sin(t)")
    turned = merge(first, {"coherence": {"coherence": 1.0}})
    assert turned.coherence.half_life_seconds == half_life(coherence=1)
    assert not turned.schedules
    assert merge(turned, {"coherence": {"half_life_seconds": 2.0}}).coherence.half_life_seconds == 2.0


def test_a_recipe_keeps_what_was_turned(tmp_path) -> None:
    settings = load_settings(None, coherence=0.8, warm_iterations=3)
    path = tmp_path / "recipe.toml"
    path.write_text(Recipe(settings).to_toml())
    assert load_settings(path).model_dump() == settings.model_dump()


@pytest.mark.parametrize("value", ["1.5", "-0.1", "much", "sin(t)"])
def test_what_is_no_place_on_the_dial_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match=r"`coherence` .*from 0\.0 up to 1\.0"):
        load_settings(None, coherence=value)


def test_the_rough_end_dreams_every_frame() -> None:
    for dial, cadence in ((0, 1), (0.2, 1), (0.5, 4), (1, 4)):
        assert load_settings(None, coherence=dial).coherence.cadence_at(30) == cadence
    assert load_settings(None, coherence=1, cadence=1).coherence.cadence_at(30) == 1


def test_about_as_many_frames_are_dreamed_in_a_second_at_every_rate() -> None:
    film = Fraction(24000, 1001)
    for fps, least, most in ((8, 1, 1), (12, 1, 2), (film, 1, 3), (30, 1, 4), (48, 2, 6), (60, 2, 8), (240, 8, 32)):
        assert DEFAULT.cadence_range(fps) == (least, most)
        assert DEFAULT.cadence_at(fps) == most
        assert load_settings(None, cadence=5).coherence.cadence_at(fps) == 5
        assert load_settings(None, half_life_seconds=0).coherence.cadence_at(fps) == 1


@pytest.mark.parametrize("value", [0, 25, 1.5, "1 + t", True])
def test_a_cadence_is_a_whole_number_of_frames_that_stays(value: object) -> None:
    with pytest.raises(
        SettingsError, match=r"`cadence` .*allowed is auto, or a whole number of frames from 1 to 24\.$"
    ):
        load_settings(None, cadence=value)
