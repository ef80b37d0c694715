"""What a dream climbs: objectives as values, in one small text form.

blocks.4.1                        mean square of a layer's activations (DeepDream, Mordvintsev et al., 2015)
mixed4d:139                       mean of one channel
mixed4d:0-19    mixed4d:1,5,9     mean over these channels
mixed4d:strongest(8)              the channels that the picture of the moment shows most of; also :weakest(8),
                                  :average(8), and :strongest(10%) for a share of the layer's channels
mixed4d:ignore(65,139-142)        the layer without these channels
class:"golden retriever"          a class's logit; also class:peacock, class:207
guide("flowers.jpg")@mixed3b      the features of another picture, each place's best match
0.5*(mixed3 + mixed4d:65) - 0.2*mixed5

What counts of activations is a choice beside the text (`Measure`), their mean or their mean square.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NoReturn, get_args

import torch
from torch import Tensor

from dreamvid.dream.bound import BoundGuide, BoundSelection, BoundTerm
from dreamvid.dream.bound import BoundObjective as BoundObjective
from dreamvid.dream.imagenet import class_index
from dreamvid.dream.selection import Selection, SelectionMode
from dreamvid.errors import ObjectiveError

if TYPE_CHECKING:
    from dreamvid.dream.networks import Network

_EXAMPLE = 'For example: blocks.4.1, or 0.5*mixed4c:139 - 0.2*mixed5a, or class:"golden retriever"'
_MAX_CHANNEL = 65535
_MAX_NESTING = 50

# What counts of activations: their mean, the mean of their squares, or `auto`: that for a layer and what is selected of
# it, and the mean for channels that are named. Guides and classes have their own values.
Measure = Literal["auto", "mean", "l2"]

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WEIGHT = re.compile(rf"({_NUMBER})\s*\*")
_LAYER = re.compile(r"[A-Za-z0-9_./]+")
_CHANNELS = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")
_SELECTED = re.compile(rf"({'|'.join(get_args(SelectionMode))}|ignore)\s*\(\s*")
_AMOUNT = re.compile(r"(\d{1,5}(?:\.\d{1,6})?)\s*(%?)")
_CLASS = re.compile(r'"([^"]*)"|([A-Za-z0-9_]+)')
_QUOTED = re.compile(r'"([^"]*)"')
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class LayerTerm:
    """A layer or, with `channels` (sorted, unique), these of its channels."""

    layer: str
    channels: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.channels is None:
            return self.layer
        return f"{self.layer}:{_listed(self.channels)}"


@dataclass(frozen=True)
class SelectionTerm:
    """Those channels of a layer that a selection chooses on the picture of the moment."""

    layer: str
    selection: Selection

    def __str__(self) -> str:
        return f"{self.layer}:{self.selection}"


@dataclass(frozen=True)
class IgnoreTerm:
    """A layer without some of its channels (sorted, unique)."""

    layer: str
    channels: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.layer}:ignore({_listed(self.channels)})"


@dataclass(frozen=True)
class ClassTerm:
    """The logit of an ImageNet class, by name or number."""

    name: str

    def __str__(self) -> str:
        return f"class:{self.name}" if re.fullmatch(r"[A-Za-z0-9_]+", self.name) else f'class:"{self.name}"'


@dataclass(frozen=True)
class GuideTerm:
    """How well each position of a layer matches the feature of a guide picture that it matches best.

    After the guided dreams of the Caffe DeepDream notebook (Google, 2015): the mean over positions of the largest dot
    product with the guide's features, over the number of channels. `picture` is the guide's file.
    """

    picture: str
    layer: str

    def __str__(self) -> str:
        return f'guide("{self.picture}")@{self.layer}'


Term = LayerTerm | SelectionTerm | IgnoreTerm | ClassTerm | GuideTerm


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms; `str` gives the text that `parse_objective` reads."""

    terms: tuple[tuple[float, Term], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are named, as written, each once; `BoundObjective.layers` has the logits too."""
        return tuple(dict.fromkeys(term.layer for _, term in self.terms if not isinstance(term, ClassTerm)))

    @property
    def guides(self) -> tuple[str, ...]:
        """The guide pictures' files, as written, each once."""
        return tuple(dict.fromkeys(term.picture for _, term in self.terms if isinstance(term, GuideTerm)))

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(self.terms + other.terms)

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -1.0 * other

    def __mul__(self, factor: float) -> "Objective":
        terms = tuple((float(weight * factor), term) for weight, term in self.terms)
        if not all(math.isfinite(weight) for weight, _ in terms):
            raise ObjectiveError(f"A weight must be a finite number; {factor} times ({self}) is not.")
        return Objective(terms)

    __rmul__ = __mul__

    def __neg__(self) -> "Objective":
        return -1.0 * self

    def __str__(self) -> str:
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            text += f" {sign} " if text else sign.strip("+")
            text += str(term) if abs(weight) == 1 else f"{_number(abs(weight))}*{term}"
        return text

    def bind(
        self,
        network: "Network",
        guides: Mapping[str, Tensor] = MappingProxyType({}),
        *,
        measure: Measure = "auto",
    ) -> "BoundObjective":
        """Look up layers, channels and classes in `network`, and the features of guide pictures.

        guides: the pictures that `guides` names, (1, 3, H, W) in [0, 1]. measure: what counts of activations. Raises
        NetworkError for an unknown layer, ObjectiveError for channels that the layer lacks or an unknown class.
        """
        bound: list[BoundTerm | BoundSelection | BoundGuide] = []
        for weight, term in self.terms:
            if isinstance(term, GuideTerm):
                layer = network.resolve(term.layer)
                if term.picture not in guides:
                    raise ObjectiveError(f"The guide {term.picture!r} of {self} was not handed in as a picture.")
                bound.append(BoundGuide(weight, layer, _features(network, layer, guides[term.picture])))
                continue
            if isinstance(term, ClassTerm):
                bound.append(BoundTerm(weight, network.logits, (self._class(term, network),), square=False))
                continue
            layer = network.resolve(term.layer)
            square = measure == "l2"
            if measure == "auto":
                square = not isinstance(term, LayerTerm) or term.channels is None
            if isinstance(term, SelectionTerm):
                self._check_count(term, network)
                bound.append(BoundSelection(weight, layer, term.selection, square))
                continue
            runs = None if term.channels is None else self._runs(term, term.channels, network)
            bound.append(BoundTerm(weight, layer, runs, square))
        return BoundObjective(tuple(bound))

    def _runs(
        self, term: LayerTerm | IgnoreTerm, channels: tuple[int, ...], network: "Network"
    ) -> tuple[tuple[int, int], ...]:
        """The channels that count, as runs (first, last)."""
        count = network.channels(term.layer)
        if channels and channels[-1] >= count:
            raise ObjectiveError(
                f"Layer {term.layer!r} of network {network.name!r} has no channel {channels[-1]}: "
                f"its {count} channels are numbered 0 to {count - 1}. Objective: {self}"
            )
        if isinstance(term, IgnoreTerm):
            ignored = set(channels)
            channels = tuple(channel for channel in range(count) if channel not in ignored)
            if not channels:
                raise ObjectiveError(
                    f"Nothing of layer {term.layer!r} is left: all of its {count} channels are ignored. "
                    f"Objective: {self}"
                )
        return tuple(_runs(channels))

    def _check_count(self, term: SelectionTerm, network: "Network") -> None:
        count = network.channels(term.layer)
        if term.selection.count(count) > count:
            raise ObjectiveError(
                f"Layer {term.layer!r} of network {network.name!r} has {count} channels; of them "
                f"{term.selection} cannot be chosen. Allowed: 1 to {count}, or a share such as 10%. Objective: {self}"
            )

    @staticmethod
    def _class(term: ClassTerm, network: "Network") -> tuple[int, int]:
        """The channel of a class, as a run."""
        layer, channel = network.logits, class_index(term.name)
        count = network.channels(layer)
        if channel >= count or count not in (1000, 1001):
            raise ObjectiveError(
                f"Class {term.name!r}: network {network.name!r} has {count} classes, not ImageNet's "
                f"1000. Choose one by its channel: {layer}:0-{count - 1}"
            )
        if count == 1001:  # TensorFlow's models with a background class in front
            channel += 1
        return channel, channel


def _features(network: "Network", layer: str, picture: Tensor) -> Tensor:
    """A layer's features of a picture, (C, positions)."""
    truncated = network.truncate([layer])
    with torch.no_grad():
        activation: Tensor = truncated(picture.to(truncated.scale.device, truncated.scale.dtype))[layer]
    return activation[0].reshape(activation.shape[1], -1).float()


def parse_objective(text: str) -> Objective:
    """Read an objective's text: `TERM ((+|-) TERM)*` with `TERM = [NUMBER *] ATOM`.

    An atom is `LAYER`, `LAYER:CHANNEL`, `LAYER:A-B` (both included), `LAYER:1,5,9`, `LAYER:strongest(N)`,
    `LAYER:weakest(N)`, `LAYER:average(N)` (N a number or a share such as 10%), `LAYER:ignore(1,5-9)`, `class:NAME`,
    `class:"NAME"`, `class:NUMBER`, `guide("FILE")@LAYER` or a sum in parentheses. Raises ObjectiveError showing the
    place.
    """
    parser = _Parser(text)
    objective = parser.sum(0)
    if parser.position < len(text):
        rest = text[parser.position]
        hint = "; a weight goes in front: 0.5*LAYER" if rest == "*" else ""
        parser.fail(f"'+', '-' or the end, not {rest!r}{hint}")
    return objective


class _Parser:
    """Recursive descent; `position` is always at the next character that is no space."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._skip(0)

    def fail(self, expected: str) -> NoReturn:
        # One line for the text, so that the caret stands under its place.
        line = re.sub(r"\s", " ", self.text)
        place = " " * self.position + "^"
        raise ObjectiveError(f"The objective is not understood:\n  {line}\n  {place}\nExpected {expected}. {_EXAMPLE}")

    def sum(self, depth: int) -> Objective:
        if depth > _MAX_NESTING:
            self.fail(f"at most {_MAX_NESTING} parentheses inside one another")
        negative = self._take("-")
        if not negative:
            self._take("+")
        total = self._term(depth)
        if negative:
            total = -total
        while True:
            if self._take("+"):
                total = total + self._term(depth)
            elif self._take("-"):
                total = total - self._term(depth)
            else:
                return total

    def _term(self, depth: int) -> Objective:
        match = _WEIGHT.match(self.text, self.position)
        if not match:
            return self._atom(depth)
        weight = float(match[1])
        if math.isinf(weight):
            self.fail("a finite weight")
        self._skip(match.end())
        return weight * self._atom(depth)

    def _atom(self, depth: int) -> Objective:
        if self._take("("):
            inner = self.sum(depth + 1)
            if not self._take(")"):
                self.fail("')' to close the parenthesis, or '+' or '-' to go on inside it")
            return inner
        match = _LAYER.match(self.text, self.position)
        if not match:
            self.fail("a layer's name, 'class:NAME' or '('")
        self._skip(match.end())
        if match[0] == "guide" and self._take("("):
            return Objective(((1.0, self._guide()),))
        if match[0] == "class":
            if not self._take(":"):
                self.fail("':' and the name or number of a class")
            return Objective(((1.0, self._class()),))
        if not self._take(":"):
            return Objective(((1.0, LayerTerm(match[0])),))
        selected = _SELECTED.match(self.text, self.position)
        if selected:
            self._skip(selected.end())
            return Objective(((1.0, self._selected(match[0], selected[1])),))
        return Objective(((1.0, LayerTerm(match[0], self._channels())),))

    def _selected(self, layer: str, mode: str) -> SelectionTerm | IgnoreTerm:
        term: SelectionTerm | IgnoreTerm
        term = IgnoreTerm(layer, self._channels()) if mode == "ignore" else SelectionTerm(layer, self._selection(mode))
        if not self._take(")"):
            self.fail(f"')' behind what is in {mode}(…)")
        return term

    def _selection(self, mode: str) -> Selection:
        match = _AMOUNT.match(self.text, self.position)
        amount, percent = (float(match[1]), bool(match[2])) if match else (0.0, False)
        if not match or not 0 < amount <= (100 if percent else _MAX_CHANNEL) or not (percent or amount.is_integer()):
            self.fail(f"a whole number of channels, such as {mode}(8), or a share of them up to 100%: {mode}(10%)")
        self._skip(match.end())
        chosen: SelectionMode = next(one for one in get_args(SelectionMode) if one == mode)
        return Selection(chosen, amount, percent)

    def _guide(self) -> GuideTerm:
        match = _QUOTED.match(self.text, self.position)
        if not match or not match[1].strip():
            self.fail('the guide\'s file in double quotes: guide("flowers.jpg")@LAYER')
        self._skip(match.end())
        if not self._take(")"):
            self.fail("')' behind the guide's file")
        if not self._take("@"):
            self.fail("'@' and the layer whose features are to be matched: guide(\"flowers.jpg\")@LAYER")
        layer = _LAYER.match(self.text, self.position)
        if not layer:
            self.fail("a layer's name")
        self._skip(layer.end())
        return GuideTerm(match[1].strip(), layer[0])

    def _class(self) -> ClassTerm:
        match = _CLASS.match(self.text, self.position)
        if not match or not (match[1] or match[2] or "").strip():
            self.fail('a class: its number, its name, or its name in double quotes ("golden retriever")')
        self._skip(match.end())
        return ClassTerm(match[2] or " ".join(match[1].split()))

    def _channels(self) -> tuple[int, ...]:
        match = _CHANNELS.match(self.text, self.position)
        if not match:
            self.fail(
                "a channel's number, a range such as 0-19, a list such as 1,5,9, or strongest(8), weakest(8), "
                "average(8), ignore(1,5-9)"
            )
        channels: set[int] = set()
        for item in match[0].split(","):
            first, _, last = item.partition("-")
            numbers = [int(one) if len(one) < 9 else _MAX_CHANNEL + 1 for one in (first, last or first)]
            if max(numbers) > _MAX_CHANNEL:
                self.fail(f"channel numbers of at most {_MAX_CHANNEL}, not {item}")
            if numbers[0] > numbers[1]:
                self.fail(f"a range from the lower to the higher channel, not {item}")
            channels.update(range(numbers[0], numbers[1] + 1))
        self._skip(match.end())
        return tuple(sorted(channels))

    def _take(self, character: str) -> bool:
        if not self.text.startswith(character, self.position):
            return False
        self._skip(self.position + 1)
        return True

    def _skip(self, position: int) -> None:
        """Go on to `position` and behind the white space there."""
        match = _SPACE.match(self.text, position)
        self.position = match.end() if match else position


def _number(value: float) -> str:
    """Write a number in the shortest way that reads back as the same one."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _listed(channels: Iterable[int]) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in _runs(channels))


def _runs(channels: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join sorted numbers to runs (first, last) of neighbours."""
    first = last = -1
    for channel in channels:
        if first >= 0 and channel == last + 1:
            last = channel
            continue
        if first >= 0:
            yield first, last
        first = last = channel
    if first >= 0:
        yield first, last
