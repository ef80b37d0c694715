"""The term `class:WORDS`: classes of ImageNet, by name, number, group or pattern."""

from __future__ import annotations

import fnmatch
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.class_groups import group, group_names
from dreamvid.dream.objectives.layers import ResolvedChannels
from dreamvid.dream.objectives.term import ResolvedTerm, TermContext
from dreamvid.errors import ObjectiveError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.class_map import ClassMap
    from dreamvid.networks.layer_table import LayerTable

CLASSES = 1000
_NAME = re.compile(r'"([^"]*)"|([A-Za-z0-9_]+)')


@dataclass(frozen=True)
class ClassTerm:
    """ImageNet classes.

    name: what is written behind `class:`: a name, a number, a group such as `dog`, a pattern such as `*bird*`, or
    several of them with commas; those behind `not` are kept away.
    """

    opening: ClassVar[str] = ":"
    name: str

    def __str__(self) -> str:
        return f"class:{self.name}" if re.fullmatch(r"[A-Za-z0-9_]+", self.name) else f'class:"{self.name}"'

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read NAME, "NAME, NAME, not NAME" or NUMBER."""
        match = reader.match(_NAME)
        if not match or not (match[1] or match[2] or "").strip():
            reader.fail(
                'a class: its number, its name, its name in double quotes ("golden retriever"), a group (dog), or '
                'several ("*bird*, dog, not pug")'
            )
        reader.skip(match.end())
        return cls(match[2] or " ".join(match[1].split()))

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer of logits."""
        return (table.logits,)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Find the classes' channels; raise ObjectiveError for an unknown class or a network of other classes."""
        wanted, unwanted = class_indices(self.name)
        layer = context.table.logits
        count = context.table.channels(layer)
        if count not in (1000, 1001):
            raise ObjectiveError(
                f"Class {self.name!r}: network {context.table.network!r} has {count} classes, not ImageNet's "
                f"1000. Choose one by its channel: {layer}:0-{count - 1}"
            )
        first = count - CLASSES  # TensorFlow's models have a background class in front
        sets = tuple(tuple(index + first for index in indices) for indices in (wanted, unwanted) if indices)
        if len(sets) == 1 and len(wanted) == 1:
            return ResolvedChannels(layer, ((sets[0][0], sets[0][0]),), square=False)
        found = context.class_map()
        return ResolvedClasses(layer, sets) if found is None else MappedClasses(found, sets)

    def fingerprint(self) -> str:
        """Depend on nothing but the text."""
        return ""


PLUGIN = ClassTerm


