"""`dreamvid bench`: measure how fast this machine dreams."""

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.render.bench import BenchReport


def bench(
    *,
    json: Annotated[bool, Parameter(negative=(), help="Print a report as JSON, to share or to compare with.")] = False,
    compare: Annotated[
        str | None,
        Parameter(metavar="FILE", help="Report of another machine or version, from --json; adds ratios to the table."),
    ] = None,
    device: Annotated[str, Parameter(help="Compute device: auto, cpu, cuda, cuda:N or mps.")] = "auto",
    quiet: Annotated[bool, Parameter(alias="-q", negative=(), help="Show no progress.")] = False,
) -> None:
    """Measure this machine: gradients against the peak of matrix products, and renders at 180 to 2160 lines.

    Takes one to three minutes on two cores. Nothing else should be running.
    """
    from dreamvid.settings import load_settings

    load_settings(None, device=device)  # refuses a wrong name before anything is loaded
    from dreamvid.render.bench import BenchReport
    from dreamvid.render.bench import bench as measure

    other = None if compare is None else BenchReport.read(compare)
    terminal = console.stderr()
    with terminal.status("") as status:

        def tell(step: str) -> None:
            if quiet:
                return
            if terminal.is_terminal:
                status.update(f"Measuring {step}")
            else:
                console.say(f"Measuring {step}")

        report = measure(device, on_step=tell)
    if json:
        console.result(report.to_json())
    else:
        _print(report, other)


def _print(report: "BenchReport", other: "BenchReport | None") -> None:
    console.result(
        f"{report.machine} ({report.device}, {report.threads} threads), "
        f"torch {report.torch}, dreamvid {report.dreamvid}\n"
        f"Large matrix products: {report.peak_gflop_per_second:.0f} GFLOP/s"
    )
    versus: list[tuple[str, Literal["left", "right"]]] = (
        [] if other is None else [(f"time / {other.machine}'s", "right")]
    )
    theirs = {} if other is None else {(row.width, row.height): row.milliseconds for row in other.gradients}
    console.result("")
    console.print_table(
        [("gradient", "left"), ("ms", "right"), ("GFLOP/s", "right"), ("of the peak", "right"), *versus],
        (
            (
                f"{row.width}x{row.height}",
                f"{row.milliseconds:.1f}",
                f"{row.gflop_per_second:.0f}",
                f"{row.share_of_peak:.0%}",
                *([] if other is None else [_ratio(row.milliseconds, theirs.get((row.width, row.height)))]),
            )
            for row in report.gradients
        ),
    )
    rates = {} if other is None else {row.name: 1 / row.frames_per_second for row in other.renders}
    console.result("")
    console.print_table(
        [
            ("render", "left"),
            ("size", "left"),
            ("frames/s", "right"),
            ("first frame, s", "right"),
            ("memory, MiB", "right"),
            ("on the device", "right"),
            *versus,
        ],
        (
            (
                row.name,
                f"{row.width}x{row.height}",
                f"{row.frames_per_second:.2f}",
                f"{row.first_frame_seconds:.1f}",
                f"{row.memory_mib:.0f}",
                "" if row.device_memory_mib is None else f"{row.device_memory_mib:.0f}",
                *([] if other is None else [_ratio(1 / row.frames_per_second, rates.get(row.name))]),
            )
            for row in report.renders
        ),
    )


def _ratio(ours: float, theirs: float | None) -> str:
    return "–" if theirs is None else f"{ours / theirs:.2f}"
