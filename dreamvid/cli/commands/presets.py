"""`dreamvid presets`: list the presets and show what they are made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tomli_w
from cyclopts import App, Parameter

from dreamvid.errors import InputError, SettingsError, nearest
from dreamvid.settings import DEFAULT_PRESET, DEFAULT_ZOOM_PRESET, Preset, find_preset, list_presets, load_settings
from dreamvid.settings.presets import TAGS, presets_tagged
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
    """List the shipped presets, grouped by what they look like."""
    looks = list_presets("run")
    groups = [(tag, [look for look in looks if look.tags[:1] == (tag,)]) for tag in TAGS]
    groups += [("notebooks", [look for look in looks if not look.tags]), ("animations", list_presets("zoom"))]
    rows = (
        (
            title if preset is group[0] else "",
            preset.name + (" (default)" if preset.name in (DEFAULT_PRESET, DEFAULT_ZOOM_PRESET) else ""),
            ", ".join(f"#{tag}" for tag in preset.tags),
            preset.description,
        )
        for title, group in groups
        for preset in group
    )
    columns = [("", "left"), ("preset", "left"), ("tags", "left"), ("description", "left")]
    console.print_table(columns, rows, wrap_last=True)  # type: ignore[arg-type]
    console.result("\nSee them on a frame of yours:  dreamvid presets sheet clip.mp4@2.5 -o looks.png")


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
    *what: Annotated[
        str,
        Parameter(
            help="Image or VIDEO@TIME to draw looks on (by default demo@1), and which ones: names of presets, or tags "
            "such as #painting; by default all looks. Names of animations draw a few frames of each."
        ),
    ],
    animations: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Draw all animations instead of looks.")
    ] = False,
    output: Annotated[str, Parameter(alias="-o", metavar="PATH", help="Image to write.")] = "presets.png",
    width: Annotated[int, Parameter(help="Width of each look's image, in pixels.")] = 320,
    size: Annotated[str, Parameter(metavar="WIDTHxHEIGHT", help="Size of each animation's frames.")] = "200x150",
    overwrite: Annotated[bool, Parameter(negative=(), show_default=False, help="Replace the image.")] = False,
) -> None:
    """Draw the gallery of presets as one image: looks on a frame of yours, or frames of animations."""
    from dreamvid.image.io import IMAGE_SUFFIXES
    from dreamvid.runtime.files import check_output_file

    target = Path(output).expanduser()
    check_output_file(target, IMAGE_SUFFIXES, overwrite=overwrite)
    chosen, sources = _chosen(what)
    if animations:
        chosen += list_presets("zoom")
    kinds = {preset.kind for preset in chosen} or {"run"}
    if len(kinds) > 1 or ("zoom" in kinds and sources):
        raise InputError(
            "Looks are drawn on a frame, and animations start from noise: draw them on sheets of their own."
        )
    pixels = load_settings(size=size).video.size_pixels()
    assert pixels is not None
    from dreamvid.figures.contact_sheet import check_width

    check_width(width)
    from dreamvid.api import dream_image, read_frame
    from dreamvid.figures.preset_gallery import draw_animations, draw_looks
    from dreamvid.image.io import write_image

    def tell(name: str) -> None:
        console.say(f"Drawing {name}")

    if "zoom" in kinds:
        image = draw_animations(chosen, size=pixels, on_preset=tell)
    else:
        frame = read_frame(sources[0] if sources else "demo@1")
        looks = chosen or [look for look in list_presets("run") if look.tags]
        image = draw_looks(frame, looks, dream=dream_image, width=width, on_preset=tell)
    write_image(target, image)
    console.result_file(target)


def _chosen(words: Sequence[str]) -> tuple[list[Preset], list[str]]:
    """Divide words into presets (by name, file or tag) and sources. Raises SettingsError, InputError."""
    names = {preset.name for preset in list_presets()}
    chosen: list[Preset] = []
    sources: list[str] = []
    for word in words:
        if word.startswith("#"):
            chosen += presets_tagged(word.removeprefix("#"))
        elif word in names or word.endswith(".toml"):
            chosen.append(find_preset(word))
        else:
            sources.append(word)
    if len(sources) > 1:
        raise InputError(
            f"One frame is drawn on, got {len(sources)}: {', '.join(sources)}.{nearest(sources[-1], names)} "
            "List the presets: dreamvid presets"
        )
    return list({preset.name: preset for preset in chosen}.values()), sources


def _plot(settings: Settings, target: Path, name: str) -> None:
    from dreamvid.figures.charts import plot_schedules
    from dreamvid.image.io import IMAGE_SUFFIXES
    from dreamvid.runtime.files import check_output_file

    check_output_file(target, IMAGE_SUFFIXES, overwrite=True)
    if not plot_schedules(settings, target):
        raise SettingsError(f"Nothing in {name!r} changes over time: there is no schedule to draw.")
    console.result_file(target)
