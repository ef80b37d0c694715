"""`dreamvid presets`: list the presets and show what they are made of."""

from pathlib import Path
from typing import Annotated

import tomli_w
from cyclopts import App, Parameter

from dreamvid.errors import SettingsError
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, Preset, find_preset, list_presets, load_settings
from dreamvid.settings.recipe import GROUPS_OF_KIND, used_tables
from dreamvid.settings.schema import Settings
from dreamvid.ui import console

presets = App(
    "presets",
    "List the presets.",
    help_epilogue="Use one:  dreamvid run clip.mp4 --preset NAME, or for a zoom preset  dreamvid zoom --preset NAME",
)


@presets.default
def table() -> None:
    """List the shipped presets."""
    rows = (
        (
            preset.name,
            preset.kind + (", default" if preset.name in (DEFAULT_PRESET, DEFAULT_ZOOM_PRESET) else ""),
            preset.description,
        )
        for preset in list_presets()
    )
    console.print_table([("preset", "left"), ("for", "left"), ("description", "left")], rows, wrap_last=True)


@presets.command
def show(
    name: Annotated[str, Parameter(help="Name of a shipped preset, or a .toml file.")],
    /,
    *,
    plot: Annotated[str | None, Parameter(metavar="PATH", help="Draw the schedules over time into this image.")] = None,
) -> None:
    """Print every setting of a preset as TOML, which is a preset file itself."""
    preset, settings = find_preset(name), load_settings(name)
    if plot is not None:
        _plot(settings, Path(plot).expanduser(), name)
        return
    head = {"description": preset.description, "kind": preset.kind}
    console.result(tomli_w.dumps({**head, **used_tables(settings, preset.kind)}).rstrip())
    unset = [
        f"{group}.{leaf}"
        for group in GROUPS_OF_KIND[preset.kind]
        for leaf, value in getattr(settings, group)
        if value is None
    ]
    if unset:
        console.result(f"\n# Not set: {', '.join(unset)}")


@presets.command
def sheet(
    *names: Annotated[str, Parameter(help="Zoom presets to draw; by default all.")],
    output: Annotated[str, Parameter(alias="-o", metavar="PATH", help="Image to write.")] = "presets.png",
    size: Annotated[str, Parameter(metavar="WIDTHxHEIGHT", help="Size of a frame, in pixels.")] = "200x150",
    overwrite: Annotated[bool, Parameter(negative=(), show_default=False, help="Replace the image.")] = False,
) -> None:
    """Draw the gallery: a few frames of each zoom preset, as one image."""
    from dreamvid.image.io import IMAGE_SUFFIXES
    from dreamvid.runtime.files import check_output_file

    target = Path(output).expanduser()
    check_output_file(target, IMAGE_SUFFIXES, overwrite=overwrite)
    chosen = [_zoom_preset(name) for name in names] or list_presets("zoom")
    pixels = load_settings(size=size).video.size_pixels()
    assert pixels is not None
    from dreamvid.figures.preset_gallery import draw_gallery
    from dreamvid.image.io import write_image

    write_image(target, draw_gallery(chosen, size=pixels, on_preset=lambda name: console.say(f"Drawing {name}")))
    console.result_file(target)


def _zoom_preset(name: str) -> Preset:
    preset = find_preset(name)
    if preset.kind != "zoom":
        allowed = ", ".join(zoom.name for zoom in list_presets("zoom"))
        raise SettingsError(f"The preset {name!r} is for videos, not for a zoom. Allowed: {allowed}.")
    return preset


def _plot(settings: Settings, target: Path, name: str) -> None:
    from dreamvid.figures.charts import plot_schedules
    from dreamvid.image.io import IMAGE_SUFFIXES
    from dreamvid.runtime.files import check_output_file

    check_output_file(target, IMAGE_SUFFIXES, overwrite=True)
    if not plot_schedules(settings, target):
        raise SettingsError(f"Nothing in {name!r} changes over time: there is no schedule to draw.")
    console.result_file(target)
