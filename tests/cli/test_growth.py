"""`dreamvid image` with snapshots and a film of the ascent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from renders import frames_of

from dreamvid import dream_image, load_settings
from dreamvid.image.io import read_image, write_image

SMALL = {"objective": "blocks.1.0", "iterations": 3, "octaves": 2, "dream_height": 64, "device": "cpu"}


def test_the_command_writes_snapshots_and_a_film(dreamvid: Callable[..., Any], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, np.random.default_rng(0).integers(80, 180, (64, 80, 3), dtype=np.uint8))
    flags = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    done = dreamvid(
        "image", str(photo), "-o", "out.png", *flags, "--snapshot-every", "2", "--growth-film", "growth.mkv"
    )
    assert done.code == 0, done.err
    assert "step 2: objective" in done.out
    assert {f"out.step-000{number}.png" for number in (2, 4, 6)} < {path.name for path in tmp_path.iterdir()}
    assert frames_of(tmp_path / "growth.mkv").shape == (6, 64, 80, 3)
    assert (read_image(tmp_path / "out.png") == dream_image(read_image(photo), load_settings(None, **SMALL))).all()
    done = dreamvid("image", str(photo), "-o", "other.png", *flags, "--snapshot-every", "0")
    assert done.code == 2
    assert "snapshot-every" in done.err
