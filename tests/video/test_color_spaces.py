"""Rare color spaces: converted right, or refused by name."""

from pathlib import Path

import numpy as np
import pytest
from clips import ffmpeg

from dreamvid.errors import SourceError
from dreamvid.video.decode import FrameReader
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

WIDTH, HEIGHT, COUNT = 64, 48, 3


def colors() -> np.ndarray:
    """Smooth colors that fill the cube, (H, W, 3) in [0, 1]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT - 1, WIDTH - 1]).reshape(2, 1, 1)
    return np.stack([x, y, 0.5 + 0.5 * np.sin(3 * x + 5 * y)], axis=-1)


def encode(path: Path, samples: np.ndarray, space: str) -> Path:
    """Write samples (H, W, 3) of 8 bits as three planes of video that is tagged with a color space."""
    data = COUNT * np.moveaxis(samples, 2, 0).astype(np.uint8).tobytes()
    raw = ["-f", "rawvideo", "-pixel_format", "yuv444p", "-video_size", f"{WIDTH}x{HEIGHT}", "-framerate", "25"]
    tags = ["-bsf:v", f"h264_metadata=matrix_coefficients={space}:video_full_range_flag=0"]
    codec = ["-c:v", "libx264", "-qp", "0"]
    ffmpeg("-v", "error", *raw, "-i", "pipe:0", *codec, *tags, path, data=data)
    return path


def ycgco(rgb: np.ndarray) -> np.ndarray:
    """Convert by the definition of ITU-T H.273: RGB of limited range, from 16 to 235, becomes Y, Cg and Co."""
    red, green, blue = np.moveaxis(16 + 219 * rgb, 2, 0)
    rest = (red + blue) / 4
    return np.rint(np.stack([green / 2 + rest, green / 2 - rest + 128, (red - blue) / 2 + 128], axis=-1))


@pytest.mark.parametrize("scanned", [True, False])
def test_ycgco_is_converted(tmp_path: Path, scanned: bool) -> None:
    source = open_source(encode(tmp_path / "a.mp4", ycgco(colors()), "8"))
    info = probe(source)
    assert info.matrix == "ycgco"
    with FrameReader(source, info, scan=scan(source, info) if scanned else None) as reader:
        frames = list(reader)
    assert len(frames) == COUNT
    for frame in frames:
        assert np.abs(frame.pixels - 255 * colors()).max() <= 3


@pytest.mark.parametrize(("number", "name"), [("10", "bt2020c"), ("11", "smpte2085"), ("13", "chroma-derived-c")])
def test_what_cannot_be_converted_is_refused_by_name(tmp_path: Path, number: str, name: str) -> None:
    source = open_source(encode(tmp_path / "a.mp4", ycgco(colors()), number))
    with pytest.raises(SourceError, match=rf"a\.mp4 is stored in the color space {name}, which is not converted here"):
        probe(source)
