"""Flags that several commands share, each said once."""

from typing import Annotated

from cyclopts import Parameter

from dreamvid.cli.flags import JOB, MAIN
from dreamvid.video.sink import output_forms

Overwrite = Annotated[
    bool, Parameter(group=MAIN, negative=(), show_default=False, help="Replace the output if it is there already.")
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
        help="Fetch an image from this machine or the local network too, not only from public addresses.",
    ),
]
Restart = Annotated[
    bool,
    Parameter(group=JOB, negative=(), show_default=False, help="Begin anew, whatever an interrupted run left behind."),
]
PreviewEvery = Annotated[
    float | None,
    Parameter(
        group=JOB,
        metavar="SECONDS",
        help="Keep a film of what is done, and a still, fresh beside the output: NAME.partial.mp4 and "
        "NAME.partial.png.",
    ),
]

Profile = Annotated[
    bool,
    Parameter(
        group=JOB,
        negative=(),
        show_default=False,
        help="Print where the time went: what each stage worked, waited and moved, and how near the dream came to the "
        "machine's measured peak.",
    ),
]
Trace = Annotated[
    str | None,
    Parameter(
        group=JOB,
        metavar="PATH",
        help="Write when each stage worked, for chrome://tracing or https://ui.perfetto.dev: a .json file.",
    ),
]


def output(default: str, help: str) -> Parameter:
    """Make the flag `-o` of a command; `default` says what it is without it."""
    return Parameter(alias="-o", group=MAIN, metavar="PATH", show_default=f"{default} in the current folder", help=help)


FILMS = f"Result: {output_forms()}. The recipe is written next to it, as OUTPUT.toml."
IMAGES = "Result: .png .jpg .webp .bmp .tif."
