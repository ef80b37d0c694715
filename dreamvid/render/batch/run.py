"""Render the items of a batch one after the other, or several at a time; what fails is told and the others go on."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamvid.errors import DreamvidError, Interrupted, NetworkError, ObjectiveError
from dreamvid.networks.network import share_networks
from dreamvid.render.animation_producer import with_format
from dreamvid.render.batch.items import Item
from dreamvid.render.output import OutputTarget
from dreamvid.render.start_image import StartImage
from dreamvid.runtime.interrupt import StopRequest
from dreamvid.video.source import open_for_render

_WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How an item ended. skipped: it was finished before. message: why it failed."""

    item: Item
    state: Literal["done", "skipped", "failed", "stopped"]
    frames: int = 0
    seconds: float = 0.0
    message: str = ""
    error: Exception | None = None


def run_batch(
    items: Sequence[Item],
    render: Callable[[Item, threading.Event], int],
    is_finished: Callable[[Item], bool],
    on_outcome: Callable[[Outcome], None],
    *,
    at_a_time: int = 1,
) -> tuple[list[Outcome], Interrupted | None]:
    """Render items; return how each of them ended, in order, and the interruption if there was one.

    render: renders an item, returns its number of frames, and stops when the event is set. is_finished: tells of an
    item that nothing is left to do. on_outcome: called after each item, in this thread. at_a_time: how many are
    rendered at once, in threads.

    A network or an objective that cannot be loaded is an error of all items with the same settings: it is raised.
    """
    outcomes: dict[int, Outcome] = {}
    event = threading.Event()
    interrupted: Interrupted | None = None

    def take_in(number: int, outcome: Outcome) -> None:
        nonlocal interrupted
        outcomes[number] = outcome
        if isinstance(outcome.error, Interrupted):
            interrupted = interrupted or outcome.error
            event.set()
        elif isinstance(outcome.error, NetworkError | ObjectiveError) and _alike(items):
            event.set()
            raise outcome.error
        on_outcome(outcome)

    with share_networks():
        if at_a_time == 1:
            for number, item in enumerate(items):
                if not event.is_set():
                    take_in(number, _one(item, render, is_finished, event))
        else:
            with StopRequest(event) as stop, ThreadPoolExecutor(at_a_time, "item") as threads:
                stop.gently = True
                started: dict[Future[Outcome], int] = {
                    threads.submit(_one, item, render, is_finished, event): number for number, item in enumerate(items)
                }
                try:
                    while started:
                        done, _ = wait(started, _WAIT_SECONDS, FIRST_COMPLETED)
                        if stop.asked:
                            for future in started:
                                future.cancel()
                        for future in done:
                            number = started.pop(future)
                            if not future.cancelled():
                                take_in(number, future.result())
                except BaseException:
                    event.set()
                    for future in started:
                        future.cancel()
                    raise
                if stop.asked and interrupted is None:
                    interrupted = Interrupted("Stopped.", stop.exit_code)
                elif interrupted is not None:
                    interrupted.exit_code = stop.exit_code
    ended = [outcomes.get(number, Outcome(item, "stopped")) for number, item in enumerate(items)]
    return ended, interrupted


def _alike(items: Sequence[Item]) -> bool:
    return all(item.settings == items[0].settings for item in items)


def _one(
    item: Item,
    render: Callable[[Item, threading.Event], int],
    is_finished: Callable[[Item], bool],
    event: threading.Event,
) -> Outcome:
    began = time.monotonic()
    if event.is_set():
        return Outcome(item, "stopped")
    try:
        if is_finished(item):
            return Outcome(item, "skipped")
        frames = render(item, event)
    except Interrupted as error:
        return Outcome(item, "stopped", seconds=time.monotonic() - began, message=str(error), error=error)
    except Exception as error:  # whatever one source does to the program, the others are rendered
        return Outcome(item, "failed", seconds=time.monotonic() - began, message=str(error), error=error)
    return Outcome(item, "done", frames, time.monotonic() - began)


def video_is_finished(item: Item) -> bool:
    """Tell if the output of `dream_video` is there, of this source with these settings."""
    try:
        destination = OutputTarget.from_path(item.output, item.settings)
        if not destination.exists():
            return False
        source = open_for_render(item.source, item.settings.video)
        return destination.is_result_of(item.settings, "run", source.fingerprint())
    except (DreamvidError, OSError):
        return False  # rendering it tells why


def zoom_is_finished(item: Item) -> bool:
    """Tell if the output of `zoom_video` is there, of this start with these settings."""
    try:
        destination = OutputTarget.from_path(item.output, item.settings)
        if not destination.exists():
            return False
        start = StartImage.read(item.source, item.settings.video)
        return destination.is_result_of(with_format(item.settings, start), "zoom", start.fingerprint)
    except (DreamvidError, OSError):
        return False


def output_exists(item: Item) -> bool:
    """Tell if a single image is there; images have no recipe by which to tell with which settings."""
    return Path(item.output).expanduser().exists()
