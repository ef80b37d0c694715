"""`dreamvid features`: show what the features of a network look for."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.progress import Progress

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console


@with_settings(("network", "render"), main=("model", "seed"))
def features(
    target: Annotated[
        str,
        Parameter(
            group=MAIN,
            metavar="TARGET",
            help="LAYER for all its channels, LAYER:139 or LAYER:0-19 for some of them, or a sum such as "
            "'LAYER:65 + LAYER:139'.",
        ),
    ],
    /,
    *more: Annotated[str, Parameter(group=MAIN, metavar="TARGET", help="More targets on the same sheet.")],
    output: Annotated[
        str | None,
        output_flag(
            "TARGET.png",
            "Result: .png .jpg .webp .bmp .tif; several images are a sheet with labels. With .html it is a page to "
            "zoom and search.",
        ),
    ] = None,
    method: Annotated[
        Literal["naive", "multiscale", "laplacian", "fourier", "maco"],
        Parameter(
            group=MAIN,
            help="Method: three of the TensorFlow notebook (steps at one size, at growing sizes, or at growing sizes "
            "with every scale equalized); the image's spectrum (Olah et al. 2017); or its phase alone (Fel et al. "
            "2023).",
        ),
    ] = "laplacian",
    size: Annotated[int, Parameter(group=MAIN, metavar="INT", help="Side of each image, in pixels.")] = 224,
    iterations: Annotated[
        int | None,
        Parameter(
            group=MAIN,
            metavar="INT",
            show_default="20 for naive, 10 at each of 3 sizes, 128 for fourier and maco",
            help="Ascent steps at each size.",
        ),
    ] = None,
    diversity: Annotated[
        int,
        Parameter(
            group=MAIN,
            metavar="INT",
            help="Images of each feature, each unlike the others, with fourier and maco.",
        ),
    ] = 1,
    preset: Annotated[
        str | None,
        Parameter(
            group=MAIN, metavar="NAME", show_default=DEFAULT_PRESET, help="Preset to take the network and seed from."
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Show what features look for, as images grown from gray noise."""
    settings = load_settings(preset, **overrides)
    from dreamvid.image.io import IMAGE_SUFFIXES, write_image
    from dreamvid.runtime.files import check_output_file, part_path, replace_atomically

    target_file = Path(f"{_file_name(target)}.png" if output is None else output).expanduser()
    check_output_file(target_file, (*IMAGE_SUFFIXES, ".html"), overwrite=overwrite)
    from dreamvid.figures.feature_page import feature_page
    from dreamvid.figures.feature_visualization import feature_images, feature_sheet  # torch comes with it

    terminal = console.stderr()
    with Progress(console=terminal, transient=True, disable=quiet or not terminal.is_terminal) as bar:
        task = bar.add_task("Growing", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        options: dict[str, Any] = {"size": size, "iterations": iterations, "diversity": diversity, "on_image": show}
        if target_file.suffix.lower() == ".html":
            cells = feature_images((target, *more), settings, method=method, **options)
            title = f"{', '.join((target, *more))} of {settings.network.model}"
            part = part_path(target_file)
            part.write_text(feature_page(cells, title), encoding="utf-8")
            replace_atomically(part, target_file)
        else:
            write_image(target_file, feature_sheet((target, *more), settings, method=method, **options))
    if not quiet:
        console.result_file(target_file)


def _file_name(target: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", target).strip("-") or "features"
