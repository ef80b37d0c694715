"""Define every setting once: the model, the preset files, the merge and the recipe."""

from dreamvid.settings.merge import merge
from dreamvid.settings.presets import (
    DEFAULT_ANIMATION_FORMAT,
    DEFAULT_PRESET,
    DEFAULT_ZOOM_PRESET,
    Preset,
    as_settings,
    find_preset,
    list_presets,
    load_settings,
    reject_zoom_preset,
)
from dreamvid.settings.recipe import Recipe, write_recipe
from dreamvid.settings.schema import (
    CameraSettings,
    CoherenceSettings,
    DreamSettings,
    NetworkSettings,
    RenderSettings,
    Settings,
    VideoSettings,
)

__all__ = [
    "DEFAULT_ANIMATION_FORMAT",
    "DEFAULT_PRESET",
    "DEFAULT_ZOOM_PRESET",
    "CameraSettings",
    "CoherenceSettings",
    "DreamSettings",
    "NetworkSettings",
    "Preset",
    "Recipe",
    "RenderSettings",
    "Settings",
    "VideoSettings",
    "as_settings",
    "find_preset",
    "list_presets",
    "load_settings",
    "merge",
    "reject_zoom_preset",
    "write_recipe",
]
