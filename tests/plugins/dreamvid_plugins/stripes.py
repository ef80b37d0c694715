"""A source that makes its frames itself: white stripes that move down by a row in every frame; `stripes:COUNT`."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dreamvid.errors import SourceError
from dreamvid.video.source import FrameSource, Pixels, Source, SourceOptions, hash_content


@dataclass(frozen=True, kw_only=True)
class Stripes(FrameSource):
    kind: str = "stripes"
    frame_rate: Fraction = Fraction(10)
    timeless: bool = True

    def frame(self, index: int) -> Pixels:
        rows = (np.arange(48) - index) // 8 % 2
        return np.broadcast_to(rows[:, None, None] * 255, (48, 64, 3)).astype(np.uint8)

    def fingerprint(self) -> str:
        return hash_content(self.kind, [self.text, str(self.frame_rate)])


class StripesKind:
    form = "stripes:COUNT"

    def claims(self, text: str) -> bool:
        return text.startswith("stripes:")

    def open(self, text: str, options: SourceOptions) -> Source:
        count = text.removeprefix("stripes:")
        if not count.isdecimal():
            raise SourceError(f"stripes:COUNT needs a number of frames, got {count!r}. Such as stripes:12")
        return Stripes(text=text, count=int(count), frame_rate=options.images_rate or Fraction(10))


SOURCE = StripesKind()
