"""Draws the zoom presets as an image: frames of each of them, from the same colored noise."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from dreamvid.camera.camera_dreamer import SILENCE, CameraDreamer
from dreamvid.camera.noise import noise_image
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.image.tensors import to_pixels
from dreamvid.settings import Preset, load_settings
from dreamvid.settings.size import Size

# Speeds are per second, so a low frame rate shows the same movement.
_RATE = Fraction(8)
_SECONDS = (0.5, 2.0, 4.5, 8.0)
_FRAME_SIZE = Size(height=150, width=200)


def draw_gallery(
    presets: Sequence[Preset], *, size: Size = _FRAME_SIZE, on_preset: Callable[[str], None] | None = None
) -> npt.NDArray[np.uint8]:
    """Draw a few frames of each zoom preset, a row for each, uint8 (H, W, 3). size: of a frame.

    Presets that listen to sound get a drum every second. on_preset: called with each name before it is drawn.
    """
    cells: list[tuple[npt.NDArray[np.uint8], str]] = []
    for preset in presets:
        if on_preset is not None:
            on_preset(preset.name)
        settings = load_settings(preset.name)
        moments = [round(seconds * _RATE) for seconds in _SECONDS]
        dreamer = CameraDreamer(
            settings,
            noise_image(size, settings.render.seed),
            fps=float(_RATE),
            signals=lambda frame: dict.fromkeys(SILENCE, 0.5 if frame % _RATE < 2 else 0.0),
        )
        with torch.no_grad():
            for index in range(moments[-1] + 1):
                image = dreamer.dream(index)
                if index in moments:
                    label = f"{preset.name}, {index / float(_RATE):g} s"
                    cells.append((to_pixels(image), label))
    return contact_sheet(cells, columns=len(_SECONDS))
