"""The objective term `brightness(VALUE)`: how near the image's brightness is to a value. It reads no layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.term import IMAGE, ResolvedTerm, TermContext

if TYPE_CHECKING:
    from torch import Tensor

    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.layer_table import LayerTable


@dataclass(frozen=True)
class Brightness:
    opening: ClassVar[str] = "("
    value: float

    def __str__(self) -> str:
        return f"brightness({self.value:g})"

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        match = reader.match(re.compile(r"[01](\.\d+)?"))
        if not match:
            reader.fail("a brightness from 0 to 1, such as brightness(0.7)")
        reader.skip(match.end())
        reader.expect(")", "after the brightness")
        return cls(float(match[0]))

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        return ()

    def resolve(self, context: TermContext) -> ResolvedTerm:
        return ResolvedBrightness(self.value)

    def fingerprint(self) -> str:
        return "the mean of the channels"


@dataclass(frozen=True)
class ResolvedBrightness:
    value: float
    layers: tuple[str, ...] = ()

    def density(self, activations: Mapping[str, Tensor]) -> Tensor:
        return -(activations[IMAGE].mean(dim=1, keepdim=True) - self.value).square()
