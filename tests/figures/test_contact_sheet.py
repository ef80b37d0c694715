"""Contact sheets: every image is there, unchanged, with something written below it."""

import numpy as np
import pytest

from dreamvid.errors import OutputError
from dreamvid.figures.contact_sheet import contact_sheet


def cells(count: int, height: int = 20, width: int = 30) -> list[tuple[np.ndarray, str]]:
    rng = np.random.default_rng(0)
    return [(rng.integers(40, 220, (height, width, 3), dtype=np.uint8), f"layer:{n}") for n in range(count)]


def find(sheet: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    height, width = image.shape[:2]
    views = np.lib.stride_tricks.sliding_window_view(sheet, image.shape)[:, :, 0]
    ((row, column),) = np.argwhere((views == image).all((2, 3, 4)))
    assert row + height <= sheet.shape[0]
    assert column + width <= sheet.shape[1]
    return int(row), int(column)


def test_images_stand_in_rows_with_labels_below() -> None:
    images = cells(5)
    sheet = contact_sheet(images, columns=3)
    places = [find(sheet, image) for image, _ in images]
    assert len({row for row, _ in places}) == 2
    assert len({column for _, column in places}) == 3
    assert places == sorted(places)
    for row, column in places:
        below = sheet[row + 20 : row + 36, column : column + 30]
        assert below.max() > 200  # ink
        assert below.min() < 40  # on the background


def test_other_texts_look_otherwise() -> None:
    image = cells(1)[0][0]
    assert (contact_sheet([(image, "layer:1")]) != contact_sheet([(image, "layer:7")])).any()


def test_a_long_label_is_broken_and_kept_within_the_sheet() -> None:
    image = cells(1)[0][0]
    one, long = contact_sheet([(image, "a")]), contact_sheet([(image, "--objective blocks.4.1 --octaves 3")])
    assert long.shape[1] == one.shape[1]
    assert long.shape[0] > one.shape[0] + 2 * 16


def test_a_sheet_that_no_program_opens_is_refused() -> None:
    image = np.zeros((4000, 4000, 3), np.uint8)
    with pytest.raises(OutputError, match=r"100 images of 4000x4000.*smaller"):
        contact_sheet([(image, "x")] * 100)
