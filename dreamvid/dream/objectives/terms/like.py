"""The term `like("FILE")`: make the image look like another one as a whole, by CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from dreamvid.dream.objectives.similarity import ResolvedSimilarity, encode_whole
from dreamvid.dream.objectives.term import ResolvedTerm, TermContext
from dreamvid.image.io import image_fingerprint, read_image

if TYPE_CHECKING:
    from dreamvid.dream.objectives.reader import ObjectiveReader
    from dreamvid.networks.layer_table import LayerTable


@dataclass(frozen=True)
class LikeTerm:
    """How near the image comes to what another image shows; `image`: its file."""

    opening: ClassVar[str] = "("
    image: str

    def __str__(self) -> str:
        return f'like("{self.image}")'

    @classmethod
    def parse(cls, reader: ObjectiveReader) -> Self:
        """Read "FILE")."""
        file = reader.quoted('the image\'s file in double quotes: like("photo.jpg")')
        reader.expect(")", "after the image's file")
        return cls(file)

    def layers(self, table: LayerTable) -> tuple[str, ...]:
        """Read no layer: the term has its own network."""
        return ()

    def resolve(self, context: TermContext) -> ResolvedTerm:
        """Encode the image. Raises SourceError if it cannot be read, NetworkError if the encoder cannot be had."""
        from dreamvid.image.tensors import to_tensor

        image = to_tensor(read_image(Path(self.image).expanduser()))
        encoder = context.encoder()
        return ResolvedSimilarity(encoder, encode_whole(encoder, image))

    def fingerprint(self) -> str:
        """Hash the image's pixels. Raises SourceError if the file cannot be read."""
        return image_fingerprint(self.image)


PLUGIN = LikeTerm
