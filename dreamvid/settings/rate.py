"""Frame rates as people and programs write them, as exact fractions."""

import re
from fractions import Fraction

_NUMBER = re.compile(r"\s*(\d{0,9})(?:\.(\d{0,20}))?\s*")
_RATIO = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*")
_HIGHEST = 1000
_LARGEST_DENOMINATOR = 100_000  # containers count time in 32 bits
# Rates n·1000/1001 that are written with two or three decimals, such as 23.98, 29.97 and 59.94.
_FILM_RATES = frozenset(n for n in range(12, _HIGHEST + 1) if n % 12 == 0 or n % 15 == 0)


def parse_rate(text: str) -> Fraction:
    """Read a frame rate: a number or a fraction.

    The rates of television, n·1000/1001, are recognized in the decimals that other programs print of them: 29.97,
    29.97002997, 23.976, 23.976023976023978. Other rates are exact up to a denominator of 100,000.

    Raises ValueError for anything else, and for a rate that is not above 0 and at most 1000.
    """
    ratio, number = _RATIO.fullmatch(text), _NUMBER.fullmatch(text)
    try:
        if ratio:
            rate = Fraction(int(ratio[1]), int(ratio[2]))
        elif number and (number[1] or number[2]):
            rate = _meant(Fraction(f"{number[1] or 0}.{number[2] or 0}"), number[2] or "")
        else:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ValueError("allowed is a number or a fraction, such as 25 or 30000/1001") from None
    rate = rate.limit_denominator(_LARGEST_DENOMINATOR)
    if not 0 < rate <= _HIGHEST:
        raise ValueError(f"a frame rate has to be above 0 and at most {_HIGHEST}")
    return rate


def _meant(rate: Fraction, decimals: str) -> Fraction:
    """Find the n·1000/1001 that a decimal number is the beginning of; the number itself where there is none."""
    if len(decimals) < 2 or rate.denominator == 1:
        return rate
    n = round(rate * 1001 / 1000)
    exact = Fraction(n * 1000, 1001)
    digits = min(len(decimals), 13)  # the last ones that a program prints are the noise of its arithmetic
    if n == 0 or abs(exact - rate) * 10**digits >= 1 or (digits < 4 and n not in _FILM_RATES):
        return rate
    return exact
