"""`dreamvid zoom`: make a video from one image."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import NO_FLAGS, VIDEOS, JobFlags
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.cli.render import render
from dreamvid.settings import DEFAULT_ANIMATION_FORMAT, DEFAULT_ZOOM_PRESET, load_settings
from dreamvid.settings.recipe import GROUPS_OF_KIND

_DEFAULTS = load_settings(DEFAULT_ZOOM_PRESET, {"video": DEFAULT_ANIMATION_FORMAT.model_dump(exclude_unset=True)})


@with_settings(
    GROUPS_OF_KIND["zoom"],
    main=("objective", "frames", "size", "zoom", "rotate", "loop", "audio", "draft"),
    defaults=_DEFAULTS,
    without=("bars", "hwaccel"),
)
def zoom(
    start: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="Image to start from: a file, VIDEO@TIME (seconds, m:ss or h:mm:ss), or noise.",
        ),
    ] = "noise",
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-START.zoom.mp4", VIDEOS)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_ZOOM_PRESET)] = None,
    job: JobFlags = NO_FLAGS,
    **overrides: str | None,
) -> None:
    """Make a video from one image, or from noise: the camera moves and the dream grows without end.

    Any number can be a schedule: --zoom '0s: 1.2, 4s: 0.8 ease-in-out', --rotate '20*sin(tau*t/8)', --zoom '1.1 +
    0.5*beat' --audio song.wav. Start an interrupted run again with the same command: it resumes where it stopped.
    """
    settings = load_settings(DEFAULT_ZOOM_PRESET if preset is None else preset, **overrides)
    from dreamvid.api import zoom_video  # imports torch; a wrong flag is told without that wait

    render(zoom_video, start, output, default_output(start), settings, job)


def default_output(start: str) -> str:
    """Name the result after its start, in the current folder: `photos/cat.jpg` → `cat.zoom.mp4`."""
    path = Path(start if Path(start).expanduser().exists() else re.sub(r"@[\d:.]+s?$", "", start))
    return f"{path.stem.strip(' ._-') or 'dream'}.zoom.mp4"
