"""Dream on video and animation. The public names are imported when they are first used."""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# Where each public name is defined. Importing dreamvid stays instant: torch comes with the first name that needs it.
_HOMES = {
    "Camera": "dreamvid.camera.movement",
    "Dreamer": "dreamvid.api",
    "comparison_sheet": "dreamvid.api",
    "dream_frames": "dreamvid.api",
    "dream_image": "dreamvid.api",
    "dream_video": "dreamvid.api",
    "DreamvidError": "dreamvid.errors",
    "InputError": "dreamvid.errors",
    "Settings": "dreamvid.settings",
    "load_settings": "dreamvid.settings",
    "list_presets": "dreamvid.settings",
    "feature_sheet": "dreamvid.api",
    "progress_bar": "dreamvid.ui.notebook",
    "read_frame": "dreamvid.api",
    "show": "dreamvid.ui.notebook",
    "zoom_frames": "dreamvid.api",
    "zoom_video": "dreamvid.api",
    "tune_process": "dreamvid.runtime.process",
    "Score": "dreamvid.api",
    "score": "dreamvid.api",
    "score_frames": "dreamvid.api",
}

if TYPE_CHECKING:
    from dreamvid.api import (
        Dreamer,
        Score,
        comparison_sheet,
        dream_frames,
        dream_image,
        dream_video,
        feature_sheet,
        read_frame,
        score,
        score_frames,
        zoom_frames,
        zoom_video,
    )
    from dreamvid.camera.movement import Camera
    from dreamvid.errors import DreamvidError, InputError
    from dreamvid.runtime.process import tune_process
    from dreamvid.settings import Settings, list_presets, load_settings
    from dreamvid.ui.notebook import progress_bar, show

__all__ = [
    "Camera",
    "Dreamer",
    "DreamvidError",
    "InputError",
    "Score",
    "Settings",
    "__version__",
    "comparison_sheet",
    "dream_frames",
    "dream_image",
    "dream_video",
    "feature_sheet",
    "list_presets",
    "load_settings",
    "progress_bar",
    "read_frame",
    "score",
    "score_frames",
    "show",
    "tune_process",
    "zoom_frames",
    "zoom_video",
]


# Names of version 0.1 and their present names.
_RENAMED = {"read_still": "read_frame"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        from dreamvid.settings.renamed import tell_once

        tell_once(f"dreamvid.{name} is called dreamvid.{_RENAMED[name]} now.")
        name = _RENAMED[name]
    if name not in _HOMES:
        raise AttributeError(f"module 'dreamvid' has no attribute {name!r}")
    with warnings.catch_warnings():
        # In a notebook tqdm, which a dependency imports, asks for widgets that nothing here needs.
        warnings.filterwarnings("ignore", message="IProgress not found")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
