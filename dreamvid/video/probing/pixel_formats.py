"""What the names of ffmpeg's pixel formats tell: bits per sample, and transparency."""

import functools
import re

from dreamvid.video.ffmpeg import capture_ffmpeg

_WITH_ALPHA = re.compile(r"(rgba|bgra|argb|abgr|gbrap|yuva|ayuv|vuya|uyva|ya8|ya16|yaf|pal8)")


@functools.cache
def bit_depths() -> dict[str, int]:
    """Return the bits of a sample for every pixel format that this ffmpeg knows."""
    depths: dict[str, int] = {}
    for line in capture_ffmpeg(["-pix_fmts"]).splitlines():
        fields = line.split()
        if len(fields) == 5 and re.fullmatch(r"[\d-]+", fields[4]):
            depths[fields[1]] = max(int(part) for part in fields[4].split("-"))
    return depths


def has_alpha(pixel_format: str) -> bool:
    """Tell whether pixels of a format may be transparent (a palette may hold transparent colors)."""
    return _WITH_ALPHA.match(pixel_format) is not None
