"""`dreamvid image`: dream on a single image."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import IMAGES, AllowPrivateAddresses, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.errors import InputError
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console


@with_settings(("network", "dream", "render"), main=("objective", "octaves", "iterations", "dream_height"))
def image(
    source: Annotated[str, Parameter(group=MAIN, help="Image to dream on: a file, or an http(s) address.")],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.png", IMAGES)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_PRESET)] = None,
    snapshot_every: Annotated[
        int | None,
        Parameter(
            group=MAIN,
            metavar="STEPS",
            help="Keep a picture of every so many ascent steps, NAME.step-0100.png, and print the objective's value.",
        ),
    ] = None,
    growth_film: Annotated[
        str | None,
        Parameter(group=MAIN, metavar="PATH", help="Also write all steps as a video, 25 of them a second."),
    ] = None,
    overwrite: Overwrite = False,
    allow_private_addresses: AllowPrivateAddresses = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Dream on a single image."""
    settings = load_settings(preset, **overrides)
    from dreamvid.image.fetch import fetch_image, file_stem, is_address
    from dreamvid.image.io import IMAGE_SUFFIXES, check_image_size, read_image, write_image
    from dreamvid.runtime.files import check_output_file

    fetched = is_address(source)
    stem = file_stem(source) if fetched else Path(source).stem
    target = Path(f"{stem}.dream.png" if output is None else output).expanduser()
    origin = Path(source).expanduser()
    check_output_file(target, IMAGE_SUFFIXES, overwrite=overwrite, source=None if fetched else origin)
    image = fetch_image(source, allow_private_addresses=allow_private_addresses) if fetched else read_image(origin)
    check_image_size(target, image.shape[1], image.shape[0])
    if snapshot_every is not None or growth_film is not None:
        from dreamvid.figures.growth import GrowthRecord, grow_image

        if snapshot_every is not None and snapshot_every < 1:
            raise InputError(f"`snapshot_every` got {snapshot_every}: allowed is a whole number of steps from 1.")
        if settings.dream.mask is not None:
            raise InputError("`snapshot_every` and `growth_film` show a dream without a mask: leave `mask` out.")
        film = None if growth_film is None else Path(growth_film).expanduser()
        if film is not None:
            check_output_file(film, (film.suffix,), overwrite=overwrite, source=None if fetched else origin)
        every = 1 if film is not None else snapshot_every or 1
        with GrowthRecord(target, snapshot_every, film, (lambda line: None) if quiet else console.result) as record:
            dreamed: Any = grow_image(image, settings, record, every=every)
    else:
        from dreamvid.api import dream_image

        dreamed = dream_image(image, settings)
    write_image(target, dreamed)
    if not quiet:
        console.result_file(target)
