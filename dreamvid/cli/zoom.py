"""`dreamvid zoom`: one image in, a journey through its dream out."""

import re
import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import FILMS, Overwrite, PreviewEvery, Profile, Quiet, Restart, Trace
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.profile import print_profile
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, DEFAULT_ZOOM_PRESET, load_settings
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.ui.terminal import RenderDisplay

_DEFAULTS = load_settings(DEFAULT_ZOOM_PRESET, {"video": DEFAULT_ANIMATION_FORMAT.model_dump(exclude_unset=True)})


@with_settings(
    GROUPS_OF_KIND["zoom"],
    main=("objective", "frames", "size", "zoom", "rotate", "audio", "loop"),
    defaults=_DEFAULTS,
)
def zoom(
    start: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="What to begin with: an image, VIDEO@TIME (seconds, m:ss or h:mm:ss), or noise.",
        ),
    ] = "noise",
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-START.zoom.mp4", FILMS)] = None,
    preset: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            metavar="NAME",
            show_default=DEFAULT_ZOOM_PRESET,
            help="AnimationProducer to start from: a name from `dreamvid presets`, or a .toml file such as a recipe. "
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
    """Make a film from one image, or from noise: the camera moves, and the dream goes on for ever.

    Any number can be a schedule: --zoom '0s: 1.2, 4s: 0.8 ease-in-out', --rotate '20*sin(tau*t/8)', --zoom '1.1 +
    0.5*beat' --audio song.wav. A run that was interrupted goes on where it stopped when started again as it was.
    """
    settings = load_settings(DEFAULT_ZOOM_PRESET if preset is None else preset, **overrides)
    if quiet:
        warnings.simplefilter("ignore")
    from dreamvid.api import zoom_video  # torch comes with it; a wrong flag is told without that wait

    with RenderDisplay(quiet=quiet) as display:
        result = zoom_video(
            start,
            default_output(start) if output is None else output,
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


def default_output(start: str) -> str:
    """Name the result after its start, in the current folder: `photos/cat.jpg` → `cat.zoom.mp4`."""
    path = Path(start if Path(start).exists() else re.sub(r"@[\d:.]+s?$", "", start))
    return f"{path.stem.strip(' ._-') or 'dream'}.zoom.mp4"
