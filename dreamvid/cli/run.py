"""`dreamvid run`: a video in, its dream out."""

import re
import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import FILMS, Overwrite, PreviewEvery, Profile, Quiet, Restart, Trace
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.profile import print_profile
from dreamvid.settings import DEFAULT_PRESET, load_settings, reject_zoom_preset
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.ui.terminal import RenderDisplay


@with_settings(GROUPS_OF_KIND["run"], main=("objective", "frames", "half_life_seconds"))
def run(
    source: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="Video file, folder or pattern of images, lavfi:GRAPH (an ffmpeg filter graph), - for y4m on "
            "stdin, or demo for two seconds of a landscape.",
        ),
    ],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.mp4", FILMS)] = None,
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
    overwrite: Overwrite = False,
    restart: Restart = False,
    preview_every: PreviewEvery = None,
    profile: Profile = False,
    trace: Trace = None,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Dream on a video. A run that was interrupted goes on where it stopped when started again as it was."""
    reject_zoom_preset(preset)
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
            restart=restart,
            on_progress=display.show,
            preview_every_seconds=preview_every,
            profile=profile,
            trace=trace,
        )
    display.finish(result)
    if profile:
        print_profile(result.profile)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder: `clips/road.mov` → `road.dream.mp4`."""
    if source == "-":
        return "stdin.dream.mp4"
    name = source
    if source.startswith("lavfi:"):
        name = re.split(r"[=,;\[@]", source.removeprefix("lavfi:"))[0]
    stem = re.sub(r"%0?\d*d|[*?\[\]]", "", Path(name).expanduser().resolve().stem).strip(" ._-")
    return f"{stem or 'video'}.dream.mp4"
