"""Parse an objective's text. This needs no torch, so mistakes are reported before anything is loaded."""

import math
import re
from typing import get_args

from dreamvid.dream.objectives.layers import IgnoreTerm, LayerTerm, Selection, SelectionMode, SelectionTerm
from dreamvid.dream.objectives.objective import Objective
from dreamvid.dream.objectives.reader import ObjectiveReader
from dreamvid.dream.objectives.term import TERMS
from dreamvid.errors import nearest

_MAX_CHANNEL = 65535
_MAX_NESTING = 50

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WEIGHT = re.compile(rf"({_NUMBER})\s*\*")
_CHANNELS = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")
_SELECTED = re.compile(rf"({'|'.join(get_args(SelectionMode))}|ignore)\s*\(\s*")
_AMOUNT = re.compile(r"(\d{1,5}(?:\.\d{1,6})?)\s*(%?)")


def parse_objective(text: str) -> Objective:
    """Read an objective's text: `TERM ((+|-) TERM)*` with `TERM = [NUMBER *] ATOM`.

    An atom is `LAYER`, `LAYER:CHANNEL`, `LAYER:A-B` (both included), `LAYER:1,5,9`, `LAYER:strongest(N)`,
    `LAYER:weakest(N)`, `LAYER:average(N)` (N a number or a share such as 10%), `LAYER:ignore(1,5-9)`, the text of a
    registered term such as `class:NAME` or `guide("FILE")@LAYER`, or a sum in parentheses. Raises ObjectiveError that
    points at the position.
    """
    parser = _Parser(text)
    objective = parser.sum(0)
    if not parser.at_end:
        rest = text[parser.position]
        hint = "; a weight goes in front: 0.5*LAYER" if rest == "*" else ""
        parser.fail(f"'+', '-' or the end, not {rest!r}{hint}")
    return objective


class _Parser(ObjectiveReader):
    """Parses an objective by recursive descent."""

    def sum(self, depth: int) -> Objective:
        """Read terms with + and - between them, inside `depth` parentheses."""
        if depth > _MAX_NESTING:
            self.fail(f"at most {_MAX_NESTING} parentheses inside one another")
        negative = self.take("-")
        if not negative:
            self.take("+")
        total = self._term(depth)
        if negative:
            total = -total
        while True:
            if self.take("+"):
                total = total + self._term(depth)
            elif self.take("-"):
                total = total - self._term(depth)
            else:
                return total

    def _term(self, depth: int) -> Objective:
        match = self.match(_WEIGHT)
        if not match:
            return self._atom(depth)
        weight = float(match[1])
        if math.isinf(weight):
            self.fail("a finite weight")
        self.skip(match.end())
        return weight * self._atom(depth)

    def _atom(self, depth: int) -> Objective:
        if self.take("("):
            inner = self.sum(depth + 1)
            if not self.take(")"):
                self.fail("')' to close the parenthesis, or '+' or '-' to go on inside it")
            return inner
        name = self.layer("a layer's name, 'class:NAME' or '('")
        if name in TERMS.names():
            kind = TERMS.load(name)
            if self.take(kind.opening):
                return Objective(((1.0, kind.parse(self)),))
            if kind.opening == ":":
                self.fail(f"':' and what {name} is to show, such as {name}:NAME")
        if self.text.startswith("(", self.position):
            self.fail(f"an operator or the end after {name!r}.{nearest(name, TERMS.names())}")
        if not self.take(":"):
            return Objective(((1.0, LayerTerm(name)),))
        selected = self.match(_SELECTED)
        if selected:
            self.skip(selected.end())
            return Objective(((1.0, self._selected(name, selected[1])),))
        return Objective(((1.0, LayerTerm(name, self._channels())),))

    def _selected(self, layer: str, mode: str) -> SelectionTerm | IgnoreTerm:
        term: SelectionTerm | IgnoreTerm
        term = IgnoreTerm(layer, self._channels()) if mode == "ignore" else SelectionTerm(layer, self._selection(mode))
        self.expect(")", f"after what is in {mode}(…)")
        return term

    def _selection(self, mode: str) -> Selection:
        match = self.match(_AMOUNT)
        amount, percent = (float(match[1]), bool(match[2])) if match else (0.0, False)
        if not match or not 0 < amount <= (100 if percent else _MAX_CHANNEL) or not (percent or amount.is_integer()):
            self.fail(f"a whole number of channels, such as {mode}(8), or a share of them up to 100%: {mode}(10%)")
        self.skip(match.end())
        chosen: SelectionMode = next(known for known in get_args(SelectionMode) if known == mode)
        return Selection(chosen, amount, percent)

    def _channels(self) -> tuple[int, ...]:
        match = self.match(_CHANNELS)
        if not match:
            self.fail(
                "a channel's number, a range such as 0-19, a list such as 1,5,9, or strongest(8), weakest(8), "
                "average(8), ignore(1,5-9)"
            )
        channels: set[int] = set()
        for item in match[0].split(","):
            first, _, last = item.partition("-")
            numbers = [int(number) if len(number) < 9 else _MAX_CHANNEL + 1 for number in (first, last or first)]
            if max(numbers) > _MAX_CHANNEL:
                self.fail(f"channel numbers of at most {_MAX_CHANNEL}, not {item}")
            if numbers[0] > numbers[1]:
                self.fail(f"a range from the lower to the higher channel, not {item}")
            channels.update(range(numbers[0], numbers[1] + 1))
        self.skip(match.end())
        return tuple(sorted(channels))
