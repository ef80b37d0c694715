import math
import pickle
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvid.errors import SettingsError
from dreamvid.settings.schedule import EASINGS, SIGNALS, parse_schedule

PYTHON = {name: getattr(math, name) for name in ("sin", "cos", "floor", "sqrt", "exp", "pi", "tau")}
PYTHON |= {"min": min, "max": max, "abs": abs, "pow": math.pow}


def at(text: str, time_seconds: float = 0.0, frame: float = 0.0, **signals: float) -> float:
    return parse_schedule(text).at(time_seconds, frame, signals)


@pytest.mark.parametrize("text", ["1.2", " 1.2 ", "+1.2", "12e-1", "1.2 + 0", ".6*2"])
def test_a_number_is_a_constant(text: str) -> None:
    assert [at(text, t, t * 24) for t in (0, 1.5, 1e6)] == pytest.approx([1.2] * 3)


@pytest.mark.parametrize(
    ("time", "value"),
    [(-1, 1.2), (0, 1.2), (2, 1.35), (4, 1.5), (5, 1.5 - 0.3 * 0.15625), (6, 1.35), (8, 1.2), (99, 1.2)],
)
def test_keyframes_are_met_eased_between_and_held_outside(time: float, value: float) -> None:
    assert at("0s: 1.2, 4s: 1.5, 8s: 1.2 ease-in-out", time) == pytest.approx(value)


def test_keyframes_in_frames_go_by_the_frame() -> None:
    assert at("0f: 1, 24f: 3", time_seconds=77, frame=12) == 2


def test_keyframes_may_hold_expressions() -> None:
    text = "0s: t, 4s: 10 + 2*beat"
    assert at(text, 2, beat=1.0) == pytest.approx((2 + 12) / 2)
    assert parse_schedule(text).names == {"beat"}


@pytest.mark.parametrize("name", EASINGS)
def test_every_easing_goes_from_0_to_1_and_has_a_name(name: str) -> None:
    text = f"1s: 10, 3s: 20 {name}"
    assert (at(text, 1), at(text, 3)) == pytest.approx((10, 20))
    assert at(text, 2) == pytest.approx(10 + 10 * EASINGS[name](0.5))


def test_hold_jumps_at_its_keyframe() -> None:
    assert (at("0s: 1, 2s: 5 hold", 1.999), at("0s: 1, 2s: 5 hold", 2)) == (1, 5)


_SYMBOLS = {"t": 1.75, "f": 42.0, "bass": 0.3, "pi": math.pi}
_LEAVES = st.one_of(
    st.sampled_from(sorted(_SYMBOLS)),
    st.integers(0, 20).map(str),
    st.floats(0.001, 100).map(repr),
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", " * ", "/", "%"]), inner).map("".join),
        st.tuples(inner, st.sampled_from(["2", "0.5", "-1"])).map(lambda p: f"({p[0]})**{p[1]}"),
        inner.map(lambda x: f"-{x}"),
        inner.map(lambda x: f"({x})"),
        st.tuples(st.sampled_from(["sin", "cos", "floor", "abs", "sqrt"]), inner).map(lambda p: f"{p[0]}({p[1]})"),
        pair.map(lambda p: f"max({p[0]}, {p[1]}, 1)"),
    )


@settings(max_examples=150, deadline=None)
@given(st.recursive(_LEAVES, _grow, max_leaves=12))
def test_arithmetic_is_that_of_python(text: str) -> None:
    try:
        expected = eval(text, {"__builtins__": {}}, {**PYTHON, **_SYMBOLS})
        usable = not isinstance(expected, complex) and math.isfinite(expected)
    except (ArithmeticError, ValueError, TypeError):
        usable = False
    if not usable:
        with pytest.raises(SettingsError, match=r"1\.75 s"):
            at(text, 1.75, 42, bass=0.3)
    else:
        assert at(text, 1.75, 42, bass=0.3) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789.,:sf()+-*/% tebasinhold\n^é|", max_size=40))
def test_any_text_parses_or_says_where_it_does_not(text: str) -> None:
    try:
        parsed = parse_schedule(text)
    except SettingsError as error:
        _, _line, caret, expected = str(error).split("\n")
        assert caret.strip() == "^"
        assert expected.startswith("Expected ")
    else:
        assert parse_schedule(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2**2", -4),
        ("2**3**2", 512),
        ("2**-1", 0.5),
        ("7 % 4", 3),
        ("-1 % 4", 3),
        ("8/4/2", 1),
        ("clamp(5, 0, 1) + clamp(-5, 0, 1) + clamp(0.5, 0, 1)", 1.5),
        ("smoothstep(0, 4, 1)", 0.15625),
        ("log(exp(2))", 2),
        ("pow(2, 10)", 1024),
        ("tan(pi/4)", 1),
    ],
)
def test_operators_and_functions(text: str, value: float) -> None:
    assert at(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("wave", "values"),
    [
        ("triangle", [0, 1, 0, -1, 0]),
        ("square", [1, 1, -1, -1, 1]),
        ("saw", [-1, -0.5, 0, 0.5, -1]),
    ],
)
def test_waves_have_period_1_and_go_from_minus_1_to_1(wave: str, values: list[float]) -> None:
    for turn in (-3, 0, 5):
        got = [at(f"{wave}(t)", turn + quarter / 4) for quarter in range(5)]
        assert got == pytest.approx(values)


