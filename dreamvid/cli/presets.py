"""`dreamvid presets`: what looks there are, and what they are made of."""

from typing import Annotated

import tomli_w
from cyclopts import App, Parameter

from dreamvid.cli import console
from dreamvid.settings import DEFAULT_PRESET, find_preset, list_presets, load_settings

presets = App("presets", "List the presets.", help_epilogue="Use one:  dreamvid run clip.mp4 --preset NAME")


@presets.default
def table() -> None:
    """List the shipped presets."""
    rows = (
        (
            preset.name,
            preset.kind + (", default" if preset.name == DEFAULT_PRESET else ""),
            preset.description,
        )
        for preset in list_presets()
    )
    console.print_table([("preset", "left"), ("for", "left"), ("description", "left")], rows, wrap_last=True)


@presets.command
def show(
    name: Annotated[str, Parameter(help="Name of a shipped preset, or a .toml file.")],
    /,
) -> None:
    """Print every setting of a preset as TOML: a file with it is a preset again."""
    preset, settings = find_preset(name), load_settings(name)
    head = {"description": preset.description, "kind": preset.kind}
    tables = {name: table for name, table in settings.model_dump(exclude_none=True).items() if table}
    console.result(tomli_w.dumps({**head, **tables}).rstrip())
    unset = [
        f"{group}.{leaf}"
        for group, leaves in settings.model_dump().items()
        for leaf, value in leaves.items()
        if value is None
    ]
    if unset:
        console.result(f"\n# Not set: {', '.join(unset)}")