@dataclass(frozen=True, eq=False)
class MappedClasses:
    """The probability of the wanted classes in the window around each position of the layer that the classifier reads.

    sets: numbers of the wanted classes and, if there are any, of the unwanted ones. A window has the size of the images
    that the network was trained on and is cut off at the border. Its value is the logarithm of the wanted classes'
    share among all classes: it rises most for the class that is nearest, where none is seen yet. With unwanted
    classes, the value is the mean of this and of the logarithm of the odds against them.
    """

    found: ClassMap
    sets: tuple[tuple[int, ...], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.found.layer,)

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term at each position, (N, 1, h, w)."""
        import torch.nn.functional as F

        x, side = activations[self.found.layer].float(), self.found.window
        means = F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False)
        logits = F.conv2d(means, self.found.weight.float()[:, :, None, None], self.found.bias.float())
        wanted, *unwanted = (logits[:, list(chosen)].logsumexp(dim=1, keepdim=True) for chosen in self.sets)
        value = wanted - logits.logsumexp(dim=1, keepdim=True)
        return (value + wanted - unwanted[0]) / 2 if unwanted else value


@dataclass(frozen=True)
class ResolvedClasses:
    """The largest logit of the wanted classes, for a network whose classes have no map.

    sets: channels of the wanted classes and, if there are any, of the unwanted ones, whose largest logit is subtracted.
    The logarithm of the mean of exp(logit) stands for the largest.
    """

    layer: str
    sets: tuple[tuple[int, ...], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        """Compute the term, (N, 1, 1, 1)."""
        logits = activations[self.layer].float()
        logits = logits[:, :, None, None] if logits.ndim == 2 else logits
        return _wanted([logits[:, list(chosen)] for chosen in self.sets])


def _wanted(maps: list[Tensor]) -> Tensor:
    """Take the wanted classes' logits (N, K, h, w), less the unwanted ones'."""
    values = [one.logsumexp(dim=1, keepdim=True) - math.log(one.shape[1]) for one in maps]
    return values[0] if len(values) == 1 else values[0] - values[1]


def class_indices(words: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the wanted and the unwanted classes of a list such as `dog, *fish, not pug`; none is in both.

    Raises ObjectiveError for what stands for no class, and for a list in which nothing is wanted.
    """
    wanted: dict[int, None] = {}
    unwanted: dict[int, None] = {}
    for word in words.split(","):
        negative = re.fullmatch(r"not\s+(.+)", word.strip())
        chosen = _indices(negative[1] if negative else word)
        (unwanted if negative else wanted).update(dict.fromkeys(chosen))
    kept = tuple(index for index in wanted if index not in unwanted)
    if not kept:
        shown = words.strip().removeprefix("not ")
        raise ObjectiveError(
            f"class:{words!r} wants nothing. Name something to see in front of `not`; or dream less of it: "
            f'BLOCK - class:"{shown}", with a layer for BLOCK.'
        )
    return kept, tuple(unwanted)


def _indices(word: str) -> tuple[int, ...]:
    text = _plain(word)
    if any(sign in text for sign in "*?["):
        found = {index for name, index in _names().items() if fnmatch.fnmatchcase(_plain(name), text)}
        for name in fnmatch.filter(group_names(), text):
            found.update(group(name) or ())
        if not found:
            raise ObjectiveError(
                f"No ImageNet class is like {word.strip()!r}. A pattern is compared with the whole name: *bird* finds "
                "every name with bird in it."
            )
        return tuple(sorted(found))
    if not text.isdecimal() and word.strip() not in _names() and text not in _names():
        found_group = group(text)
        if found_group is not None:
            return found_group
    return (class_index(word),)


def class_index(name_or_number: str) -> int:
    """Find an ImageNet-1k class by its number (`"207"`) or a name (`"golden retriever"`, `"peacock"`).

    Names are torchvision's, and WordNet's synonyms as timm has them; case, spaces, `_` and `-` do not matter.
    A name of two classes (crane, maillot) is the lower number's. Raises ObjectiveError with the nearest
    names.
    """
    text = name_or_number.strip()
    if text.isdecimal():
        if int(text) < CLASSES:
            return int(text)
        raise ObjectiveError(f"There is no class {text}: ImageNet's classes are numbered 0 to {CLASSES - 1}.")
    names = _names()
    found = names.get(text, names.get(_plain(text)))
    if found is None:
        known = dict.fromkeys((*map(_plain, names), *group_names()))
        raise ObjectiveError(
            f"No ImageNet class or group is called {text!r}.{nearest(_plain(text), known)} "
            f"A number from 0 to {CLASSES - 1} works too, and a pattern such as *{_plain(text)[:4]}*."
        )
    return found


def class_name(index: int) -> str:
    """Name class `index` (0 to 999) as torchvision does."""
    return _class_names()[index]


@functools.cache
def _class_names() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@functools.cache
def _names() -> dict[str, int]:
    from timm.data.imagenet_info import ImageNetInfo

    names: dict[str, int] = {}
    for index in range(CLASSES):
        names.setdefault(class_name(index), index)  # as it is: Cardigan is a dog, cardigan a jacket
    for index in range(CLASSES):
        names.setdefault(_plain(class_name(index)), index)
    info = ImageNetInfo()
    for index in range(CLASSES):
        for lemma in info.index_to_description(index).split(","):
            names.setdefault(_plain(lemma), index)
    return names


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name.strip().lower())
