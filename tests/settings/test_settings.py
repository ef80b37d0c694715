"""Defaults that hold, limits that are told, one order of merging, recipes that come back."""

import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dreamvid.errors import SettingsError
from dreamvid.runtime.plugins import FLOW_ESTIMATORS
from dreamvid.settings import (
    DEFAULT_PRESET,
    NetworkSettings,
    Recipe,
    Settings,
    find_preset,
    list_presets,
    load_settings,
    merge,
    write_recipe,
)
from dreamvid.settings.merge import setting_fields, to_tables
from dreamvid.settings.presets import TAGS, presets_tagged
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.settings.schema import bounds, flag_name
from dreamvid.settings.size import Size

LEAVES = list(setting_fields())
NUMBERS = [(group, name, field) for group, name, field in LEAVES if bounds(field)]


def value_of(settings: Settings, name: str) -> Any:
    return next(getattr(getattr(settings, group), name) for group, leaf, _ in LEAVES if leaf == name)


def limits(field: FieldInfo) -> tuple[float, bool, float, bool]:
    """(low, whether it is allowed itself, high, whether it is allowed itself)"""
    low, low_in, high, high_in = float("-inf"), False, float("inf"), False
    for rule in field.metadata:
        if isinstance(rule, Ge | Gt):
            low, low_in = float(getattr(rule, "ge", getattr(rule, "gt", 0))), isinstance(rule, Ge)
        if isinstance(rule, Le | Lt):
            high, high_in = float(getattr(rule, "le", getattr(rule, "lt", 0))), isinstance(rule, Le)
    return low, low_in, high, high_in


class TestModel:
    def test_defaults_are_valid(self) -> None:
        assert Settings() == merge()

    def test_every_name_and_every_flag_is_said_once(self) -> None:
        names = [name for _, name, _ in LEAVES]
        flags = [flag_name(name) for name in names]
        assert len(set(names)) == len(names)
        assert len(set(flags)) == len(flags)

    def test_every_setting_has_help_and_every_number_has_limits(self) -> None:
        for _, name, field in LEAVES:
            assert field.description, name
            kinds = {field.annotation, *get_args(field.annotation)}
            if kinds <= {int, float, types.NoneType}:
                assert bounds(field), name

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValidationError):
            Settings().dream.octaves = 3  # type: ignore[misc]

    def test_texts_become_numbers(self) -> None:
        settings = load_settings(
            None, frames="12:36", size="320x180", fps="30000/1001", octaves="3", half_life_seconds="0"
        )
        assert settings.video.frame_range() == (12, 36)
        assert settings.video.size_pixels() == Size(height=180, width=320)
        assert settings.video.rate() == Fraction(30000, 1001)
        assert settings.dream.octaves == 3
        assert settings.coherence.half_life_seconds == 0.0

    @pytest.mark.parametrize(
        ("text", "expected"), [(":", (0, None)), ("5:", (5, None)), (":9", (0, 9)), ("5:9", (5, 9))]
    )
    def test_frame_range(self, text: str, expected: tuple[int, int | None]) -> None:
        assert load_settings(None, frames=text).video.frame_range() == expected


class TestLimits:
    @pytest.mark.parametrize(("group", "name", "field"), NUMBERS, ids=[name for _, name, _ in NUMBERS])
    def test_outside_is_refused_by_flag_value_and_limits_and_inside_is_taken(
        self, group: str, name: str, field: FieldInfo
    ) -> None:
        low, low_in, high, high_in = limits(field)
        for limit, included, outwards in ((low, low_in, -1), (high, high_in, 1)):
            inside = limit if included else limit - outwards * (1 if float(limit).is_integer() and limit > 1 else 1e-6)
            as_text = str(int(inside)) if float(inside).is_integer() else repr(inside)
            assert float(value_of(load_settings(None, **{name: as_text}), name)) == pytest.approx(inside)
            outside = str(int(limit + outwards)) if included else str(limit)
            with pytest.raises(SettingsError) as caught:
                load_settings(None, **{name: outside})
            for part in (f"`{name}`", f"{group}.{name}", repr(outside), bounds(field)):
                assert part in str(caught.value)

    @pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "many", "1e999"])
    @pytest.mark.parametrize("name", ["octave_scale", "octaves", "half_life_seconds"])
    def test_what_is_no_number_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=bounds({leaf: field for _, leaf, field in LEAVES}[name])):
            load_settings(None, **{name: value})

    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("frames", "5", "START:STOP"),
            ("frames", "9:5", "above START"),
            ("frames", "-3:5", "START:STOP"),
            ("size", "640", "WIDTHxHEIGHT"),
            ("size", "0x480", "1 to 16384"),
            ("fps", "fast", "30000/1001"),
            ("fps", "1/0", "30000/1001"),
            ("fps", "0", "above 0"),
            ("flow", "dsi", "Allowed: dis, none, raft"),
            ("device", "gpu", "cuda:N"),
            ("precision", "float8", "'bfloat16'"),
        ],
    )
    def test_words_are_refused_with_what_is_allowed(self, name: str, value: str, allowed: str) -> None:
        with pytest.raises(SettingsError) as caught:
            load_settings(None, **{name: value})
        for part in (f"`{name}`", repr(value), allowed):
            assert part in str(caught.value)


