"""`dreamvid sheet`: compare looks on one frame."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import Progress

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import IMAGES, AllowPrivateAddresses, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console


@with_settings(("network", "dream", "render"), main=("objective",))
def sheet(
    source: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="Image (a file or an http(s) address), or VIDEO@TIME with a time such as 12.5 (seconds) or 1:30.",
        ),
    ],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.sheet.png", IMAGES)] = None,
    vary: Annotated[
        list[str] | None,
        Parameter(
            group=MAIN,
            metavar="NAME=A|B|…",
            negative=(),
            show_default="the presets of the same network",
            help="Setting and the values to compare: 'objective=blocks.3.2|blocks.4.1:7', 'objective=blocks.4.*' (all "
            "layers of that name), 'objective=blocks.4.1:*' (all channels), 'preset=animals|plants', 'step-size=…'. "
            "A value with objectives over time has ; between them: 'objective=blocks.3.2; blocks.4.1 @ 5s|blocks.5.1'. "
            "Give it twice for a table.",
        ),
    ] = None,
    width: Annotated[
        int, Parameter(name="--size", group=MAIN, metavar="INT", help="Width of each image on the sheet, in pixels.")
    ] = 320,
    preset: Annotated[
        str | None,
        Parameter(group=MAIN, metavar="NAME", show_default=DEFAULT_PRESET, help="Look that all images start from."),
    ] = None,
    overwrite: Overwrite = False,
    allow_private_addresses: AllowPrivateAddresses = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Compare looks on one frame. The label of each image has the flags that make it: try them with `image`."""
    load_settings(preset, **overrides)
    from dreamvid.image.fetch import file_stem, is_address
    from dreamvid.image.io import IMAGE_SUFFIXES, write_image
    from dreamvid.runtime.files import check_output_file
    from dreamvid.video.still import read_frame

    fetched = is_address(source)
    stem = file_stem(source) if fetched else Path(source).stem
    target = Path(f"{stem}.sheet.png" if output is None else output).expanduser()
    check_output_file(
        target, IMAGE_SUFFIXES, overwrite=overwrite, source=None if fetched else Path(source).expanduser()
    )
    frame = read_frame(source, allow_private_addresses=allow_private_addresses)
    from dreamvid.api import dream_image  # torch comes with it
    from dreamvid.figures.comparison import comparison_sheet

    given = {name: str(value) for name, value in {"preset": preset, **overrides}.items() if value is not None}
    terminal = console.stderr()
    with Progress(console=terminal, transient=True, disable=quiet or not terminal.is_terminal) as bar:
        task = bar.add_task("Dreaming", total=None)
        image = comparison_sheet(
            frame,
            given,
            vary or (),
            dream=dream_image,
            width=width,
            on_image=lambda done, total: bar.update(task, completed=done, total=total),
        )
    write_image(target, image)
    if not quiet:
        console.result_file(target)
