"""Render several sources for a command: one after the other, with a table at the end and what to type next."""

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dreamvid.cli.options import JobFlags
from dreamvid.errors import DreamvidError
from dreamvid.render.progress import RenderResult, clock
from dreamvid.ui import console
from dreamvid.ui.terminal import RenderDisplay

if TYPE_CHECKING:
    from dreamvid.render.batch.estimate import Estimate
    from dreamvid.render.batch.items import Item
    from dreamvid.render.batch.run import Outcome
    from dreamvid.render.ray.options import RayOptions

_SPARE = 3  # films of a batch on a cluster besides one for each worker: while they are planned or joined, all have work


def render_batch(
    work: Callable[..., RenderResult],
    items: "Sequence[Item]",
    is_finished: "Callable[[Item], bool]",
    job: JobFlags,
    *,
    ray: "RayOptions | None" = None,
    retry: "Callable[[Sequence[Item]], str]",
    **options: Any,
) -> int:
    """Call `dream_video` or `zoom_video` for every item. Returns the exit code. Raises DreamvidError.

    retry: writes the command that renders only some of the sources.
    """
    from dreamvid.render.batch.items import make_folders
    from dreamvid.render.batch.run import run_batch

    if job.trace is not None or job.profile:
        raise DreamvidError("--trace and --profile are for one source: render them one by one.")
    make_folders(items)
    at_a_time = 1
    with ExitStack() as stack:
        if ray is not None:
            from dreamvid.render.ray.pool import WorkerPool

            pool = options["ray"] = stack.enter_context(WorkerPool(ray))
            at_a_time = pool.room() + _SPARE

        def render(item: "Item", cancel: threading.Event) -> int:
            form = "plain" if ray is not None and job.progress in (None, "bar") else job.progress
            with RenderDisplay(form, quiet=job.quiet, source=item.source) as display:
                result = work(
                    item.source,
                    item.output,
                    item.settings,
                    overwrite=job.overwrite,
                    restart=job.restart,
                    on_progress=display.show,
                    cancel=cancel,
                    preview_every_seconds=job.preview_every_seconds,
                    **options,
                )
            display.finish(result)
            return result.frames

        outcomes, interrupted = run_batch(
            items,
            render,
            lambda item: not job.overwrite and not job.restart and is_finished(item),
            lambda outcome: tell(outcome, job.progress, quiet=job.quiet),
            at_a_time=at_a_time,
        )
    summarize(outcomes, job.progress, quiet=job.quiet)
    if interrupted is not None:
        raise interrupted
    return exit_code(outcomes, retry)


def tell(outcome: "Outcome", form: str | None, *, quiet: bool) -> None:
    """Say how a source ended, unless its own display has said so."""
    source = outcome.item.source
    if outcome.state == "failed":
        if outcome.error is not None and not isinstance(outcome.error, DreamvidError):
            from dreamvid.cli.app import report_bug  # the list of commands, which imports this when one is called

            report_bug(outcome.error)
        elif form == "json" and not quiet:
            console.write_json("failed", console.translated(outcome.message), source=source)
        else:
            console.error(f"{source}: {outcome.message}")
    elif outcome.state == "skipped" and not quiet:
        message = f"{outcome.item.output} is finished already."
        if form == "json":
            console.write_json("skipped", message, source=source)
        elif form != "none":
            console.say(f"{source}: {message}")


def summarize(outcomes: "Sequence[Outcome]", form: str | None, *, quiet: bool) -> None:
    """Write a table of all sources to stderr."""
    if quiet or form in ("json", "none"):
        return
    rows = []
    for outcome in outcomes:
        told = outcome.item.output if outcome.state in ("done", "skipped") else _first_line(outcome)
        state: str = outcome.state
        if state == "stopped" and not outcome.message:
            state = "not begun"
        elif state == "skipped":
            state = "finished before"
        frames = str(outcome.frames) if outcome.frames else ""
        rows.append((outcome.item.source, state, frames, clock(outcome.seconds) if outcome.seconds else "", told))
    columns = (("source", "left"), ("", "left"), ("frames", "right"), ("time", "right"), ("result", "left"))
    console.print_table(columns, rows, wrap_last=True, to_stderr=True)  # type: ignore[arg-type]


