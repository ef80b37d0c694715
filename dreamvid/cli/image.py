"""`dreamvid image`: a picture in, its dream out."""

import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli import console
from dreamvid.cli.flags import JOB, MAIN, with_settings
from dreamvid.errors import OutputError
from dreamvid.settings import DEFAULT_PRESET, load_settings


@with_settings(("network", "dream", "render"), main=("objective",))
def image(
    source: Annotated[str, Parameter(group=MAIN, help="Picture to dream on.")],
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            group=MAIN,
            metavar="PATH",
            show_default="NAME-OF-SOURCE.dream.png in the current folder",
            help="Result: .png .jpg .webp .bmp .tif.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            metavar="NAME",
            show_default=DEFAULT_PRESET,
            help="Look to start from: a name from `dreamvid presets`, or a .toml file. Flags go over it.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        Parameter(group=MAIN, negative=(), show_default=False, help="Replace the output if it is there already."),
    ] = False,
    quiet: Annotated[
        bool,
        Parameter(alias="-q", group=JOB, negative=(), show_default=False, help="Print nothing but errors."),
    ] = False,
    **overrides: str | None,
) -> None:
    """Dream on a single picture."""
    settings = load_settings(preset, **overrides)
    if quiet:
        warnings.simplefilter("ignore")
    from dreamvid.video.image import IMAGE_SUFFIXES, read_image, write_image

    target = Path(f"{Path(source).stem}.dream.png" if output is None else output).expanduser()
    origin = Path(source).expanduser()
    _check_target(target, origin, overwrite, IMAGE_SUFFIXES)
    picture = read_image(origin)
    from dreamvid.api import dream_image

    write_image(target, dream_image(picture, settings))
    if not quiet:
        console.result(str(target))


def _check_target(target: Path, origin: Path, overwrite: bool, suffixes: tuple[str, ...]) -> None:
    """Refuse before the work what cannot be written after it."""
    if target.suffix.lower() not in suffixes:
        raise OutputError(
            f"cannot write a picture with the suffix {target.suffix or '(none)'!r}: {target}. "
            f"Allowed: {', '.join(suffixes)}."
        )
    if not target.parent.is_dir():
        raise OutputError(
            f"the folder for the picture does not exist: {target.parent}. Make it first: mkdir -p {target.parent}"
        )
    if target.is_dir():
        raise OutputError(f"the output {target} is a folder; give the name of a picture: {target / 'dream.png'}")
    if target.exists() and origin.exists() and target.samefile(origin):
        raise OutputError(f"the output is the source itself: {origin}. Give another output with -o.")
    if target.exists() and not overwrite:
        raise OutputError(
            f"the output exists: {target}. Add --overwrite to replace it, or give another output with -o."
        )
