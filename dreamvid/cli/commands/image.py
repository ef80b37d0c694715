"""`dreamvid image`: dream on a single image."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import IMAGES, AllowPrivateAddresses, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console


@with_settings(("network", "dream", "render"), main=("objective", "octaves", "iterations", "dream_height"))
def image(
    source: Annotated[str, Parameter(group=MAIN, help="Image to dream on: a file, or an http(s) address.")],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.png", IMAGES)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_PRESET)] = None,
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
    from dreamvid.api import dream_image

    write_image(target, dream_image(image, settings))
    if not quiet:
        console.result_file(target)
