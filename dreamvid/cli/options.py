"""Flags that several commands share, each defined once."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from dreamvid.cli.flags import JOB, MAIN
from dreamvid.errors import SettingsError
from dreamvid.render.ray.options import LOCAL, RayOptions
from dreamvid.video.sink import output_forms

Overwrite = Annotated[
    bool, Parameter(group=MAIN, negative=(), show_default=False, help="Replace the output if it exists.")
]
Quiet = Annotated[
    bool, Parameter(alias="-q", group=JOB, negative=(), show_default=False, help="Print nothing but errors.")
]
AllowPrivateAddresses = Annotated[
    bool,
    Parameter(
        group=JOB,
        negative=(),
        show_default=False,
        help="Also fetch an image from this machine or the local network, not only from public addresses.",
    ),
]


Restart = Annotated[
    bool,
    Parameter(
        group=JOB, negative=(), show_default=False, help="Start from the beginning and drop an interrupted render."
    ),
]
ProgressForm = Annotated[
    Literal["bar", "plain", "json", "none"] | None,
    Parameter(
        group=JOB,
        metavar="bar|plain|json|none",
        show_choices=False,
        show_default="bar on a terminal, else plain",
        help="How progress is shown on stderr: a bar, a line now and then, JSON lines for other programs, or not "
        "at all.",
    ),
]
SplitSeconds = Annotated[
    float | None,
    Parameter(
        group=JOB,
        metavar="SECONDS",
        help="Let several workers share shots that are longer, in equal pieces of about SECONDS (4 or more). Each "
        "piece begins with some seconds that are dreamed and not shown. At the seams the result differs a little.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobFlags:
    """The flags of a render that are not settings: how it is run, not what it looks like."""

    overwrite: Overwrite = False
    restart: Restart = False
    preview_every_seconds: Annotated[
        float | None,
        Parameter(
            name="--preview-every",
            group=JOB,
            metavar="SECONDS",
            help="Every SECONDS, write a video of the finished part and its newest frame next to the output: "
            "NAME.partial.mp4 and NAME.partial.png.",
        ),
    ] = None
    progress: ProgressForm = None
    profile: Annotated[
        bool,
        Parameter(
            group=JOB,
            negative=(),
            show_default=False,
            help="Print how long each stage worked, waited and how much data it moved, and how close the dream came to "
            "the machine's measured peak.",
        ),
    ] = False
    trace: Annotated[
        str | None,
        Parameter(
            group=JOB,
            metavar="PATH",
            help="Write when each stage worked to a .json file for chrome://tracing or https://ui.perfetto.dev.",
        ),
    ] = None
    quiet: Quiet = False


JobsFile = Annotated[
    str | None,
    Parameter(
        group=JOB,
        metavar="FILE.toml",
        help="Render the jobs of a file: a [[job]] for each source, with its output, preset and settings.",
    ),
]
DryRun = Annotated[
    bool,
    Parameter(
        group=JOB,
        negative=(),
        show_default=False,
        help="Only show what would be rendered: frames, shots, and an estimate of time and disk.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RayFlags:
    """The flags that put a render on the workers of a Ray cluster."""

    ray: Annotated[
        bool | str,
        Parameter(
            group=JOB,
            negative=(),
            metavar="local|ADDRESS",
            show_default=False,
            help="Render on the workers of a Ray cluster: one that is started on this machine, auto or HOST:PORT.",
        ),
    ] = False
    gpus_per_worker: Annotated[
        float | None,
        Parameter(group=JOB, metavar="NUMBER", show_default="1", help="GPUs of a worker, or a share of one."),
    ] = None
    cpus_per_worker: Annotated[
        float | None, Parameter(group=JOB, metavar="NUMBER", show_default="1", help="CPU cores of a worker.")
    ] = None

    def options(self) -> RayOptions | None:
        """Return what was chosen; None for a render in this process. Raises SettingsError."""
        sizes = {"gpus_per_worker": self.gpus_per_worker, "cpus_per_worker": self.cpus_per_worker}
        given = {name: value for name, value in sizes.items() if value is not None}
        if self.ray is False:
            if given:
                raise SettingsError(f"`{next(iter(given))}` is for renders on Ray: add `ray=local`, or leave it out.")
            return None
        return RayOptions(address=LOCAL if self.ray is True else str(self.ray), **given)


NO_FLAGS, NO_RAY = JobFlags(), RayFlags()


def output(default: str, help: str) -> Parameter:
    """Make the flag `-o` of a command; `default` is the name of the output without it."""
    return Parameter(alias="-o", group=MAIN, metavar="PATH", show_default=f"{default} in the current folder", help=help)


def preset(default: str) -> Parameter:
    """Make the flag `--preset` of a command; `default` is the preset that it starts from without it."""
    return Parameter(
        group=MAIN,
        metavar="NAME",
        show_default=default,
        help="Look to start from: a name from `dreamvid presets`, or a .toml file such as a recipe. Other flags "
        "override it.",
    )


VIDEOS = f"Result: {output_forms()}. The recipe is written next to it, as OUTPUT.toml."
IMAGES = "Result: .png .jpg .webp .bmp .tif."
