"""`dreamvid score`: measure how steady and how strong a dream is, against its source."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import Progress

from dreamvid.runtime.files import check_output_file
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.metrics.report import Score

_OVERRIDE = "Overrides the recipe next to the dream (DREAM.toml):"


def score(
    source: Annotated[str, Parameter(help="Source that was dreamed on.")],
    dream: Annotated[str, Parameter(help="Result of dreamvid for this source.")],
    /,
    *,
    json: Annotated[bool, Parameter(negative=(), help="Print everything as JSON.")] = False,
    plot: Annotated[
        str | None, Parameter(metavar="FILE", help="Draw the curves into this image, such as out.png.")
    ] = None,
    sheet: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            help="Write the worst frames and their neighbors into this image, such as worst.png: the source above, the "
            "dream below.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help=f"{_OVERRIDE} objective whose strength is measured."),
    ] = None,
    model: Annotated[str | None, Parameter(help=f"{_OVERRIDE} network to measure with.")] = None,
    weights: Annotated[str | None, Parameter(help=f"{_OVERRIDE} the network's checkpoint.")] = None,
    frames: Annotated[
        str | None,
        Parameter(metavar="START:STOP", help=f"{_OVERRIDE} frames of the source that the dream shows."),
    ] = None,
    device: Annotated[str | None, Parameter(help=f"{_OVERRIDE} compute device.")] = None,
    quiet: Annotated[bool, Parameter(alias="-q", negative=(), help="Show no progress.")] = False,
) -> None:
    """Measure a dream against its source: how much it flickers, how strong it is, whether it drifts."""
    plot_file, sheet_file = _output_image(plot), _output_image(sheet)
    from dreamvid.metrics.score import score as measure  # torch comes with it

    terminal = console.stderr()
    with Progress(console=terminal, transient=True, disable=quiet or not terminal.is_terminal) as bar:
        task = bar.add_task("Scoring", total=None)
        result = measure(
            source,
            dream,
            objective=objective,
            model=model,
            weights=weights,
            frames=frames,
            device=device,
            on_frame=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if plot_file is not None:
        from dreamvid.figures.charts import plot_score

        plot_score(result, plot_file)
    if sheet_file is not None:
        from dreamvid.figures.worst_frames import plot_worst_frames

        if result.worst_frames:
            plot_worst_frames(result, source, dream, sheet_file, frames=frames)
        else:
            console.warning(f"{sheet_file} is not written: no frame of the dream changes what it adds to the source.")
    if json:
        console.result(result.to_json())
    else:
        _print(result)


def _output_image(text: str | None) -> Path | None:
    """Check, before the work, that an image can be written. Raises OutputError."""
    if text is None:
        return None
    path = Path(text).expanduser()
    check_output_file(path, (".png",), overwrite=True)
    return path


def _print(result: "Score") -> None:
    drift = result.drift
    rows = [
        ("warping error", _number(result.mean_dream_error), "of the dream, × 1e4, where the flow holds"),
        ("of the source", _number(result.mean_source_error), "its noise and light; the dream rides on it"),
        ("excess", _number(result.mean_excess), "dream − source: 0 is as steady as the source"),
        ("strength", _number(result.mean_strength), f"{result.objective} over the source's: 1 is no dream"),
        *(
            (f"drift of {name}", _percent(value, sign=True), "first to last quarter, after the first second")
            for name, value in drift.items()
        ),
        ("flashes", _flashes(result), "bare for one frame only, of blocks of 8 pixels"),
        ("noise", _per_mille(result.mean_noise), "fine, saturated grain, of blocks of 8 pixels"),
        ("evenness", _number(result.mean_evenness) + "%", "change of the dream's strength by frame: 0 is even"),
        ("clipped", _percent(result.mean_clipped), "pixels that the dream drove to 0 or 255"),
        ("cuts", str(len(result.cuts)), "left out of the error"),
    ]
    console.print_table([("measure", "left"), ("value", "right"), ("meaning", "left")], rows, wrap_last=True)
    console.result("")
    ages = zip(result.revealed_strength, result.revealed_change, result.revealed_share, strict=True)
    console.print_table(
        [("frames in view", "right"), ("strength", "right"), ("change", "right"), ("share", "right")],
        (
            (str(age), _percent(strength), _percent(change), _percent(share))
            for age, (strength, change, share) in enumerate(ages)
        ),
    )
    console.result(
        "\nStrength and change of regions that came into view, divided by those of the rest at the same time."
    )
    if result.worst_frames:
        console.result("")
        console.print_table(
            [
                ("worst frame", "right"),
                ("time", "right"),
                ("flashing", "right"),
                ("noisy", "right"),
                ("evenness", "right"),
            ],
            (
                (
                    str(frame.index),
                    f"{frame.time_seconds:.2f} s",
                    str(frame.flashing_blocks),
                    str(frame.noisy_blocks),
                    _percent(frame.evenness),
                )
                for frame in result.worst_frames
            ),
        )
    if math.isnan(result.mean_strength):
        console.warning(
            f"{result.objective} is not above 0 on the source, so it gives no strength. Measure with a whole "
            "layer, such as --objective blocks.4.1."
        )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _flashes(result: "Score") -> str:
    return f"{_per_mille(result.mean_flashes)}, {result.flash_frames} of {result.frames} frames"


def _per_mille(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}‰"


def _percent(value: float, *, sign: bool = False) -> str:
    return "–" if math.isnan(value) else f"{100 * value:{'+' if sign else ''}.1f}%"
