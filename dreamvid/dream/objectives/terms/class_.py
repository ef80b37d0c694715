"""The term `class:NAME`: the logit of an ImageNet class."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.layers import ResolvedChannels
from dreamvid.dream.objectives.term import ResolvedTerm, TermContext
from dreamvid.errors import ObjectiveError, nearest

if TYPE_CHECKING:
    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.layer_table import LayerTable

CLASSES = 1000
_NAME = re.compile(r'"([^"]*)"|([A-Za-z0-9_]+)')


@dataclass(frozen=True)
class ClassTerm:
    """The logit of an ImageNet class, by name or number."""

    opening: ClassVar[str] = ":"
    name: str

    def __str__(self) -> str:
        return f"class:{self.name}" if re.fullmatch(r"[A-Za-z0-9_]+", self.name) else f'class:"{self.name}"'

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read NAME, "NAME" or NUMBER."""
        match = reader.match(_NAME)
        if not match or not (match[1] or match[2] or "").strip():
            reader.fail('a class: its number, its name, or its name in double quotes ("golden retriever")')
        reader.skip(match.end())
        return cls(match[2] or " ".join(match[1].split()))

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Name the layer of logits."""
        return (table.logits,)

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Find the class's channel; raise ObjectiveError for an unknown class or a network of other classes."""
        layer, channel = context.table.logits, class_index(self.name)
        count = context.table.channels(layer)
        if channel >= count or count not in (1000, 1001):
            raise ObjectiveError(
                f"Class {self.name!r}: network {context.table.network!r} has {count} classes, not ImageNet's "
                f"1000. Choose one by its channel: {layer}:0-{count - 1}"
            )
        if count == 1001:  # TensorFlow's models have a background class in front
            channel += 1
        return ResolvedChannels(layer, ((channel, channel),), square=False)

    def fingerprint(self) -> str:
        """Depend on nothing but the text."""
        return ""


PLUGIN = ClassTerm


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
        raise ObjectiveError(
            f"No ImageNet class is called {text!r}.{nearest(_plain(text), dict.fromkeys(map(_plain, names)))} "
            f"A number from 0 to {CLASSES - 1} works too."
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
