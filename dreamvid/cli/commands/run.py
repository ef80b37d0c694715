"""`dreamvid run`: dream on a video."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import NO_FLAGS, VIDEOS, JobFlags
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.cli.render import render
from dreamvid.settings import DEFAULT_PRESET, load_settings, reject_zoom_preset
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.video.source import plugin_forms


@with_settings(GROUPS_OF_KIND["run"], main=("objective", "frames", "coherence", "draft"))
def run(
    source: Annotated[
        str,
        Parameter(
            group=MAIN,
            help="Video file, folder or pattern of images, lavfi:GRAPH (an ffmpeg filter graph), - for y4m on stdin, "
            f"{''.join(f'{form} (of a plugin), ' for form in plugin_forms())}or demo for a landscape of two seconds.",
        ),
    ],
    /,
    *,
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.mp4", VIDEOS)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_PRESET)] = None,
    job: JobFlags = NO_FLAGS,
    **overrides: str | None,
) -> None:
    """Dream on a video. Start an interrupted run again with the same command: it resumes where it stopped."""
    reject_zoom_preset(preset)
    settings = load_settings(preset, **overrides)
    from dreamvid.api import dream_video  # imports torch; a wrong flag is told without that wait

    render(dream_video, source, output, default_output(source), settings, job)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder: `clips/road.mov` → `road.dream.mp4`."""
    if source == "-":
        return "stdin.dream.mp4"
    name = source
    if source.startswith("lavfi:"):
        name = re.split(r"[=,;\[@]", source.removeprefix("lavfi:"))[0]
    stem = re.sub(r"%0?\d*d|[*?\[\]]", "", Path(name).expanduser().resolve().stem).strip(" ._-")
    return f"{stem or 'video'}.dream.mp4"
