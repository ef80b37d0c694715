"""`dreamvid run`: dream on a video."""

import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import NO_FLAGS, NO_RAY, VIDEOS, DryRun, JobFlags, JobsFile, RayFlags, SplitSeconds
from dreamvid.cli.options import output as output_flag
from dreamvid.cli.options import preset as preset_flag
from dreamvid.cli.render import render
from dreamvid.errors import SourceError
from dreamvid.settings import DEFAULT_PRESET, load_settings, reject_zoom_preset
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.ui import console
from dreamvid.video.source import plugin_forms


@with_settings(GROUPS_OF_KIND["run"], main=("objective", "frames", "coherence", "draft"))
def run(
    *sources: Annotated[
        str,
        Parameter(
            name="SOURCE",
            group=MAIN,
            help="Video file, folder or pattern of images, lavfi:GRAPH (an ffmpeg filter graph), - for y4m on stdin, "
            f"{''.join(f'{form} (of a plugin), ' for form in plugin_forms())}or demo for a landscape of two seconds. "
            "Several, or a folder or pattern of videos, are rendered one after the other.",
        ),
    ],
    output: Annotated[str | None, output_flag("NAME-OF-SOURCE.dream.mp4", VIDEOS)] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_PRESET)] = None,
    job: JobFlags = NO_FLAGS,
    jobs: JobsFile = None,
    dry_run: DryRun = False,
    ray: RayFlags = NO_RAY,
    split_seconds: SplitSeconds = None,
    **overrides: str | None,
) -> int:
    """Dream on a video. Start an interrupted run again with the same command: it resumes where it stopped."""
    reject_zoom_preset(preset)
    settings = load_settings(preset, **overrides)
    chosen = ray.options()
    if bool(sources) == (jobs is not None):
        raise SourceError(
            "Give SOURCE, such as dreamvid run clip.mp4, or --jobs FILE.toml, not both. See: dreamvid run --help"
        )
    # What follows imports torch; a wrong flag is told without that wait.
    from dreamvid.cli.batch import render_batch, retry_command, show_plan
    from dreamvid.render.batch.items import Item, place_outputs, read_jobs
    from dreamvid.render.batch.sources import expand_videos

    if jobs is not None:
        given = {**overrides, "preset": None}
        items = read_jobs(
            jobs, preset, output, default_output, **{name: value for name, value in given.items() if value is not None}
        )
        several = True
    else:
        expanded = expand_videos(sources)
        several = expanded.several
        for text in () if job.quiet else expanded.warnings:
            console.warning(text)
        if several:
            items = place_outputs(expanded.sources, output, settings, default_output)
        else:
            (source,) = expanded.sources
            items = [Item(source, default_output(source) if output is None else output, settings)]
    from dreamvid.api import dream_video
    from dreamvid.render.batch.run import video_is_finished

    if dry_run:
        from dreamvid.render.batch.estimate import estimate_video

        return show_plan(items, estimate_video, video_is_finished, quiet=job.quiet)
    options: dict[str, Any] = {"split_seconds": split_seconds}
    if not several:
        render(dream_video, items[0], job, ray=chosen, **options)
        return 0
    retry = retry_command("run", output, preset, (job, ray, options), overrides, jobs=jobs)
    return render_batch(dream_video, items, video_is_finished, job, ray=chosen, retry=retry, **options)


def default_output(source: str) -> str:
    """Name the result after its source, in the current folder: `clips/road.mov` → `road.dream.mp4`."""
    if source == "-":
        return "stdin.dream.mp4"
    name = source
    if source.startswith("lavfi:"):
        name = re.split(r"[=,;\[@]", source.removeprefix("lavfi:"))[0]
    stem = re.sub(r"%0?\d*d|[*?\[\]]", "", Path(name).expanduser().resolve().stem).strip(" ._-")
    return f"{stem or 'video'}.dream.mp4"
