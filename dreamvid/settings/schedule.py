"""Parse schedules: numbers that change with time, frame and audio, in a small text form.

    1.2                                          a constant
    0s: 1.2, 4s: 1.5 ease-in-out, 8s: 1.2        keyframes, in seconds (or in frames: 0f: 1.2, 24f: 1.3)
    1.2 + 0.3*sin(tau*t/4)                       an expression
    0s: 0.01, 4s: 0.01 + 0.02*beat               both

The grammar is our own: no part of the text is ever run as Python.
"""

import functools
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple, NoReturn

from dreamvid.errors import SettingsError, nearest
from dreamvid.settings.reader import Reader

SIGNALS = {
    "rms": "loudness",
    "bass": "level below 250 Hz",
    "mid": "level from 250 to 4000 Hz",
    "treble": "level above 4000 Hz",
    "onset": "how suddenly the sound changes",
    "beat": "1 at each stroke, then fading",
}
"""The values of the audio that a schedule can use, each from 0 to 1, and what they mean."""

_MAX_LENGTH = 2000
LONGEST_KEYFRAMES = 200_000
"""The longest text of keyframes, in characters: a live session that was recorded has many."""
_MAX_NESTING = 40
_SHOWN = 72  # characters of a long text around the position of an error


class _Moment(NamedTuple):
    seconds: float
    frame: float
    signals: Mapping[str, float]
    seed: int


_Value = Callable[[_Moment], float]
_Unit = Literal["s", "f"]


@dataclass(frozen=True)
class Schedule:
    """A number over time, as parsed by `parse_schedule`; `str()` gives its text back.

    names: the values of the audio that it needs.
    """

    text: str
    names: frozenset[str]
    _value: _Value = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[Callable[[str], "Schedule"], tuple[str]]:
        return parse_schedule, (self.text,)

    def at(
        self,
        time_seconds: float,
        frame: float,
        signals: Mapping[str, float] = MappingProxyType({}),
        *,
        seed: int = 0,
    ) -> float:
        """Evaluate at a time and frame of the result; `seed` is the random seed of noise().

        Raises SettingsError naming the time where the value is not finite, or the value of the audio that is missing.
        """
        for name in self.names:
            if name not in signals:
                raise SettingsError(
                    f"The schedule '{self.text}' needs {name!r} of the audio, and there is no audio. `audio` gives it "
                    "to a video or an animation."
                )
        try:
            value = self._value(_Moment(float(time_seconds), float(frame), signals, seed))
        except ZeroDivisionError:
            problem = "a division by zero"
        except (OverflowError, ValueError) as error:
            domain = "the root, power or logarithm of a number that has none"
            problem = "a number too large" if isinstance(error, OverflowError) else domain
        else:
            if math.isfinite(value):
                return value
            problem = f"the value {value}"
        raise SettingsError(
            f"The schedule '{self.text}' has no finite value at {time_seconds:g} s (frame {frame:g}): {problem}."
        )


@functools.lru_cache(maxsize=256)
def is_number(text: str) -> bool:
    """Tell a plain number from a schedule that changes over time."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_schedule(text: str) -> Schedule:
    """Parse a schedule's text: a number, keyframes with easing, or an expression.

    Keyframes are `TIME: VALUE [EASING]`, separated by commas, with rising TIMEs in seconds (`4s`) or frames (`24f`).
    The easing leads to its keyframe: linear (the default), hold, ease-in, ease-out, ease-in-out, sine, elastic. Before
    the first keyframe and after the last one the value is constant. A VALUE is an expression.

    Expressions have + - * / % ** and parentheses (with Python's precedence), `t` (seconds), `f` or `frame`,
    pi, tau, the values of the audio, sin cos tan abs floor sqrt exp log, min and max of two values or more, pow(x, y),
    clamp(x, low, high), smoothstep(from, to, x), the waves triangle(x), square(x) and saw(x) from -1 to 1 of
    period 1, and noise(x) or noise(x, number): smooth random values from -1 to 1, one per unit of x.

    Raises SettingsError showing the position and what was expected there.
    """
    return _Parser(text).schedule()


def _elastic(x: float) -> float:
    """Overshoot and settle (Penner's "ease out elastic")."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    return 2 ** (-10 * x) * math.sin((10 * x - 0.75) * math.tau / 3) + 1


EASINGS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "linear": lambda x: x,
        "hold": lambda x: float(x >= 1),
        "ease-in": lambda x: x * x,
        "ease-out": lambda x: x * (2 - x),
        "ease-in-out": lambda x: x * x * (3 - 2 * x),
        "sine": lambda x: 0.5 - 0.5 * math.cos(math.pi * x),
        "elastic": _elastic,
    }
)
"""Curves from 0 at 0 to 1 at 1, by name."""


