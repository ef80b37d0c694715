"""`dreamvid image`: a picture in, its dream out."""

import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli import console
from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import PICTURES, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.settings import DEFAULT_PRESET, load_settings


@with_settings(("network", "dream", "render"), main=("objective",))
def image(
    source: Annotated[str, Parameter(group=MAIN, help="Picture to dream on.")],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.png", PICTURES)] = None,
    preset: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            metavar="NAME",
            show_default=DEFAULT_PRESET,
            help="Look to start from: a name from `dreamvid presets`, or a .toml file. Flags go over it.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Dream on a single picture."""
    settings = load_settings(preset, **overrides)
    if quiet:
        warnings.simplefilter("ignore")
    from dreamvid.cli.output import check_picture
    from dreamvid.video.image import read_image, write_image

    target = Path(f"{Path(source).stem}.dream.png" if output is None else output).expanduser()
    origin = Path(source).expanduser()
    check_picture(target, overwrite, origin)
    picture = read_image(origin)
    from dreamvid.api import dream_image

    write_image(target, dream_image(picture, settings))
    if not quiet:
        console.result(str(target))
