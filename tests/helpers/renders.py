"""A tiny video with two shots, settings that dream it in a second, and renders in processes that are stopped."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from dreamvid.cli.app import guarded
from dreamvid.dream.tiles import TiledGradient
from dreamvid.render.engine import render_video, render_zoom
from dreamvid.render.progress import Progress
from dreamvid.settings import Settings, load_settings
from dreamvid.video.decode import FrameReader
from dreamvid.video.ffmpeg import run_ffmpeg
from dreamvid.video.probe import probe
from dreamvid.video.source import open_source

WIDTH, HEIGHT, RATE = 96, 64, Fraction(5, 2)
CUT, FRAMES = 16, 25
# Segments are of 4 s at most and end with a frame that is dreamed: the first shot is cut in two, not quite even, parts.
SEGMENTS = ((0, 7, True), (7, 16, False), (16, 25, True))


QUICK: dict[str, object] = {
    "objective": "blocks.1.0",
    "dream_height": 48,
    "octaves": 2,
    "iterations": 2,
    "warm_iterations": 1,
    "cadence": 2,  # what a film of the usual rates has by itself
    "device": "cpu",
}


def tiny(**overrides: object) -> Settings:
    """Settings under which a frame takes milliseconds."""
    return load_settings(**{**QUICK, **overrides})


def make_film(path: Path) -> Path:
    """Two shots with a steady tone."""
    form = f"size={WIDTH}x{HEIGHT}:rate={RATE}"
    first = f"testsrc2={form}:d={float(CUT / RATE)}"
    second = f"color=teal:{form}:d={float((FRAMES - CUT) / RATE)},hue=H=t/5"
    graph = f"{first}[a];{second}[b];[a][b]concat,format=yuv420p[v]"
    sound = ["-f", "lavfi", "-i", f"sine=f=440:d={float(FRAMES / RATE)}"]
    codecs = ["-c:v", "libx264", "-c:a", "aac"]
    run_ffmpeg(
        [*sound, "-filter_complex", graph, "-map", "[v]", "-map", "0:a", *codecs, f"file:{path}"], "making a film"
    )
    return path


def frames_of(path: Path) -> np.ndarray:
    """All images, (N, H, W, 3)."""
    source = open_source(path)
    with FrameReader(source, probe(source)) as reader:
        return np.stack([frame.pixels for frame in reader])


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden things too."""
    return sorted(path.name for path in folder.iterdir())


def segments_done(output: Path) -> int:
    """How many segments a render has recorded."""
    return len(list(output.with_name(f".{output.name}.job").glob("[0-9]*.json")))


_CONTEXT = multiprocessing.get_context("forkserver")


def start_render(
    source: Path, output: Path, settings: Settings, die_at: int | None = None, *, after_segments: int = 0
) -> BaseProcess:
    """Render in another process; with `die_at`, SIGKILL it before the file operation of that number.

    after_segments: operations count once so many segments are recorded, as two threads write their files.
    """
    _CONTEXT.set_forkserver_preload(["dreamvid.render.engine"])
    process = _CONTEXT.Process(target=_render, args=(str(source), str(output), settings, die_at, after_segments))
    process.start()
    return process


def finish_render(
    source: Path, output: Path, settings: Settings, die_at: int | None = None, *, after_segments: int = 0
) -> int:
    """The same, to its end; its exit status."""
    process = start_render(source, output, settings, die_at, after_segments=after_segments)
    process.join(60)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def _render(source: str, output: str, settings: Settings, die_at: int | None, after_segments: int) -> None:
    if die_at is not None:
        _die_at(die_at, Path(output), after_segments)
    render_video(source, output, settings)


def start_command(source: Path, output: Path, settings: Settings, slow_from: int) -> BaseProcess:
    """Render in another process as the command line does, with its exit code; slow from a frame on, to be stopped."""
    _CONTEXT.set_forkserver_preload(["dreamvid.render.engine"])
    process = _CONTEXT.Process(target=_command, args=(str(source), str(output), settings, slow_from))
    process.start()
    return process


def _command(source: str, output: str, settings: Settings, slow_from: int) -> None:
    # Whatever started the tests may have told them to ignore Ctrl-C, as `nohup` and `&` in a script do.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def look(progress: Progress) -> None:
        if progress.stage == "dream" and progress.done >= slow_from:
            time.sleep(0.5)

    sys.exit(guarded(lambda: render_video(source, output, settings, on_progress=look) and 0))


def finish_render_zoom(start: str, output: Path, settings: Settings, die_at: int, *, after_segments: int) -> int:
    """Make an animation in another process that is ended before the file operation of that number; its exit status."""
    _CONTEXT.set_forkserver_preload(["dreamvid.render.engine"])
    process = _CONTEXT.Process(target=_render_zoom, args=(start, str(output), settings, die_at, after_segments))
    process.start()
    process.join(60)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def _render_zoom(start: str, output: str, settings: Settings, die_at: int, after_segments: int) -> None:
    _die_at(die_at, Path(output), after_segments)
    render_zoom(start, output, settings)


def _die_at(number: int, output: Path, after_segments: int) -> None:
    """End this process before the file operation of that number beside `output`: as a power cut may."""
    count, folder = 0, str(output.parent)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "subprocess.Popen") and any(
            folder in str(argument) for argument in arguments
        ):
            if after_segments and segments_done(output) < after_segments:
                return
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.addaudithook(look)


def stop_render_and_ffmpeg() -> None:
    """Send SIGTERM to this process and to every ffmpeg that it has started, as Slurm and systemd do."""
    programs = [child for child, name in _children() if name.startswith("ffmpeg")]
    for process in (os.getpid(), *programs):
        os.kill(process, signal.SIGTERM)


def children() -> Iterator[str]:
    """Names of the processes that this one has started and that still run."""
    return (name for _, name in _children())


def _children() -> Iterator[tuple[int, str]]:
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread or a process that ends meanwhile
            for child in (task / "children").read_text().split():
                yield int(child), Path(f"/proc/{child}/comm").read_text().strip()


@contextmanager
def full_device(pixels: int) -> Iterator[None]:
    """While this lasts every gradient fails, as on a full device, for images of more than so many pixels."""
    compute = TiledGradient._recorded_gradient

    def fail(gradient: TiledGradient, images: torch.Tensor) -> torch.Tensor:
        if images[:, 0].numel() > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return compute(gradient, images)

    TiledGradient._recorded_gradient = fail  # type: ignore[method-assign]
    try:
        yield
    finally:
        TiledGradient._recorded_gradient = compute  # type: ignore[method-assign]
