"""Every setting, said once: the model, the preset files, the one merge, the recipe."""

from dreamvid.settings.merge import merge
from dreamvid.settings.model import (
    CoherenceSettings,
    DreamSettings,
    NetworkSettings,
    RenderSettings,
    Settings,
    VideoSettings,
)
from dreamvid.settings.presets import DEFAULT_PRESET, Preset, find_preset, list_presets, load_settings
from dreamvid.settings.recipe import Recipe, write_recipe

__all__ = [
    "DEFAULT_PRESET",
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
    "write_recipe",
]