class TestMerge:
    def test_default_then_preset_then_override(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_text("[dream]\noctaves = 7\nlaplacian_levels = 2\n", encoding="utf-8")
        settings = load_settings(mine, {"dream": {"laplacian_levels": 3}}, laplacian_levels=1)
        assert (settings.dream.octaves, settings.dream.laplacian_levels) == (7, 1)
        assert load_settings(mine, {"dream": {"laplacian_levels": 3}}).dream.laplacian_levels == 3
        assert settings.dream.tile == Settings().dream.tile

    def test_only_what_was_set_overrides(self) -> None:
        below = merge({"dream": {"octaves": 7}})
        above = merge({"dream": {"laplacian_levels": 1}})
        merged = merge(below, above)
        assert (merged.dream.octaves, merged.dream.laplacian_levels) == (7, 1)

    def test_none_counts_as_not_given(self) -> None:
        assert load_settings(None, octaves=None, codec=None) == load_settings()

    def test_an_override_may_equal_the_default(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_text("[dream]\noctaves = 7\n", encoding="utf-8")
        assert load_settings(mine, octaves=Settings().dream.octaves) == Settings()

    def test_layers_are_left_as_they_were(self) -> None:
        layer: dict[str, dict[str, Any]] = {"dream": {"octaves": 7}}
        merge(layer, {"dream": {"laplacian_levels": 1}})
        assert layer == {"dream": {"octaves": 7}}

    @pytest.mark.parametrize(
        ("call", "parts"),
        [
            (lambda: load_settings(None, octave=3), ("'octave'", "'octaves'")),
            (lambda: merge({"dreem": {}}), ("[dreem]", "'dream'", "coherence")),
            (lambda: merge({"dream": {"octave": 3}}), ("'octave'", "[dream]", "'octaves'", "dream_height")),
            (lambda: merge({"dream": 3}), ("[dream]", "table", "3")),
        ],
    )
    def test_unknown_keys_are_refused_with_the_nearest(
        self, call: Callable[[], Settings], parts: tuple[str, ...]
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            call()
        for part in parts:
            assert part in str(caught.value)

    def test_all_mistakes_are_told_at_once(self) -> None:
        with pytest.raises(SettingsError) as caught:
            load_settings(None, octaves=99, laplacian_levels=-1)
        assert len(str(caught.value).splitlines()) == 2

    def test_nest(self) -> None:
        assert to_tables({"octaves": 3, "seed": 4, "laplacian_levels": 5}) == {
            "dream": {"octaves": 3, "laplacian_levels": 5},
            "render": {"seed": 4},
        }


class TestPresets:
    @pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
    def test_shipped_presets_are_valid_and_described(self, preset: Any) -> None:
        load_settings(preset.name)
        assert preset.description.endswith(".")
        assert preset.kind in ("run", "zoom")

    def test_at_least_thirty_looks_need_no_download_and_every_tag_has_some(self) -> None:
        looks = [look for look in list_presets("run") if load_settings(look.name).network == NetworkSettings()]
        assert len(looks) >= 30
        for look in looks:
            assert look.tags, look.name
            assert set(look.tags) <= set(TAGS), look.name
        for tag in TAGS:
            assert len(presets_tagged(tag)) >= 3, tag

    def test_an_unknown_tag_is_told_with_the_nearest(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="'painting'"):
            presets_tagged("paintng")
        (tmp_path / "mine.toml").write_text("tags = 3", encoding="utf-8")
        with pytest.raises(SettingsError, match="list of texts"):
            find_preset(tmp_path / "mine.toml")

    def test_there_are_four_looks_that_differ(self) -> None:
        looks = list_presets("run")
        assert {"animals", "subtle", "plants", "smooth"} <= {preset.name for preset in looks}
        assert looks[0].name == DEFAULT_PRESET
        resolved = [load_settings(preset.name).model_dump_json() for preset in looks]
        assert len(set(resolved)) == len(resolved)

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("plnts", ("'plnts'", "'plants'", "animals", "dreamvid presets")),
            ("../presets/plants", ("'../presets/plants'",)),
            ("nowhere.toml", ("'nowhere.toml'", "animals")),
        ],
    )
    def test_unknown_presets(self, name: str, parts: tuple[str, ...]) -> None:
        with pytest.raises(SettingsError) as caught:
            find_preset(name)
        for part in parts:
            assert part in str(caught.value)

    def test_a_byte_order_mark_is_no_part_of_a_preset(self, tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_bytes(b"\xef\xbb\xbf[dream]\r\noctaves = 3\r\n")
        assert load_settings(mine).dream.octaves == 3

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("octaves = \n", ("TOML", "line 1")),
            ("[dream]\noctaves = 99\n", ("mine", "99", "1 up to 12")),
            ("octaves = 3\n", ("mine", "octaves")),
            ("\xff\xfe", ("cannot be read",)),
        ],
    )
    def test_broken_preset_files(self, text: str, parts: tuple[str, ...], tmp_path: Path) -> None:
        mine = tmp_path / "mine.toml"
        mine.write_bytes(text.encode("latin-1"))
        with pytest.raises(SettingsError) as caught:
            load_settings(mine)
        for part in parts:
            assert part in str(caught.value)


