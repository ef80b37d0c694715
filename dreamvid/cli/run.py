"""`dreamvid run`: a video in, its dream out."""

import re
import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import JOB, MAIN, with_settings
from dreamvid.cli.progress import RenderDisplay
from dreamvid.settings import DEFAULT_PRESET, load_settings, refuse_journey


@with_settings(("network", "dream", "coherence", "video", "render"), main=("objective", "frames", "half_life_seconds"))
def run(
    source: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="Video file, folder or pattern of pictures, lavfi:GRAPH (an ffmpeg filter graph), or - for "
            "y4m on stdin.",
        ),
    ],
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            alias="-o",
            group=MAIN,
            metavar="PATH",
            show_default="NAME-OF-SOURCE.dream.mp4 in the current folder",
            help="Result: .mp4 .mkv .webm .mov .gif .webp, name_%06d.png, or a folder of PNGs (ends in /). "
            "The recipe is written beside it, as OUTPUT.toml.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            metavar="NAME",
            show_default=DEFAULT_PRESET,
            help="Look to start from: a name from `dreamvid presets`, or a .toml file such as a recipe. "
            "Flags go over it.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        Parameter(group=MAIN, negative=(), show_default=False, help="Replace the output if it is there already."),
    ] = False,
    fresh: Annotated[
        bool,
        Parameter(
            group=JOB,
            negative=(),
            show_default=False,
            help="Begin anew, whatever an interrupted run left behind.",
        ),
    ] = False,
    preview_every: Annotated[
        float | None,
        Parameter(
            group=JOB,
            metavar="SECONDS",
            help="Keep a film of what is done, and a still, fresh beside the output: NAME.partial.mp4 and "
            "NAME.partial.png.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        Parameter(alias="-q", group=JOB, negative=(), show_default=False, help="Print nothing but errors."),
    ] = False,
    **overrides: str | None,
) -> None:
    """Dream on a video. A run that was interrupted goes on where it stopped when started again as it was."""
    refuse_journey(preset)
    settings = load_settings(preset, **overrides)
    if quiet:
        warnings.simplefilter("ignore")
    from dreamvid.api import dream_video  # torch comes with it; a wrong flag is told without that wait

    with RenderDisplay(quiet=quiet) as display:
        result = dream_video(
            source,
            default_output(source) if output is None else output,
            settings,
            overwrite=overwrite,
            fresh=fresh,
            on_progress=display.show,
            preview_every_seconds=preview_every,
        )
    display.finish(result)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder: `clips/road.mov` → `road.dream.mp4`."""
    if source == "-":
        return "stdin.dream.mp4"
    name = source
    if source.startswith("lavfi:"):
        name = re.split(r"[=,;\[@]", source.removeprefix("lavfi:"))[0]
    stem = re.sub(r"%0?\d*d|[*?\[\]]", "", Path(name).expanduser().resolve().stem).strip(" ._-")
    return f"{stem or 'video'}.dream.mp4"
