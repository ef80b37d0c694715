"""An ascent as snapshots and as a film."""

from pathlib import Path

import numpy as np
import pytest

from dreamvid import dream_image, load_settings
from dreamvid.figures.growth import GrowthStep, grow_image
from dreamvid.image.io import read_image, write_image

SMALL = {"objective": "blocks.1.0", "iterations": 3, "octaves": 2, "dream_height": 64, "device": "cpu"}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    write_image(tmp_path / "photo.png", np.random.default_rng(0).integers(80, 180, (64, 80, 3), dtype=np.uint8))
    return tmp_path / "photo.png"


def test_the_last_step_is_the_dream_and_the_objective_rises(photo: Path) -> None:
    settings, image, steps = load_settings(None, **SMALL), read_image(photo), list[GrowthStep]()
    dreamed = grow_image(image, settings, steps.append, every=4)
    assert [step.number for step in steps] == [4, 6]
    assert (dreamed == dream_image(image, settings)).all()
    assert np.abs(steps[-1].pixels.astype(int) - dreamed).max() <= 1
    assert steps[1].objective > steps[0].objective > 0