def _numbers(field: FieldInfo, whole: bool) -> st.SearchStrategy[Any]:
    low, low_in, high, high_in = limits(field)
    if whole:
        return st.integers(int(low) + (not low_in), int(high) - (not high_in))
    return st.floats(low, high, exclude_min=not low_in, exclude_max=not high_in)


_OWN = {
    "cadence": st.just("auto") | st.integers(1, 24),
    "objective": st.sampled_from(
        [
            "blocks.4.1",
            "-0.2*mixed5 + mixed4d:1-9",
            'class:"golden retriever"',
            "blocks.3.2 | blocks.4.1 @ 5s",
        ]
    ),
    "frames": st.one_of(
        st.just(":"), st.integers(0, 9999).map(lambda start: f"{start}:"), st.just(":7"), st.just("3:900")
    ),
    "size": st.tuples(st.integers(1, 16384), st.integers(1, 16384)).map(lambda sides: f"{sides[0]}x{sides[1]}"),
    "fps": st.fractions(Fraction(1, 100), 1000, max_denominator=1001).map(str),
    "input_fps": st.fractions(Fraction(1, 100), 1000, max_denominator=1001).map(str),
    "flow": st.sampled_from(FLOW_ESTIMATORS.names()),
    "device": st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:1"]),
}


def values(name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    kind: Any = field.annotation
    optional = types.NoneType in get_args(kind)
    if optional:
        kind = next(part for part in get_args(kind) if part is not types.NoneType)
    if name in _OWN:
        strategy: st.SearchStrategy[Any] = _OWN[name]
    elif get_origin(kind) is Literal:
        strategy = st.sampled_from(get_args(kind))
    elif kind is bool:
        strategy = st.booleans()
    elif kind in (int, float):
        strategy = _numbers(field, kind is int)
    else:
        assert kind is str, name
        strategy = st.text(max_size=30)
    return st.none() | strategy if optional else strategy


ANY_SETTINGS = st.fixed_dictionaries({}, optional={name: values(name, field) for _, name, field in LEAVES})


class TestRecipe:
    @given(chosen=ANY_SETTINGS, kind=st.sampled_from(sorted(GROUPS_OF_KIND)))
    @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_recipe_is_a_preset_that_gives_the_same_settings(
        self, chosen: dict[str, Any], kind: str, tmp_path: Path
    ) -> None:
        settings = load_settings(None, **chosen)
        path = tmp_path / "dream.mp4.toml"
        write_recipe(Recipe(settings, kind=kind, provenance={"output": "dream.mp4", "frames": 3}), path)
        back = load_settings(path)
        for group in GROUPS_OF_KIND[kind]:  # what the other kind of film is made by is no part of it
            assert getattr(back, group) == getattr(settings, group)
        assert list(tmp_path.iterdir()) == [path]

    @given(chosen=ANY_SETTINGS)
    @hypothesis_settings(max_examples=60, deadline=None)
    def test_texts_mean_what_the_values_mean(self, chosen: dict[str, Any]) -> None:
        given_values = {name: value for name, value in chosen.items() if value is not None}
        as_text = {name: str(value) for name, value in given_values.items()}
        assert load_settings(None, **as_text).model_dump() == load_settings(None, **given_values).model_dump()

    def test_a_schedule_comes_back(self, tmp_path: Path) -> None:
        settings = load_settings(None, step_size="0.01 + 0.005*sin(t)")
        path = tmp_path / "r.toml"
        write_recipe(Recipe(settings), path)
        assert load_settings(path).model_dump() == settings.model_dump()
        assert load_settings(path).schedules == {"step_size": "0.01 + 0.005*sin(t)"}

    def test_where_it_came_from_sets_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "r.toml"
        write_recipe(Recipe(load_settings(None, octaves=2), provenance={"source": "x.mp4", "torch": "2.6"}), path)
        assert 'source = "x.mp4"' in path.read_text(encoding="utf-8")
        assert load_settings(path, seed=3) == load_settings(None, octaves=2, seed=3)


def test_a_preset_may_begin_with_a_byte_order_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("[dream]\noctaves = 3\n", encoding="utf-8-sig")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tmp_path / "mine.toml", "~/mine.toml"):
        assert load_settings(name).dream.octaves == 3
