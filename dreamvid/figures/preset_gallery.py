"""Draws presets as one image: looks on the same frame, or frames of each animation from the same colored noise."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
import torch

from dreamvid.camera.camera_dreamer import SILENCE, CameraDreamer
from dreamvid.camera.noise import noise_image
from dreamvid.figures.contact_sheet import contact_sheet
from dreamvid.image.tensors import to_pixels
from dreamvid.networks.network import share_networks
from dreamvid.settings import Preset, Settings, load_settings
from dreamvid.settings.size import Size

# Speeds are per second, so a low frame rate shows the same movement.
_RATE = Fraction(8)
_SECONDS = (0.5, 2.0, 4.5, 8.0)
_FRAME_SIZE = Size(height=150, width=200)


def at_height(preset: Preset, height: int, **changes: object) -> Settings:
    """Load a look for frames of `height` lines, with patterns as large relative to them as in a video."""
    lines = max(16, min(load_settings(preset.name).dream.dream_height, height))
    return load_settings(preset.name, dream_height=lines, **changes)


@share_networks()
def draw_looks(
    frame: npt.NDArray[np.uint8],
    presets: Sequence[Preset],
    *,
    dream: Callable[[npt.NDArray[np.uint8], Settings], npt.NDArray[np.uint8]],
    width: int = 320,
    on_preset: Callable[[str], None] | None = None,
) -> npt.NDArray[np.uint8]:
    """Dream a frame, uint8 (H, W, 3), once with each look; return the labelled sheet, uint8.

    dream: `dream_image`. width: of each image on the sheet, in pixels. The frame is reduced to it first and dreamed at
    its full height, so that the sheet shows patterns as large as they are in a video. on_preset: called with each name
    before it is drawn.
    """
    width = min(width, frame.shape[1])
    height = max(1, round(frame.shape[0] * width / frame.shape[1]))
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    cells = []
    for preset in presets:
        if on_preset is not None:
            on_preset(preset.name)
        cells.append((dream(small, at_height(preset, height)), preset.name))
    return contact_sheet(cells)


def draw_animations(
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
