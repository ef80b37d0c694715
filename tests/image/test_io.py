from pathlib import Path

import numpy as np
import pytest
from clips import image
from PIL import Image

from dreamvid.errors import OutputError, SourceError
from dreamvid.image.io import IMAGE_SUFFIXES, read_image, write_image


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_format_comes_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"-dash ünï 視頻 %d{suffix}"
    write_image(path, image(5))
    error = np.abs(read_image(path).astype(int) - image(5)).mean()
    assert error == 0 if suffix in (".png", ".bmp", ".tif", ".tiff") else error < 4
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    upright = Image.fromarray(image(3))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    upright.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), image(3))


def test_transparency_lies_on_the_background(tmp_path: Path) -> None:
    rgba = np.dstack([image(1), np.zeros((64, 96), np.uint8)])
    rgba[:, 48:, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    black, white = read_image(tmp_path / "a.png"), read_image(tmp_path / "a.png", background=255)
    assert black[:, :48].max() == 0
    assert white[:, :48].min() == 255
    assert np.array_equal(black[:, 48:], image(1)[:, 48:])


def test_gray_palette_and_sixteen_bits(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    expected = np.repeat(ramp[:, :, None], 3, axis=2)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    for name in ("gray", "palette", "deep"):
        assert np.array_equal(read_image(tmp_path / f"{name}.png"), expected), name


def test_bad_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    write_image(tmp_path / "cut.png", image(0))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    for name, words in (
        ("text", "cannot read"),
        ("empty", "empty file"),
        ("none", "no such image"),
        ("cut", "cannot"),
    ):
        with pytest.raises(SourceError, match=words):
            read_image(tmp_path / f"{name}.png")


def test_bad_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Allowed: \.png"):
        write_image(tmp_path / "a.xyz", image(0))
    with pytest.raises(OutputError, match="does not exist"):
        write_image(tmp_path / "no" / "a.png", image(0))
    with pytest.raises(OutputError, match="uint8"):
        write_image(tmp_path / "a.png", image(0)[:, :, 0])
    assert list(tmp_path.iterdir()) == []
