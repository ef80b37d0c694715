"""Render a video for a command: show its progress, its result and its profile."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dreamvid.cli.options import JobFlags
from dreamvid.render.progress import RenderResult
from dreamvid.ui import console
from dreamvid.ui.terminal import RenderDisplay

if TYPE_CHECKING:
    from dreamvid.render.batch.items import Item
    from dreamvid.runtime.profiler import Profile

_FROM_TO = {
    "decode": "from the decoder's pipe",
    "motion": "optical flow, occlusion and what else is estimated ahead",
    "dream": "from the device, when the image is finished",
    "encode": "to the encoder's pipe",
    "join": "segments to a video, once",
}


def render(work: Callable[..., RenderResult], item: "Item", job: JobFlags, **options: Any) -> None:
    """Call `dream_video` or `zoom_video` with the flags of a command. Raises DreamvidError."""
    with RenderDisplay(job.progress, quiet=job.quiet) as display:
        result = work(
            item.source,
            item.output,
            item.settings,
            overwrite=job.overwrite,
            restart=job.restart,
            on_progress=display.show,
            preview_every_seconds=job.preview_every_seconds,
            profile=job.profile,
            trace=job.trace,
            **options,
        )
    display.finish(result)
    if job.profile:
        _print_profile(result.profile)


def _print_profile(profile: "Profile") -> None:
    """Write a table of the stages to stdout, then the speed of the network's gradients against the device's peak."""
    frames = max(1, profile.frames)
    wall = profile.seconds
    rows = []
    for stage, busy in asdict(profile.busy).items():
        once = stage == "join"
        rows.append(
            (
                stage,
                f"{1000 * busy / (1 if once else frames):.1f}",
                "" if once else f"{1000 * max(0.0, wall - busy) / frames:.1f}",
                f"{profile.moved[stage] / frames / 1e6:.2f}" if stage in profile.moved else "",
                "" if once or not wall else f"{busy / wall:.0%}",
                _FROM_TO[stage],
            )
        )
    console.print_table(
        (
            ("stage", "left"),
            ("busy ms/frame", "right"),
            ("waiting ms/frame", "right"),
            ("MB/frame", "right"),
            ("of the wall", "right"),
            ("", "left"),
        ),
        rows,
    )
    ratio = f", {wall / profile.slowest:.2f} of the slowest stage" if profile.slowest else ""
    console.result(f"wall: {1000 * wall / frames:.1f} ms/frame over {profile.frames} frames{ratio}")
    others = "; the others were interpolated" if profile.dreamed_frames < profile.frames else ""
    console.result(f"dreamed: {profile.dreamed_frames} of {profile.frames} frames{others}")
    if profile.roofline is not None and profile.busy.dream:
        rate, peak = profile.roofline.flop / profile.busy.dream, profile.roofline.peak
        console.result(
            f"gradients: {profile.roofline.flop / frames / 1e9:.1f} GFLOP/frame, {rate / 1e9:.1f} GFLOP/s "
            f"while dreaming, {rate / peak:.0%} of the measured peak of {peak / 1e9:.0f} GFLOP/s"
        )
