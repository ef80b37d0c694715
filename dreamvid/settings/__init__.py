"""Every setting, said once: the model, the preset files, the one merge, the recipe."""

from dreamvid.settings.merge import merge
from dreamvid.settings.presets import (
    DEFAULT_PRESET,
    DEFAULT_ZOOM_PRESET,
    JOURNEY_FORMAT,
    Preset,
    find_preset,
    list_presets,
    load_settings,
    refuse_journey,
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
    "DEFAULT_PRESET",
    "DEFAULT_ZOOM_PRESET",
    "JOURNEY_FORMAT",
    "CameraSettings",
    "CoherenceSettings",
    "DreamSettings",
    "NetworkSettings",
    "Preset",
    "Recipe",
    "RenderSettings",
    "Settings",
    "VideoSettings",
    "find_preset",
    "list_presets",
    "load_settings",
    "merge",
    "refuse_journey",
    "write_recipe",
]
