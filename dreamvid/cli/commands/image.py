"""`dreamvid image`: dream on a single image."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from dreamvid.cli.batch import exit_code, retry_command, summarize, tell
from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import IMAGES, AllowPrivateAddresses, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.errors import InputError
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.api import Dreamer
    from dreamvid.render.batch.items import Item
    from dreamvid.settings import Settings


@with_settings(("network", "dream", "render"), main=("objective", "octaves", "iterations", "dream_height"))
def image(
    source: Annotated[str, Parameter(group=MAIN, help="Image to dream on: a file, or an http(s) address.")],
    /,
    *more: Annotated[
        str,
        Parameter(group=MAIN, metavar="SOURCE", help="More images; a folder or a pattern stands for the images in it."),
    ],
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
) -> int:
    """Dream on a single image, or on several, one after the other."""
    settings = load_settings(preset, **overrides)
    from dreamvid.render.batch.items import Item, place_outputs
    from dreamvid.render.batch.sources import expand_images

    expanded = expand_images((source, *more))
    if snapshot_every is not None and snapshot_every < 1:
        raise InputError(f"`snapshot_every` got {snapshot_every}: allowed is a whole number of steps from 1.")
    if settings.dream.mask is not None and (snapshot_every is not None or growth_film is not None):
        raise InputError("`snapshot_every` and `growth_film` show a dream without a mask: leave `mask` out.")
    if growth_film is not None and expanded.several:
        raise InputError("`growth_film` is for one image: dream on the images one by one.")
    dreams = ImageDreams(
        overwrite=overwrite,
        allow_private_addresses=allow_private_addresses,
        snapshot_every=snapshot_every,
        growth_film=growth_film,
        quiet=quiet,
    )
    if not expanded.several:
        item = Item(source, default_output(source) if output is None else output, settings)
        dreams.dream(item)
        if not quiet:
            console.result_file(Path(item.output).expanduser())
        return 0
    return _several(
        place_outputs(expanded.sources, output, settings, default_output),
        dreams,
        quiet=quiet,
        retry=retry_command(
            "image",
            output,
            preset,
            (
                {
                    "overwrite": overwrite or None,
                    "allow_private_addresses": allow_private_addresses or None,
                    "snapshot_every": snapshot_every,
                },
            ),
            overrides,
        ),
    )


class ImageDreams:
    """Dreams on images with one network, which is loaded when the first image has been read."""

    def __init__(
        self,
        *,
        overwrite: bool,
        allow_private_addresses: bool,
        snapshot_every: int | None = None,
        growth_film: str | None = None,
        quiet: bool = False,
    ) -> None:
        self.overwrites, self._private, self._quiet = overwrite, allow_private_addresses, quiet
        self._snapshot_every = snapshot_every
        self._film = None if growth_film is None else Path(growth_film).expanduser()
        self._dreamer: Dreamer | None = None

    def dream(self, item: "Item") -> None:
        """Dream on an image and write the result. Raises DreamvidError."""
        from dreamvid.image.fetch import fetch_image, is_address
        from dreamvid.image.io import IMAGE_SUFFIXES, check_image_size, read_image, write_image
        from dreamvid.runtime.files import check_output_file

        source, target = item.source, Path(item.output).expanduser()
        fetched, origin = is_address(source), Path(source).expanduser()
        check_output_file(target, IMAGE_SUFFIXES, overwrite=self.overwrites, source=None if fetched else origin)
        image = fetch_image(source, allow_private_addresses=self._private) if fetched else read_image(origin)
        check_image_size(target, image.shape[1], image.shape[0])
        if self._film is not None:
            suffixes, read = (self._film.suffix,), None if fetched else origin
            check_output_file(self._film, suffixes, overwrite=self.overwrites, source=read)
        if self._film is not None or self._snapshot_every is not None:
            write_image(target, self._grow(image, item.settings, target))
            return
        from dreamvid.api import Dreamer

        if self._dreamer is None:
            self._dreamer = Dreamer(item.settings)
        self._dreamer.reset()
        write_image(target, self._dreamer.dream(image))

    def _grow(self, image: Any, settings: "Settings", target: Path) -> Any:
        """Dream on an image and keep its steps."""
        from dreamvid.figures.growth import GrowthRecord, grow_image

        every = 1 if self._film is not None else self._snapshot_every or 1
        tell = (lambda line: None) if self._quiet else console.result
        with GrowthRecord(target, self._snapshot_every, self._film, tell) as record:
            return grow_image(image, settings, record, every=every)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder."""
    from dreamvid.image.fetch import file_stem, is_address

    return f"{file_stem(source) if is_address(source) else Path(source).stem}.dream.png"


def _several(
    items: "Sequence[Item]", dreams: ImageDreams, *, quiet: bool, retry: "Callable[[Sequence[Item]], str]"
) -> int:
    from dreamvid.render.batch.items import make_folders
    from dreamvid.render.batch.run import output_exists, run_batch

    make_folders(items)

    def render(item: "Item", cancel: threading.Event) -> int:
        dreams.dream(item)
        if not quiet:
            console.result_file(item.output)
        return 1

    outcomes, interrupted = run_batch(
        items,
        render,
        lambda item: not dreams.overwrites and output_exists(item),
        lambda outcome: tell(outcome, None, quiet=quiet),
    )
    summarize(outcomes, None, quiet=quiet)
    if interrupted is not None:
        raise interrupted
    return exit_code(outcomes, retry)
