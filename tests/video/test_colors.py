"""Color spaces that are rare: converted as ITU-T H.273 defines them, or refused by name."""

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dreamvid.errors import SourceError
from dreamvid.settings.size import Size
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import ffmpeg_path, run_ffmpeg
from dreamvid.video.probe import probe, scan
from dreamvid.video.source import open_source

HEIGHT, WIDTH = 36, 48
RGB = np.random.default_rng(0).uniform(0.02, 0.98, (HEIGHT, WIDTH, 3))
Planes = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def ycgco() -> Planes:
    """Equations 45 to 47; red, green and blue are in the narrow range before, so that differences span 219 steps."""
    red, green, blue = np.moveaxis(RGB, 2, 0)
    cg, co = green / 2 - (red + blue) / 4, (red - blue) / 2
    return green / 2 + (red + blue) / 4, cg * 219 / 224, co * 219 / 224


def luma(kr: float, kb: float) -> Planes:
    red, green, blue = np.moveaxis(RGB, 2, 0)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    return y, (blue - y) / (2 - 2 * kb), (red - y) / (2 - 2 * kr)


def pq(light: npt.NDArray[np.float64], *, inverse: bool = False) -> npt.NDArray[np.float64]:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    if inverse:
        power = np.power(light, 1 / m2)
        return np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    power = np.power(light, m1)
    return np.power((c1 + c2 * power) / (1 + c3 * power), m2)


def ictcp() -> Planes:
    to_lms = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    to_ictcp = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
    return tuple(np.moveaxis(pq(pq(RGB, inverse=True) @ to_lms.T) @ to_ictcp.T, 2, 0))  # type: ignore[return-value]


def write(path: Path, planes: Planes, matrix: str, primaries: str, transfer: str, bits: int) -> Path:
    unit = 1 << (bits - 8)
    samples = [
        np.rint(p * s * unit + o * unit) for p, s, o in zip(planes, (219, 224, 224), (16, 128, 128), strict=True)
    ]
    raw = np.stack(samples).clip(0, 256 * unit - 1).astype("<u2" if bits > 8 else np.uint8).tobytes()
    pixels = {8: "yuv444p", 10: "yuv444p10le", 16: "yuv444p16le"}[bits]
    tags = f"setparams=range=tv:colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}"
    form = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "pipe:0"]
    command = [str(ffmpeg_path()), "-v", "error", *form, "-vf", tags, "-c:v", "ffv1", str(path)]
    subprocess.run(command, input=2 * raw, check=True)
    return path


@pytest.mark.parametrize(
    ("matrix", "planes", "primaries", "transfer", "bits", "error"),
    [
        ("ycgco", ycgco(), "bt709", "bt709", 8, 1.0),
        ("ycgco", ycgco(), "bt709", "bt709", 10, 0.3),
        ("ictcp", ictcp(), "bt2020", "smpte2084", 16, 1.0),
        ("chroma-derived-nc", luma(0.2627, 0.0593), "bt2020", "bt2020-10", 10, 0.3),
        ("chroma-derived-nc", luma(0.2126, 0.0722), "bt709", "bt709", 8, 1.0),
    ],
)
@pytest.mark.parametrize("size", [None, Size(HEIGHT // 2, WIDTH // 2)])
def test_colors_are_converted(
    tmp_path: Path,
    matrix: str,
    planes: Planes,
    primaries: str,
    transfer: str,
    bits: int,
    error: float,
    size: Size | None,
) -> None:
    source = open_source(write(tmp_path / "a.mkv", planes, matrix, primaries, transfer, bits))
    info = probe(source)
    seen = scan(source, info)
    with FrameReader(source, info, scan=seen, size=size) as reader:
        frames = list(reader)
    assert len(frames) == seen.count == 2
    pixels = frames[0].pixels
    got = pixels / np.iinfo(pixels.dtype).max
    if size is None:
        assert np.abs(got - RGB).mean() * 255 < error
    else:
        assert np.abs(got.mean((0, 1)) - RGB.mean((0, 1))).max() * 255 < 2


@pytest.mark.parametrize(("matrix", "name"), [("bt2020c", "bt2020c"), ("chroma-derived-c", "chroma-derived-c")])
def test_colors_that_are_not_converted_are_refused_by_name(tmp_path: Path, matrix: str, name: str) -> None:
    path = write(tmp_path / "a.mkv", luma(0.2627, 0.0593), matrix, "bt2020", "bt2020-10", 10)
    with pytest.raises(SourceError, match=rf"color space {name}, which is not converted here"):
        probe(open_source(path))


@pytest.mark.parametrize("size", ["47x35", "48x36"])
def test_halved_chroma_of_any_size_is_converted(tmp_path: Path, size: str) -> None:
    nothing = np.zeros((HEIGHT, WIDTH))
    gray = write(tmp_path / "a.mkv", (nothing + 0.5, nothing, nothing), "ycgco", "bt709", "bt709", 8)
    path = tmp_path / "b.mkv"
    graph = f"setparams=colorspace=bt709,scale={size.replace('x', ':')},format=yuv420p,setparams=colorspace=ycgco"
    run_ffmpeg(["-i", f"file:{gray}", "-vf", graph, "-c:v", "ffv1", f"file:{path}"], "halving the chroma")
    source = open_source(path)
    info = probe(source)
    assert (f"{info.width}x{info.height}", info.matrix) == (size, "ycgco")
    with FrameReader(source, info) as reader:
        frames = list(reader)
    assert len(frames) == 2
    assert np.abs(frames[0].pixels.astype(int) - 128).max() <= 1
