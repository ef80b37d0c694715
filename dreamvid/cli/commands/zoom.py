"""`dreamvid zoom`: make a video from one image."""

import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import NO_FLAGS, NO_RAY, VIDEOS, DryRun, JobFlags, JobsFile, RayFlags
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.cli.render import render
from dreamvid.errors import SourceError
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
    *starts: Annotated[
        str,
        Parameter(
            name="START",
            group=MAIN,
            show_default="noise",
            help="Image to start from: a file, VIDEO@TIME (seconds, m:ss or h:mm:ss), or noise. Several, or a folder "
            "or pattern of images, make a video each.",
        ),
    ],
    output: Annotated[str | None, output_flag("NAME-OF-START.zoom.mp4", VIDEOS)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_ZOOM_PRESET)] = None,
    job: JobFlags = NO_FLAGS,
    jobs: JobsFile = None,
    dry_run: DryRun = False,
    ray: RayFlags = NO_RAY,
    **overrides: str | None,
) -> int:
    """Make a video from one image, or from noise: the camera moves and the dream grows without end.

    Any number can be a schedule: --zoom '0s: 1.2, 4s: 0.8 ease-in-out', --rotate '20*sin(tau*t/8)', --zoom '1.1 +
    0.5*beat' --audio song.wav. Start an interrupted run again with the same command: it resumes where it stopped.

    Each frame is made from the one before, so that one animation cannot be shared out: with --ray one worker renders
    it, and several workers render several animations at the same time.
    """
    settings = load_settings(DEFAULT_ZOOM_PRESET if preset is None else preset, **overrides)
    chosen = ray.options()
    if starts and jobs is not None:
        raise SourceError("Give images, or a file of jobs, not both: --jobs names the images itself.")
    # What follows imports torch; a wrong flag is told without that wait.
    from dreamvid.cli.batch import render_batch, retry_command, show_plan
    from dreamvid.render.batch.items import Item, place_outputs, read_jobs
    from dreamvid.render.batch.sources import expand_images

    several = jobs is not None
    if jobs is not None:
        items = read_jobs(jobs, preset or DEFAULT_ZOOM_PRESET, output, default_output, **overrides)
    else:
        expanded = expand_images(starts or ("noise",))
        several = expanded.several
        if several:
            items = place_outputs(expanded.sources, output, settings, default_output)
        else:
            (start,) = expanded.sources
            items = [Item(start, default_output(start) if output is None else output, settings)]
    from dreamvid.api import zoom_video
    from dreamvid.render.batch.run import zoom_is_finished

    if dry_run:
        from dreamvid.render.batch.estimate import estimate_zoom

        return show_plan(items, estimate_zoom, zoom_is_finished, quiet=job.quiet)
    options: dict[str, Any] = {} if chosen is None else {"ray": chosen}
    if not several:
        render(zoom_video, items[0], job, **options)
        return 0
    retry = retry_command("zoom", output, preset, (job, ray), overrides, jobs=jobs)
    return render_batch(zoom_video, items, zoom_is_finished, job, ray=chosen, retry=retry)


def default_output(start: str) -> str:
    """Name the result after its start, in the current folder: `photos/cat.jpg` → `cat.zoom.mp4`."""
    path = Path(start if Path(start).expanduser().exists() else re.sub(r"@[\d:.]+s?$", "", start))
    return f"{path.stem.strip(' ._-') or 'dream'}.zoom.mp4"
