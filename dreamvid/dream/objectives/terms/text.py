"""The term `text("…")`: make the image look like a text, by CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.similarity import ResolvedSimilarity
from dreamvid.dream.objectives.term import ResolvedTerm, TermContext

if TYPE_CHECKING:
    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.layer_table import LayerTable


@dataclass(frozen=True)
class TextTerm:
    """How near the image comes to a text."""

    opening: ClassVar[str] = "("
    text: str

    def __str__(self) -> str:
        return f'text("{self.text}")'

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read "TEXT")."""
        text = reader.quoted('a text in double quotes: text("a cathedral of coral")')
        reader.expect(")", "after the text")
        return cls(text)

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Read no layer: the term has its own network."""
        return ()

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Encode the text. Raises NetworkError if the encoder cannot be had."""
        encoder = context.encoder()
        return ResolvedSimilarity(encoder, encoder.text(self.text))

    def fingerprint(self) -> str:
        """Depend on the text; the encoder is part of the settings."""
        return ""


PLUGIN = TextTerm