def _first_line(outcome: "Outcome") -> str:
    line = console.translated(outcome.message).partition("\n")[0]
    return line if len(line) <= 160 else line[:157] + "…"


def exit_code(outcomes: "Sequence[Outcome]", retry: "Callable[[Sequence[Item]], str]") -> int:
    """Return 1 if any failed, and say what renders only those again."""
    failed = [outcome.item for outcome in outcomes if outcome.state == "failed"]
    if not failed:
        return 0
    console.error(f"{len(failed)} of {len(outcomes)} failed. To render only those again: {retry(failed)}")
    return 1


def retry_command(
    command: str,
    output: str | None,
    preset: str | None,
    groups: Sequence[Any],
    overrides: Mapping[str, Any],
    *,
    jobs: str | None = None,
) -> "Callable[[Sequence[Item]], str]":
    """Make what writes a command with the same flags and only some of the sources.

    output: as it was given. groups: flags in dataclasses or mappings. overrides: settings. jobs: the file that names
    the sources, each with settings of its own; the command is then the same again, as it skips what is finished.
    """
    flags: dict[str, Any] = {"preset": preset, **overrides}
    for group in groups:
        if isinstance(group, Mapping):
            flags |= group
        else:
            flags |= {
                item.name: getattr(group, item.name)
                for item in fields(group)
                if getattr(group, item.name) not in (item.default, None)
            }
    flags["jobs"] = jobs
    words = [word for name, value in flags.items() for word in _words(name, value)]

    def write(items: "Sequence[Item]") -> str:
        if jobs is not None:
            items = ()
        # A folder means images for a single source.
        named = _words("output", items[0].output if len(items) == 1 else output)
        return shlex.join(["dreamvid", command, *(item.source for item in items), *named, *words])

    return write


def _words(name: str, value: object) -> list[str]:
    flag = console.flag_of(name)
    if value is None:
        return []
    if value is True:
        return [flag]
    if value is False:
        return [f"--no-{flag.removeprefix('--')}"]
    return [
        f"{flag}={value}" if str(value).startswith("-") else flag,
        *([] if str(value).startswith("-") else [f"{value}"]),
    ]


def show_plan(
    items: "Sequence[Item]",
    estimate: "Callable[[Item], Estimate]",
    is_finished: "Callable[[Item], bool]",
    *,
    quiet: bool,
    counts: bool = True,
) -> int:
    """Write what a batch would do: frames, shots, and an estimate of time and disk, measured on the first frames.

    counts: whether there are several frames and shots.
    """
    rows, seconds, space, failed = [], 0.0, 0, 0
    empty = ("",) * (4 if counts else 2)
    for item in items:
        if is_finished(item):
            rows.append((item.source, item.output, *empty, "finished already"))
            continue
        found = estimate(item)
        seconds, space, failed = seconds + found.seconds, space + found.bytes, failed + bool(found.error)
        if found.error:
            rows.append((item.source, item.output, *empty, console.translated(found.error).partition("\n")[0]))
        else:
            numbers = (str(found.frames), str(found.shots), clock(found.seconds), _size(found.bytes))
            rows.append((item.source, item.output, *numbers[-len(empty) :], ""))
    counted = (("frames", "right"), ("shots", "right")) if counts else ()
    columns = (
        *(("source", "left"), ("result", "left")),
        *counted,
        *(("about", "right"), ("disk", "right"), ("", "left")),
    )
    console.print_table(columns, rows, wrap_last=True)
    if not quiet:
        console.say(
            f"In all about {clock(seconds)} on this machine, and at most {_size(space)} of disk. Nothing was made."
        )
    return 1 if failed else 0


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