def _clamp(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _smoothstep(start: float, stop: float, x: float) -> float:
    """Interpolate smoothly from 0 at `start` to 1 at `stop`, as GLSL does."""
    return EASINGS["ease-in-out"](_clamp((x - start) / (stop - start), 0.0, 1.0))


def _triangle(x: float) -> float:
    """Return the triangle wave: 0 at 0 and rising, like sin(tau * x)."""
    return 1 - 4 * abs((x + 0.25) % 1 - 0.5)


def _square(x: float) -> float:
    return 1.0 if x % 1 < 0.5 else -1.0


def _saw(x: float) -> float:
    return 2 * (x % 1) - 1


def _noise(x: float, number: float, seed: int) -> float:
    """Return value noise: a random value at each whole number, interpolated with Perlin's quintic (2002)."""
    start = math.floor(x)
    part = x - start
    weight = part**3 * (part * (6 * part - 15) + 10)
    key = (seed, hash(number))
    return (1 - weight) * _random(start, *key) + weight * _random(start + 1, *key)


def _random(*key: int) -> float:
    """Return a number from -1 to 1 that depends only on the key (the splitmix64 mixer, Steele et al. 2014)."""
    state = 0
    for part in key:
        state = (state + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state / 2**63 - 1


# Name: function and the number of values that it takes, at least and at most.
_FUNCTIONS: Mapping[str, tuple[Callable[..., float], int, int]] = {
    "sin": (math.sin, 1, 1),
    "cos": (math.cos, 1, 1),
    "tan": (math.tan, 1, 1),
    "abs": (abs, 1, 1),
    "floor": (lambda x: float(math.floor(x)), 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 1),
    "pow": (math.pow, 2, 2),
    "min": (min, 2, _MAX_LENGTH),
    "max": (max, 2, _MAX_LENGTH),
    "clamp": (_clamp, 3, 3),
    "smoothstep": (_smoothstep, 3, 3),
    "triangle": (_triangle, 1, 1),
    "square": (_square, 1, 1),
    "saw": (_saw, 1, 1),
    "noise": (_noise, 1, 2),
}
_CONSTANTS = {"pi": math.pi, "tau": math.tau}
_CLOCKS: Mapping[str, _Value] = {
    "t": lambda moment: moment.seconds,
    "f": lambda moment: moment.frame,
    "frame": lambda moment: moment.frame,
}
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "%": lambda a, b: a % b,
}

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_EASING = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_OPERATOR = re.compile(r"\*\*|[-+*/%]")


class _Parser(Reader):
    """Parses a schedule by recursive descent."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.names: set[str] = set()
        most = LONGEST_KEYFRAMES if ":" in text else _MAX_LENGTH  # only keyframes have a colon
        if len(text) > most:
            self.position = most
            self.fail(f"at most {most} characters, got {len(text)}")

    def fail(self, expected: str, position: int | None = None) -> NoReturn:
        position = self.position if position is None else position
        first = max(0, min(position - _SHOWN // 2, len(self.text) - _SHOWN))
        line = re.sub(r"\s", " ", self.text[first : first + _SHOWN])
        before, after = "…" * (first > 0), "…" * (first + _SHOWN < len(self.text))
        caret = " " * (len(before) + position - first) + "^"
        raise SettingsError(f"The schedule is not understood:\n  {before}{line}{after}\n  {caret}\nExpected {expected}")

    def schedule(self) -> Schedule:
        # Only keyframes have a colon.
        value = self._keyframes() if ":" in self.text else self._sum(0)
        if not self.at_end:
            self.fail(self._rest())
        return Schedule(self.text.strip(), frozenset(self.names), value)

    def _rest(self) -> str:
        rest = self.text[self.position]
        if rest == "^":
            return "an operator (a power is **)"
        if rest in "=<>!":
            return "an operator; there are no comparisons (use square, smoothstep or hold)"
        if rest.isalpha() or rest in "_(":
            return "an operator before this, such as * (2*pi, not 2pi)"
        if rest == "," and ":" not in self.text:
            return "an operator or the end; keyframes are 'TIME: VALUE', such as 0s: 1.2, 4s: 1.5"
        return "an operator or the end"

    def _keyframes(self) -> _Value:
        times: list[float] = []
        values: list[_Value] = []
        easings: list[Callable[[float], float]] = []
        unit: _Unit | None = None
        while True:
            position = self.position
            time, its_unit = self._time()
            if unit not in (None, its_unit):
                self.fail("keyframes all in seconds or all in frames, not both", position)
            unit = its_unit
            if times and time <= times[-1]:
                self.fail(f"a time above {times[-1]:g}{unit}: keyframes must be in the order of their times", position)
            times.append(time)
            values.append(self._sum(0))
            easings.append(EASINGS[self._easing()])
            if self.at_end:
                break
            if not self.take(","):
                self.fail("',' and the next keyframe, an operator, or the end")
        in_frames = unit == "f"

        def value(moment: _Moment) -> float:
            now = moment.frame if in_frames else moment.seconds
            after = bisect_right(times, now)
            if after == 0:
                return values[0](moment)
            start = values[after - 1](moment)
            if after == len(times):
                return start
            stop = values[after](moment)
            weight = easings[after]((now - times[after - 1]) / (times[after] - times[after - 1]))
            return start + weight * (stop - start)

        return value

    def _time(self) -> tuple[float, _Unit]:
        match = self.match(_NUMBER)
        if not match:
            self.fail("a keyframe's time in seconds or frames, such as 4s: or 24f:")
        time = self._finite(match)
        unit = self.match(_NAME)
        if not unit or unit[0] not in ("s", "f"):
            self.fail(f"a unit: {match[0]}s (seconds) or {match[0]}f (frames)")
        self.skip(unit.end())
        if not self.take(":"):
            self.fail("':' and the keyframe's value")
        return time, "s" if unit[0] == "s" else "f"

    def _easing(self) -> str:
        match = self.match(_EASING)
        if not match:
            return "linear"
        if match[0] not in EASINGS:
            self.fail(f"an operator, ',' or an easing ({', '.join(EASINGS)}).{nearest(match[0], EASINGS)}")
        self.skip(match.end())
        return match[0]

    def _sum(self, depth: int) -> _Value:
        if depth > _MAX_NESTING:
            self.fail(f"at most {_MAX_NESTING} parentheses, signs or powers inside one another")
        return self._chain(("+", "-"), self._product, depth)

    def _product(self, depth: int) -> _Value:
        return self._chain(("*", "/", "%"), self._signed, depth)

    def _chain(self, operators: tuple[str, ...], part: Callable[[int], _Value], depth: int) -> _Value:
        """Parse parts joined by operators of one rank, from left to right, in a loop: their number is not limited."""
        first = part(depth)
        rest: list[tuple[Callable[[float, float], float], _Value]] = []
        while (operator := self._operator(operators)) is not None:
            rest.append((_OPERATORS[operator], part(depth)))
        if not rest:
            return first

        def value(moment: _Moment) -> float:
            total = first(moment)
            for apply, operand in rest:
                total = apply(total, operand(moment))
            return total

        return value

    def _signed(self, depth: int) -> _Value:
        if depth > _MAX_NESTING:
            self.fail(f"at most {_MAX_NESTING} parentheses, signs or powers inside one another")
        if self.take("-"):
            inner = self._signed(depth + 1)
            return lambda moment: -inner(moment)
        if self.take("+"):
            return self._signed(depth + 1)
        base = self._atom(depth)
        if self._operator(("**",)) is None:
            return base
        exponent = self._signed(depth + 1)  # as in Python: -2**2 is -4, 2**-1 is 0.5, 2**3**2 is 512
        return lambda moment: math.pow(base(moment), exponent(moment))

    def _atom(self, depth: int) -> _Value:
        if self.take("("):
            inner = self._sum(depth + 1)
            if not self.take(")"):
                self.fail("an operator, or ')' to close the parenthesis")
            return inner
        number = self.match(_NUMBER)
        if number:
            constant = self._finite(number)
            return lambda moment: constant
        name = self.match(_NAME)
        if not name:
            self.fail("a number, a name, a function or '('")
        return self._named(name, depth)

    def _named(self, match: re.Match[str], depth: int) -> _Value:
        name = match[0]
        known = [*_CLOCKS, *SIGNALS, *_CONSTANTS, *_FUNCTIONS]
        if name not in known:
            self.fail(f"a known name, not {name!r}.{nearest(name, known)} Names: {', '.join(known)}")
        self.skip(match.end())
        if name in _FUNCTIONS:
            return self._call(name, depth)
        if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda moment: constant
        if name in _CLOCKS:
            return _CLOCKS[name]
        self.names.add(name)
        return lambda moment: moment.signals[name]

    def _call(self, name: str, depth: int) -> _Value:
        function, least, most = _FUNCTIONS[name]
        if not self.take("("):
            self.fail(f"'(' and the value{'s' * (least > 1)} of {name}")
        values = [self._sum(depth + 1)]
        while self.take(","):
            values.append(self._sum(depth + 1))
        if not least <= len(values) <= most:
            takes = f"{least}" if least == most else f"{least} or more" if most > 2 else f"{least} or {most}"
            self.fail(f"{takes} value{'s' * (most > 1)} in {name}(…), got {len(values)}")
        if not self.take(")"):
            self.fail(f"an operator, ',' or ')' to close {name}(")
        if function is _noise:
            return lambda moment: _noise(values[0](moment), values[1](moment) if len(values) > 1 else 0.0, moment.seed)
        if least == most == 1:
            (only,) = values
            return lambda moment: function(only(moment))
        return lambda moment: function(*[value(moment) for value in values])

    def _operator(self, allowed: tuple[str, ...]) -> str | None:
        match = self.match(_OPERATOR)
        if not match or match[0] not in allowed:
            return None
        self.skip(match.end())
        return match[0]

    def _finite(self, match: re.Match[str]) -> float:
        number = float(match[0])
        if math.isinf(number):
            self.fail("a number below 1.8e308")
        self.skip(match.end())
        return number
