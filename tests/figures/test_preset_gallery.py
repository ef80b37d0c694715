"""The gallery of looks: every shipped one renders, and no two look alike."""

import itertools

import cv2
import numpy as np
import pytest

from dreamvid import dream_image, read_frame
from dreamvid.cli import main
from dreamvid.figures.comparison import comparison_sheet
from dreamvid.figures.preset_gallery import draw_looks
from dreamvid.networks.network import share_networks
from dreamvid.settings import Settings, list_presets, merge
from dreamvid.settings.presets import presets_tagged

FRAME = cv2.resize(read_frame("demo@1"), (96, 72), interpolation=cv2.INTER_AREA)


def test_every_look_changes_the_frame_in_its_own_way() -> None:
    looks = [look for look in list_presets("run") if look.tags]
    drawn: dict[str, np.ndarray] = {}

    def dream(frame: np.ndarray, settings: Settings) -> np.ndarray:
        image = dream_image(frame, merge(settings, {"dream": {"dream_height": 96}}))  # by default it is enlarged
        drawn[looks[len(drawn)].name] = image.astype(float)
        return image

    with share_networks():
        sheet = draw_looks(FRAME, looks, dream=dream, width=96)
    assert sheet.shape[0] * sheet.shape[1] > len(looks) * 96 * 72
    assert len(drawn) == len(looks)
    for name, image in drawn.items():
        assert np.abs(image - FRAME).mean() > 4, name
    for (one, first), (other, second) in itertools.combinations(drawn.items(), 2):
        assert np.abs(first - second).mean() > 8, (one, other)


def test_a_tag_stands_for_its_looks_on_a_sheet() -> None:
    seen: list[Settings] = []

    def note(frame: np.ndarray, settings: Settings) -> np.ndarray:
        seen.append(settings)
        return frame

    comparison_sheet(FRAME, {}, ["preset=#painting|animals"], dream=note, width=32)
    assert len(seen) == len(presets_tagged("painting")) + 1


def test_the_command_draws_looks_on_a_frame(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "looks.png"
    assert main(["presets", "sheet", "demo@1", "lace", "#subtle", "-o", str(target), "--width", "32"]) == 0
    assert "Drawing lace" in capsys.readouterr().err
    assert cv2.imread(str(target)) is not None