def test_noise_is_smooth_bounded_seeded_and_different_at_every_number() -> None:
    wobble = parse_schedule("noise(t)")
    times = [-3 + i / 100 for i in range(2000)]
    values = [wobble.at(t, 0, seed=3) for t in times]
    assert values == [wobble.at(t, 0, seed=3) for t in times]
    assert values != [wobble.at(t, 0, seed=4) for t in times]
    assert at("noise(0.3, 1)") != at("noise(0.3, 2)")
    assert -1 <= min(values) < -0.5 < 0.5 < max(values) <= 1
    # The quintic rises by at most 1.875 times the difference, 2 at most, per unit.
    assert max(abs(b - a) for a, b in pairwise(values)) <= 2 * 1.875 / 100 + 1e-12
    assert abs(sum(values) / len(values)) < 0.4


def test_signals_are_named_and_asked_for() -> None:
    schedule = parse_schedule("1 + bass*sin(tau*t) + 0.5*beat")
    assert schedule.names == {"bass", "beat"}
    assert schedule.at(0.25, 6, {"bass": 0.5, "beat": 1.0}) == pytest.approx(2)
    with pytest.raises(SettingsError, match=r"'beat'.*`audio`"):
        schedule.at(0.25, 6, {"bass": 0.5})


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_is_known(name: str) -> None:
    assert at(f"2*{name}", **{name: 0.25}) == 0.5


def test_a_schedule_is_a_value_that_travels() -> None:
    schedule = parse_schedule("0s: 1, 4s: 2 sine")
    assert schedule == parse_schedule(" 0s: 1, 4s: 2 sine ")
    assert hash(schedule) == hash(parse_schedule(str(schedule)))
    assert pickle.loads(pickle.dumps(schedule)).at(1, 24) == schedule.at(1, 24)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 0, "a number"),
        ("0s: 1.2, 4s: , 8s: 1", 13, "a number"),
        ("4s: 1, 2s: 1", 7, "above 4s"),
        ("0s: 1, 0s: 2", 7, "above 0s"),
        ("0: 1", 1, "0s"),
        ("-1s: 1", 0, "time"),
        ("0s: 1, 24f: 2", 7, "not both"),
        ("0s: 1 easy-in", 6, "ease-in"),
        ("1 + beet", 4, "'beat'"),
        ("1, 2", 1, "keyframes"),
        ("2pi", 1, r"2\*pi"),
        ("t^2", 1, r"\*\*"),
        ("t > 2", 2, "comparisons"),
        ("min(1)", 5, "2 or more"),
        ("noise(1, 2, 3)", 13, "1 or 2"),
        ("sin 3", 4, r"'\('"),
        ("(1 + 2", 6, r"'\)'"),
        ("1e999", 0, "below"),
        ("__import__('os')", 0, "known"),
        ("t.real", 1, "operator"),
    ],
)
def test_errors_point_at_the_place(text: str, column: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        parse_schedule(text)
    _, line, caret, _ = str(caught.value).split("\n")
    assert line == f"  {text}"
    assert caret == " " * (2 + column) + "^"


def test_the_caret_of_a_long_text_stands_under_its_place() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_schedule("1+" * 200 + "$" + "+1" * 200)
    _, line, caret, _ = str(caught.value).split("\n")
    assert len(line) < 80
    assert line[caret.index("^")] == "$"


@pytest.mark.parametrize("text", ["(" * 900, "-" * 900 + "1", "2**" * 400 + "2", "sin(" * 400, "1" * 3000])
def test_depth_and_length_are_bounded(text: str) -> None:
    with pytest.raises(SettingsError, match="at most"):
        parse_schedule(text)


def test_long_sums_are_no_depth() -> None:
    assert at("+".join("1" * 900)) == 900
    assert at("-".join("1" * 900)) == 1 - 899


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1/(t - 2)", "division by zero"),
        ("5 % (t - 2)", "division by zero"),
        ("9**9**9**9", "too large"),
        ("exp(1000*t)", "too large"),
        ("sqrt(-t)", "root"),
        ("(-2)**0.5", "root"),
        ("log(0)", "logarithm"),
        ("1e308*10", "inf"),
        ("1e308*10 - 1e308*10", "nan"),
        ("smoothstep(1, 1, t)", "division by zero"),
    ],
)
def test_what_has_no_finite_value_names_the_time(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=rf"at 2 s \(frame 48\).*{words}"):
        at(text, 2, 48)


def test_the_import_brings_neither_torch_nor_numpy() -> None:
    code = "import sys, dreamvid.settings.schedule; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
