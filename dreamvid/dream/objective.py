"""What a dream climbs: objectives as values, in one small text form.

blocks.4.1                        mean square of a layer's activations (DeepDream, Mordvintsev et al., 2015)
mixed4d:139                       mean of one channel
mixed4d:0-19    mixed4d:1,5,9     mean over these channels
class:"golden retriever"          a class's logit; also class:peacock, class:207
guide("flowers.jpg")@mixed3b      the features of another picture, each place's best match
0.5*(mixed3 + mixed4d:65) - 0.2*mixed5
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamvid.dream.imagenet import class_index
from dreamvid.errors import ObjectiveError

if TYPE_CHECKING:
    from dreamvid.dream.networks import Network

_EXAMPLE = 'For example: blocks.4.1, or 0.5*mixed4c:139 - 0.2*mixed5a, or class:"golden retriever"'
_MAX_CHANNEL = 65535
_MAX_NESTING = 50
_MAX_PRODUCTS = 2**24

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_WEIGHT = re.compile(rf"({_NUMBER})\s*\*")
_LAYER = re.compile(r"[A-Za-z0-9_./]+")
_CHANNELS = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")
_CLASS = re.compile(r'"([^"]*)"|([A-Za-z0-9_]+)')
_QUOTED = re.compile(r'"([^"]*)"')
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class LayerTerm:
    """The mean square of a layer's activations or, with `channels` (sorted, unique), those channels' mean."""

    layer: str
    channels: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.channels is None:
            return self.layer
        runs = (str(a) if a == b else f"{a}-{b}" for a, b in _runs(self.channels))
        return f"{self.layer}:{','.join(runs)}"


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


Term = LayerTerm | ClassTerm | GuideTerm


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

    def bind(self, network: "Network", guides: Mapping[str, Tensor] = MappingProxyType({})) -> "BoundObjective":
        """Look up layers, channels and classes in `network`, and the features of guide pictures.

        guides: the pictures that `guides` names, (1, 3, H, W) in [0, 1]. Raises NetworkError for an unknown layer,
        ObjectiveError for a channel that the layer lacks or an unknown class.
        """
        bound: list[_BoundTerm | _BoundGuide] = []
        for weight, term in self.terms:
            if isinstance(term, GuideTerm):
                layer = network.resolve(term.layer)
                if term.picture not in guides:
                    raise ObjectiveError(f"The guide {term.picture!r} of {self} was not handed in as a picture.")
                bound.append(_BoundGuide(weight, layer, _features(network, layer, guides[term.picture])))
                continue
            if isinstance(term, LayerTerm):
                layer, channels = network.resolve(term.layer), term.channels
                count = network.channels(layer)
                if channels and channels[-1] >= count:
                    raise ObjectiveError(
                        f"Layer {term.layer!r} of network {network.name!r} has no channel {channels[-1]}: "
                        f"its {count} channels are numbered 0 to {count - 1}. Objective: {self}"
                    )
            else:
                layer, channels = network.logits, (class_index(term.name),)
                count = network.channels(layer)
                if channels[0] >= count or count not in (1000, 1001):
                    raise ObjectiveError(
                        f"Class {term.name!r}: network {network.name!r} has {count} classes, not ImageNet's "
                        f"1000. Choose one by its channel: {layer}:0-{count - 1}"
                    )
                if count == 1001:  # TensorFlow's models with a background class in front
                    channels = (channels[0] + 1,)
            bound.append(_BoundTerm(weight, layer, None if channels is None else tuple(_runs(channels))))
        return BoundObjective(tuple(bound))


@dataclass(frozen=True)
class _BoundTerm:
    weight: float
    layer: str
    runs: tuple[tuple[int, int], ...] | None

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The term at each position, (N, 1, h, w), without its weight; its mean is the term's value."""
        x = activations[self.layer]
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()  # squares overflow half precision
        if x.ndim == 2:
            x = x[:, :, None, None]
        if self.runs is None:
            return x.square().mean(dim=1, keepdim=True)
        # Slices are views; a list of indices would be copied to the device at every call.
        sums = [x[:, first : last + 1].sum(dim=1, keepdim=True) for first, last in self.runs]
        total = sums[0]
        for one in sums[1:]:
            total = total + one
        return total / sum(last - first + 1 for first, last in self.runs)


@dataclass(frozen=True, eq=False)
class _BoundGuide:
    weight: float
    layer: str
    features: Tensor  # (C, Q): those of the guide's positions

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The term at each position, (N, 1, h, w), without its weight; its mean is the term's value."""
        x = activations[self.layer].float()
        height, width = (x.shape[2], x.shape[3]) if x.ndim == 4 else (1, 1)
        x = x.reshape(x.shape[0], x.shape[1], height * width)
        # Which of the guide's features matches best has no slope. In pieces, as all products of all positions with all
        # others may not fit into memory.
        with torch.no_grad():
            pieces = torch.split(x, max(1, _MAX_PRODUCTS // (len(x) * self.features.shape[1])), dim=2)
            best = torch.cat([torch.einsum("ncp,cq->npq", one, self.features).argmax(2) for one in pieces], 1)
            chosen = self.features.T[best].transpose(1, 2)
        return (x * chosen).mean(1).view(-1, 1, height, width)


def _features(network: "Network", layer: str, picture: Tensor) -> Tensor:
    """A layer's features of a picture, (C, positions)."""
    truncated = network.truncate([layer])
    with torch.no_grad():
        activation: Tensor = truncated(picture.to(truncated.scale.device, truncated.scale.dtype))[layer]
    return activation[0].reshape(activation.shape[1], -1).float()


@dataclass(frozen=True)
class BoundObjective:
    """An objective whose layers, channels and classes are those of one network."""

    terms: tuple[_BoundTerm | _BoundGuide, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The network's own names of the layers to hand to `Network.truncate`, logits included, each once."""
        return tuple(dict.fromkeys(term.layer for term in self.terms))

    def __call__(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The objective of each sample, (N,): the mean over its positions."""
        values = [term.weight * term.density(activations).mean(dim=(1, 2, 3)) for term in self.terms]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Where the objective is: (N, 1, h, w) on the finest layer's grid, with the objective for its mean.

        Coarser layers are spread bilinearly (`align_corners=False`), each keeping its mean; classes are even.
        """
        maps = [term.weight * term.density(activations) for term in self.terms]
        height, width = max((one.shape[2], one.shape[3]) for one in maps)
        total = torch.zeros_like(maps[0][:, :, :1, :1])
        for one in maps:
            spread = one
            if one.shape[2:] != (height, width):
                spread = F.interpolate(one, (height, width), mode="bilinear", align_corners=False)
                means = (one.mean(dim=(2, 3), keepdim=True), spread.mean(dim=(2, 3), keepdim=True))
                spread = spread + (means[0] - means[1])  # bilinear sampling by other than whole numbers shifts it
            total = total + spread
        return total


def parse_objective(text: str) -> Objective:
    """Read an objective's text: `TERM ((+|-) TERM)*` with `TERM = [NUMBER *] ATOM`.

    An atom is `LAYER`, `LAYER:CHANNEL`, `LAYER:A-B` (both included), `LAYER:1,5,9`, `class:NAME`,
    `class:"NAME"`, `class:NUMBER`, `guide("FILE")@LAYER` or a sum in parentheses. Raises ObjectiveError
    showing the place.
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
        channels = self._channels() if self._take(":") else None
        return Objective(((1.0, LayerTerm(match[0], channels)),))

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
            self.fail("a channel's number, a range such as 0-19, or a list such as 1,5,9")
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
