"""`dreamvid plan`, `segment` and `join`: a render in parts, for any scheduler."""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dreamvid.cli.commands.run import default_output
from dreamvid.cli.flags import MAIN, with_settings
from dreamvid.cli.options import Overwrite, ProgressForm, Quiet, Restart, SplitSeconds
from dreamvid.cli.options import preset as preset_flag
from dreamvid.errors import OutputError
from dreamvid.settings import DEFAULT_PRESET, load_settings, reject_zoom_preset
from dreamvid.settings.recipe import GROUPS_OF_KIND
from dreamvid.ui import console
from dreamvid.ui.terminal import RenderDisplay

if TYPE_CHECKING:
    from dreamvid.render.farm.plan_file import PlanFile

_Plan = Annotated[str, Parameter(name="PLAN.json", group=MAIN, help="What `dreamvid plan` has written.")]


@with_settings(GROUPS_OF_KIND["run"], main=("objective", "frames", "coherence", "draft"))
def plan(
    source: Annotated[
        str,
        Parameter(group=MAIN, help="Video file, or folder or pattern of images, that every machine can read; or demo."),
    ],
    /,
    *,
    output: Annotated[
        str | None, Parameter(alias="-o", group=MAIN, metavar="PATH", help="Where to write the plan, a .json file.")
    ] = None,
    result: Annotated[
        str | None,
        Parameter(
            group=MAIN,
            metavar="NAME",
            show_default="NAME-OF-SOURCE.dream.mp4",
            help="Name of the video that is made of it, in the folder of the plan; its suffix decides the format.",
        ),
    ] = None,
    preset: Annotated[str | None, preset_flag(DEFAULT_PRESET)] = None,
    overwrite: Overwrite = False,
    restart: Restart = False,
    split_seconds: SplitSeconds = None,
    progress: ProgressForm = None,
    quiet: Quiet = False,
    **overrides: str | None,
) -> None:
    """Plan a render for several machines: which segments there are, with all settings. Nothing is dreamed yet.

    Then call `dreamvid segment PLAN.json N` for every segment, anywhere and in any order, then `dreamvid join
    PLAN.json`.
    """
    reject_zoom_preset(preset)
    settings = load_settings(preset, **overrides)
    if output is None:
        raise OutputError("a plan needs a place. Give for example `output=plan.json`.")
    from dreamvid.render.farm.chunk import chunks  # imports torch; a wrong flag is told without that wait
    from dreamvid.render.farm.render_chunk import plan_render
    from dreamvid.render.options import refuse_short_split

    refuse_short_split(split_seconds)
    with RenderDisplay(progress, quiet=quiet) as display:
        planned = plan_render(
            source,
            output,
            result or default_output(source),
            settings,
            split_seconds=split_seconds,
            overwrite=overwrite,
            restart=restart,
            report=display.show,
        )
    parts = chunks(planned.plan)
    if not quiet:
        longest = max(part.count for part in parts)
        console.say(f"{planned.plan.count} frames in {len(parts)} segments; the longest has {longest} frames.")
        console.result_file(planned.path)


def segment(
    path: _Plan,
    number: Annotated[
        int | None, Parameter(group=MAIN, metavar="N", help="Number of the segment; without it, those left are listed.")
    ] = None,
    /,
    *,
    progress: ProgressForm = None,
    quiet: Quiet = False,
) -> None:
    """Render one segment of a plan: a whole shot, or a piece of a long one.

    A report in JSON goes to stdout. Called again it has nothing to do; stopped, it continues. Without a number, the
    numbers of the segments that are still to be rendered are listed, one a line.
    """
    planned = _read(path)
    from dreamvid.render.farm.render_chunk import render_chunk, unfinished_chunks

    if number is None:
        for left in unfinished_chunks(planned):
            console.result(str(left))
        return
    with RenderDisplay(progress, quiet=quiet) as display:
        done = render_chunk(planned, number, report=display.show)
    if quiet:
        return
    report = {
        "segment": done.chunk.number,
        "frames": done.chunk.span,
        "files": [
            {"path": str(file), "frames": record.frames, "size": record.size, "sha256": record.sha256}
            for file, record in done.files
        ],
        "device": ", ".join(dict.fromkeys(record.device for _, record in done.files)),
        "done_before": done.done_before,
        "seconds": round(done.seconds, 3),
    }
    console.result(json.dumps(report))


def join(path: _Plan, /, *, overwrite: Overwrite = False, progress: ProgressForm = None, quiet: Quiet = False) -> None:
    """Check the segments of a plan and join them, with the sound of the source. It says which are missing."""
    planned = _read(path)
    from dreamvid.render.farm.render_chunk import join_chunks

    with RenderDisplay(progress, quiet=quiet) as display:
        warnings = join_chunks(planned, overwrite=overwrite, report=display.show)
    if quiet:
        return
    for text in warnings:
        console.warning(text)
    console.result_file(planned.result)
    console.result_file(planned.result.with_name(f"{planned.result.name}.toml"))


def _read(path: str) -> "PlanFile":
    from dreamvid.render.farm.plan_file import PlanFile

    return PlanFile.read(path)
