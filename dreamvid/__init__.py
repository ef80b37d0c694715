"""Dreams on video and animation: the public names, loaded when they are first used."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives. Importing dreamvid stays instant: torch comes with the first name that needs it.
_HOMES = {
    "Camera": "dreamvid.motion.camera",
    "Dreamer": "dreamvid.api",
    "dream_frames": "dreamvid.api",
    "dream_image": "dreamvid.api",
    "dream_video": "dreamvid.api",
    "DreamvidError": "dreamvid.errors",
    "InputError": "dreamvid.errors",
    "Settings": "dreamvid.settings",
    "load_settings": "dreamvid.settings",
    "list_presets": "dreamvid.settings",
    "zoom_frames": "dreamvid.api",
    "zoom_video": "dreamvid.api",
    "Score": "dreamvid.api",
    "score": "dreamvid.api",
    "score_frames": "dreamvid.api",
}

if TYPE_CHECKING:
    from dreamvid.api import (
        Dreamer,
        Score,
        dream_frames,
        dream_image,
        dream_video,
        score,
        score_frames,
        zoom_frames,
        zoom_video,
    )
    from dreamvid.errors import DreamvidError, InputError
    from dreamvid.motion.camera import Camera
    from dreamvid.settings import Settings, list_presets, load_settings

__all__ = [
    "Camera",
    "Dreamer",
    "DreamvidError",
    "InputError",
    "Score",
    "Settings",
    "__version__",
    "dream_frames",
    "dream_image",
    "dream_video",
    "list_presets",
    "load_settings",
    "score",
    "score_frames",
    "zoom_frames",
    "zoom_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dreamvid' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
