"""Show the progress of a render: a bar on a terminal, plain lines elsewhere, JSON lines for programs, or nothing."""

import time
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from dreamvid.render.progress import STAGES, clock, describe
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.render.progress import Progress, RenderResult

_LINE_SECONDS = 10.0
_LINE_PAUSE_SECONDS = 1.0
_LINE_SHARE = 0.1


class RenderDisplay:
    """Shows a render's progress on stderr and its result on stdout. A context: the bar always closes.

    form: bar, plain (a line now and then), json (an object for every state, docs/automation.md) or none; None for a bar
    on a terminal and plain lines elsewhere. quiet: show neither progress nor warnings nor the result. source: what is
    rendered, where a command has several sources.
    """

    def __init__(
        self,
        form: Literal["bar", "plain", "json", "none"] | None = None,
        *,
        quiet: bool = False,
        source: str | None = None,
    ) -> None:
        terminal = console.stderr()
        self.form = "none" if quiet else form or ("bar" if terminal.is_terminal else "plain")
        self.quiet, self.source = quiet, source
        self._shown_messages: set[str] = set()
        self._stage = ""
        self._began = self._line_time = time.monotonic()
        self._line_share = 0.0
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._workers: dict[str, TaskID] = {}
        if self.form == "bar":
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[state]}"),
                console=terminal,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: "Progress") -> None:
        """Take the newest state; to be given as `on_progress`."""
        if self.form == "none":
            return
        if self.form == "json":
            told = replace(progress, message=console.translated(progress.message))
            console.write_line(told.to_json(self.source))
            return
        if progress.message and progress.message not in self._shown_messages:
            self._shown_messages.add(progress.message)
            console.say(self._labelled(progress.message))
        if self._bar is not None:
            self._move_bar(self._bar, progress)
        else:
            self._print_line(progress)
        self._stage = progress.stage

    def finish(self, result: "RenderResult") -> None:
        """Say where the result is and what was lost or changed on the way."""
        if self.quiet:
            return
        for text in result.warnings:
            if text not in self._shown_messages:
                console.warning(self._labelled(text))
        resumed = f", {result.resumed_from} of them earlier" if result.resumed_from else ""
        took = clock(time.monotonic() - self._began)
        summary = f"Done: {result.frames} frames in {took}{resumed}."
        if self.form == "json":
            console.write_json("done", summary, result.frames, self.source)
        elif self.form != "none":
            console.say(self._labelled(f"{summary} The video, and its recipe for --preset:"))
        console.result_file(result.output)
        console.result_file(result.recipe)

    def _labelled(self, text: str) -> str:
        """Say of which source a message is, where there are several."""
        return text if self.source is None or self.form == "json" else f"{self.source}: {text}"

    def _move_bar(self, bar: Bar, progress: "Progress") -> None:
        if self._task is None or progress.stage != self._stage:
            if self._task is not None:
                bar.remove_task(self._task)
            self._task = bar.add_task(self._labelled(STAGES[progress.stage]), total=progress.total, state="")
        bar.update(self._task, completed=progress.done, total=progress.total, state=describe(progress))
        self._move_workers(bar, progress)

    def _move_workers(self, bar: Bar, progress: "Progress") -> None:
        """Show a line for each of several workers."""
        working = {worker.worker: worker for worker in progress.workers}
        for name in [name for name in self._workers if name not in working]:
            bar.remove_task(self._workers.pop(name))
        for name, worker in working.items():
            if name not in self._workers:
                self._workers[name] = bar.add_task(f"  {name}", total=worker.total, state="")
            state = f"frames {worker.frames}" + (f", {worker.fps:.2f} fps" if worker.fps else "")
            bar.update(self._workers[name], completed=worker.done, total=worker.total, state=state)

    def _print_line(self, progress: "Progress") -> None:
        """Print a line after every tenth of the frames, or every ten seconds; never a flood of them."""
        waited = time.monotonic() - self._line_time
        share = progress.done / progress.total if progress.total else 0.0
        if progress.stage != self._stage:
            self._line_share = 0.0
        tenth = share >= self._line_share + _LINE_SHARE and waited >= _LINE_PAUSE_SECONDS
        last = progress.stage == "dream" and share == 1.0 and self._line_share < 1.0
        if tenth or last or waited >= _LINE_SECONDS:
            self._line_time, self._line_share = time.monotonic(), share
            console.say(self._labelled(f"{STAGES[progress.stage]}: {describe(progress)}"))
