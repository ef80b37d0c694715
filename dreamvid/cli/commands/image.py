"""`dreamvid image`: dream on a single image."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from dreamvid.cli.batch import exit_code, retry_command, show_plan, summarize, tell
from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import IMAGES, AllowPrivateAddresses, DryRun, JobsFile, Overwrite, Quiet
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.errors import DreamvidError, InputError, SourceError
from dreamvid.settings import DEFAULT_PRESET, load_settings
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.api import Dreamer
    from dreamvid.render.batch.estimate import Estimate
    from dreamvid.render.batch.items import Item
    from dreamvid.settings import Settings


@with_settings(("network", "dream", "render"), main=("objective", "octaves", "iterations", "dream_height"))
def image(
    *sources: Annotated[
        str,
        Parameter(
            name="SOURCE",
            group=MAIN,
            help="Image to dream on: a file, or an http(s) address. Several, or a folder or pattern of images, are "
            "dreamed on one after the other.",
        ),
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
    jobs: JobsFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    **overrides: str | None,
) -> int:
    """Dream on a single image, or on several, one after the other."""
    settings = load_settings(preset, **overrides)
    if bool(sources) == (jobs is not None):
        raise SourceError(
            "Give SOURCE, such as dreamvid image photo.jpg, or --jobs FILE.toml, not both. See: dreamvid image --help"
        )
    from dreamvid.render.batch.items import Item, place_outputs, read_jobs
    from dreamvid.render.batch.sources import expand_images

    if jobs is not None:
        items = read_jobs(jobs, preset, output, default_output, **overrides)
        several = True
    else:
        expanded = expand_images(sources)
        several = expanded.several
        if several:
            items = place_outputs(expanded.sources, output, settings, default_output)
        else:
            (source,) = expanded.sources
            items = [Item(source, default_output(source) if output is None else output, settings)]
    if snapshot_every is not None and snapshot_every < 1:
        raise InputError(f"`snapshot_every` got {snapshot_every}: allowed is a whole number of steps from 1.")
    if any(item.settings.dream.mask is not None for item in items) and (
        snapshot_every is not None or growth_film is not None
    ):
        raise InputError("`snapshot_every` and `growth_film` show a dream without a mask: leave `mask` out.")
    if growth_film is not None and several:
        raise InputError("`growth_film` is for one image: dream on the images one by one.")
    dreams = ImageDreams(
        overwrite=overwrite,
        allow_private_addresses=allow_private_addresses,
        snapshot_every=snapshot_every,
        growth_film=growth_film,
        quiet=quiet,
    )
    if dry_run:
        return show_plan(items, dreams.estimate, dreams.is_finished, quiet=quiet, counts=False)
    if not several:
        dreams.dream(items[0])
        if not quiet:
            console.result_file(Path(items[0].output).expanduser())
        return 0
    flags = {
        "overwrite": overwrite or None,
        "allow_private_addresses": allow_private_addresses or None,
        "snapshot_every": snapshot_every,
    }
    retry = retry_command("image", output, preset, (flags,), overrides, jobs=jobs)
    return _several(items, dreams, quiet=quiet, retry=retry)


class ImageDreams:
    """Dreams on images, with the network kept as long as the settings stay the same."""

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
        self._settings: Settings | None = None
        self._rates: tuple[float, float] | None = None

    def is_finished(self, item: "Item") -> bool:
        """Tell of an image of a batch that nothing is left to do."""
        from dreamvid.render.batch.run import output_exists

        return not self.overwrites and output_exists(item)

    def dream(self, item: "Item") -> None:
        """Dream on an image and write the result. Raises DreamvidError."""
        from dreamvid.image.io import write_image

        target = Path(item.output).expanduser()
        self._check(item, target)
        image = self._read(item, target)
        if self._film is not None or self._snapshot_every is not None:
            write_image(target, self._grow(image, item.settings, target))
        else:
            write_image(target, self._dreamed(image, item.settings))

    def estimate(self, item: "Item") -> "Estimate":
        """Estimate an image by its size, once the first image was dreamed. Raises nothing that a user could mend."""
        from dreamvid.image.io import write_image
        from dreamvid.render.batch.estimate import Estimate

        try:
            target = Path(item.output).expanduser()
            if target.parent.is_dir():  # those of a batch are made
                self._check(item, target)
            image = self._read(item, target)
            dreamed, shown = _pixels_to_dream(image, item.settings), image.shape[0] * image.shape[1]
            if self._rates is None or self._settings != item.settings:
                self._dreamed(image, item.settings)  # the first one takes longer
                began = time.monotonic()
                result = self._dreamed(image, item.settings)
                seconds = time.monotonic() - began
                with tempfile.TemporaryDirectory(prefix="dreamvid-estimate-") as folder:
                    file = Path(folder) / target.name
                    write_image(file, result)
                    self._rates = seconds / dreamed, file.stat().st_size / shown
        except DreamvidError as error:
            return Estimate(error=str(error))
        return Estimate(1, 1, self._rates[0] * dreamed, round(self._rates[1] * shown))

    def _dreamed(self, image: Any, settings: "Settings") -> Any:
        from dreamvid.api import Dreamer

        if self._dreamer is None or self._settings != settings:
            self._dreamer, self._settings = Dreamer(settings), settings
        self._dreamer.reset()
        return self._dreamer.dream(image)

    def _check(self, item: "Item", target: Path) -> None:
        """Check where the results of an image are to go. Raises OutputError."""
        from dreamvid.image.fetch import is_address
        from dreamvid.image.io import IMAGE_SUFFIXES
        from dreamvid.runtime.files import check_output_file

        source = None if is_address(item.source) else Path(item.source).expanduser()
        check_output_file(target, IMAGE_SUFFIXES, overwrite=self.overwrites, source=source)
        if self._film is not None:
            check_output_file(self._film, (self._film.suffix,), overwrite=self.overwrites, source=source)

    def _read(self, item: "Item", target: Path) -> Any:
        """Read an image, or fetch it. Raises DreamvidError, also where its result cannot be written."""
        from dreamvid.image.fetch import fetch_image, is_address
        from dreamvid.image.io import check_image_size, read_image

        if is_address(item.source):
            image = fetch_image(item.source, allow_private_addresses=self._private)
        else:
            image = read_image(Path(item.source).expanduser())
        check_image_size(target, image.shape[1], image.shape[0])
        return image

    def _grow(self, image: Any, settings: "Settings", target: Path) -> Any:
        """Dream on an image and keep its steps."""
        from dreamvid.figures.growth import GrowthRecord, grow_image

        every = 1 if self._film is not None else self._snapshot_every or 1
        tell = (lambda line: None) if self._quiet else console.result
        with GrowthRecord(target, self._snapshot_every, self._film, tell) as record:
            return grow_image(image, settings, record, every=every)


def _pixels_to_dream(image: Any, settings: "Settings") -> int:
    """Count the pixels of all octaves."""
    from dreamvid.dream.octaves import enlarged_size, octave_sizes

    dream = settings.dream
    size = enlarged_size(image.shape[0], image.shape[1], dream_height=dream.dream_height)
    sizes = octave_sizes(*size, dream_height=dream.dream_height, octaves=dream.octaves, octave_scale=dream.octave_scale)
    return sum(octave.height * octave.width for octave in sizes)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder."""
    from dreamvid.image.fetch import file_stem, is_address

    return f"{file_stem(source) if is_address(source) else Path(source).stem}.dream.png"


def _several(
    items: "Sequence[Item]", dreams: ImageDreams, *, quiet: bool, retry: "Callable[[Sequence[Item]], str]"
) -> int:
    from dreamvid.render.batch.items import make_folders
    from dreamvid.render.batch.run import run_batch

    make_folders(items)

    def render(item: "Item", cancel: threading.Event) -> int:
        dreams.dream(item)
        if not quiet:
            console.result_file(item.output)
        return 1

    outcomes, interrupted = run_batch(
        items,
        render,
        dreams.is_finished,
        lambda outcome: tell(outcome, None, quiet=quiet),
    )
    summarize(outcomes, None, quiet=quiet)
    if interrupted is not None:
        raise interrupted
    return exit_code(outcomes, retry)
