"""Frame rates as people and programs write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvid.errors import SettingsError
from dreamvid.settings import load_settings
from dreamvid.settings.rate import parse_rate

TELEVISION = [24, 30, 48, 60, 120, 240]


@pytest.mark.parametrize("n", TELEVISION)
def test_the_rates_of_television_are_recognized_as_they_are_printed(n: int) -> None:
    exact = Fraction(n * 1000, 1001)
    printed = [str(exact), repr(float(exact)), *(f"{float(exact):.{digits}f}" for digits in range(2, 16))]
    truncated = [repr(float(exact))[: 4 + digits] for digits in range(2, 8)]
    for text in (*printed, *truncated, f" {printed[1]} "):
        assert parse_rate(text) == exact, text


@pytest.mark.parametrize(
    "text", ["25", "25.0", "25.00", "50", "12.5", "15", "0.1", "24", "24.000", "60.00", "1000", "7/3"]
)
def test_other_rates_are_what_they_say(text: str) -> None:
    assert parse_rate(text) == Fraction(text)


@given(st.fractions(Fraction(1, 90_000), 1000, max_denominator=100_000))
def test_a_fraction_is_kept(rate: Fraction) -> None:
    assert parse_rate(str(rate)) == rate


@given(st.floats(0.01, 1000))
def test_a_number_is_kept_and_fits_a_container(rate: float) -> None:
    read = parse_rate(f"{rate:.12f}")
    assert abs(float(read) / rate - 1) < 2e-6
    assert read.denominator <= 100_000
    assert read.numerator < 2**31


NO_RATES = ["", ".", "0", "-5", "1e3", "nan", "1001", "5/0", "abc", "1/2/3", "0/1", "1/999999999", "9" * 400]


@pytest.mark.parametrize("text", NO_RATES)
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"allowed is a number|has to be above 0"):
        parse_rate(text)
    with pytest.raises(SettingsError, match="fps"):
        load_settings(fps=text)


@pytest.mark.parametrize("value", ["29.97", 29.97, "30000/1001", Fraction(30000, 1001)])
def test_a_setting_takes_text_and_numbers(value: object) -> None:
    assert load_settings(fps=value, input_fps=value).video.rate() == Fraction(30000, 1001)
    assert load_settings(input_fps=value).video.images_rate() == Fraction(30000, 1001)
