"""Measure how fast a machine dreams: gradients against the peak of matrix products, and whole renders."""

import multiprocessing
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from dreamvid import __version__
from dreamvid.dream.objectives.parser import parse_objective
from dreamvid.dream.tiles import TiledGradient
from dreamvid.errors import InputError
from dreamvid.networks.network import load_network
from dreamvid.render.engine import render_video
from dreamvid.render.progress import Progress
from dreamvid.runtime.device import configure_backend, resolve_device, synchronize
from dreamvid.runtime.process import peak_memory, tune_process
from dreamvid.runtime.roofline import gradient_flop, measured_peak
from dreamvid.settings import Settings, load_settings
from dreamvid.settings.size import Size
from dreamvid.video.ffmpeg import ffmpeg_path
from dreamvid.video.sources.demo import DEMO_FRAMES, demo_graph

# The finest octave of the smallest live size, of the usual live size, and of every video from 480 lines on.
GRADIENT_SIZES = (Size(height=92, width=164), Size(height=180, width=320), Size(height=480, width=640))
_GRADIENT_SECONDS = 4.0
# Of a render, the first frames are a cold start: they count as the time to the first frame, not as its speed. A GPU
# records its work meanwhile, which takes more frames; it dreams so many more of them.
_COLD_FRAMES, _COLD_FRAMES_ON_GPU, _MORE_ON_GPU = 2, 60, 8


@dataclass(frozen=True)
class RenderCase:
    """A render to time: its name in the table, the size of its video, how many frames, and settings to change."""

    name: str
    size: Size
    frames: int
    overrides: Mapping[str, object]


# Live dreams every frame, with one warm step: nothing comes after the frame that is shown.
_LIVE: Mapping[str, object] = {"cadence": 1, "warm_iterations": 1}
RENDER_CASES = (
    RenderCase("live 180p", Size(height=180, width=320), 40, _LIVE),
    RenderCase("live 240p", Size(height=240, width=426), 30, _LIVE),
    RenderCase("480p", Size(height=480, width=854), 20, {}),
    RenderCase("1080p", Size(height=1080, width=1920), 20, {}),
    RenderCase("4K", Size(height=2160, width=3840), 12, {}),
)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class GradientRow(_Row):
    """One gradient of the default network: its size in pixels, its time, and its rate against the peak."""

    width: int
    height: int
    milliseconds: float
    gflop_per_second: float
    share_of_peak: float


class RenderRow(_Row):
    """One render: frames per second once it runs, seconds to the first frame, and the peak of its memory in MiB.

    device_memory_mib: memory that PyTorch allocated on a CUDA device; None on others.
    """

    name: str
    width: int
    height: int
    frames_per_second: float
    first_frame_seconds: float
    memory_mib: float
    device_memory_mib: float | None


class BenchReport(_Row):
    """What `dreamvid bench` measured: the machine, its matrix rate, gradients and renders."""

    version: Literal[1] = 1
    dreamvid: str
    machine: str
    device: str
    threads: int
    torch: str
    peak_gflop_per_second: float
    gradients: tuple[GradientRow, ...]
    renders: tuple[RenderRow, ...]

    def to_json(self) -> str:
        """Write as JSON, to share or to compare with later."""
        return self.model_dump_json(indent=2)

    @classmethod
    def read(cls, path: str | Path) -> "BenchReport":
        """Read a file that holds `to_json`'s text. Raises InputError."""
        file = Path(path).expanduser()
        try:
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}.") from None
        except (ValidationError, UnicodeDecodeError):
            raise InputError(
                f"{file} is not a report of dreamvid bench. Write one with: dreamvid bench --json > {file.name}"
            ) from None


def bench(device_name: str = "auto", *, on_step: Callable[[str], None] | None = None) -> BenchReport:
    """Measure this machine with the default network and preset; takes one to three minutes on two cores.

    device_name: as in the settings: auto, cpu, cuda, cuda:N, mps. on_step: called with what is measured next. Every
    render runs in a process of its own, so that its memory is its own. Raises DeviceError, FfmpegError.
    """
    tell = on_step or (lambda step: None)
    device = resolve_device(device_name)
    configure_backend(device)
    tell("matrix products")
    peak = measured_peak(device, torch.float32)
    rows = []
    for size in GRADIENT_SIZES:
        tell(f"a gradient at {size.width}x{size.height}")
        rows.append(measure_gradient(size, device, peak))
    renders = []
    with tempfile.TemporaryDirectory(prefix="dreamvid-bench-") as folder:
        for case in RENDER_CASES:
            tell(f"{case.name}: {case.frames} frames of {case.size.width}x{case.size.height}")
            renders.append(measure_render(case, device_name, Path(folder)))
    return BenchReport(
        dreamvid=__version__,
        machine=machine_name(device),
        device=str(device),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        peak_gflop_per_second=peak / 1e9,
        gradients=tuple(rows),
        renders=tuple(renders),
    )


def measure_gradient(size: Size, device: torch.device, peak: float, dtype: torch.dtype = torch.float32) -> GradientRow:
    """Time gradients of the default objective for a random image of a size; their median counts.

    peak: operations per second of a large matrix product, from `measured_peak`.
    """
    network = load_network(device=device)
    objective = parse_objective(load_settings(None).dream.objective).resolve(network.table)
    gradient = TiledGradient(network.truncate(objective.layers).to(dtype), objective, tile=1024)
    image = torch.rand(1, 3, size.height, size.width, generator=torch.Generator().manual_seed(0)).to(device)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - began < _GRADIENT_SECONDS and len(times) < 100):
        synchronize(device)
        start = time.perf_counter()
        gradient(image)
        synchronize(device)
        times.append(time.perf_counter() - start)
    middle = statistics.median(times[1:])  # the first one also prepares
    rate = gradient_flop(gradient.network, {(1, 3, size.height, size.width): 1}) / middle
    return GradientRow(
        width=size.width,
        height=size.height,
        milliseconds=1000 * middle,
        gflop_per_second=rate / 1e9,
        share_of_peak=rate / peak,
    )


def measure_render(case: RenderCase, device_name: str, folder: Path) -> RenderRow:
    """Render a case in a process of its own, and time it. folder: where its files may lie."""
    if resolve_device(device_name).type == "cuda":
        case = replace(case, frames=case.frames * _MORE_ON_GPU)
    source = folder / f"{case.size.width}x{case.size.height}.mp4"
    _make_video(case, source)
    # A new process, not a copy of this one: CUDA and threads do not survive a fork.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        settings = load_settings(None, device=device_name, **case.overrides)
        return pool.submit(_render, case, source, folder / "dream.mp4", settings).result()


def _render(case: RenderCase, source: Path, output: Path, settings: Settings) -> RenderRow:
    tune_process()
    moments: dict[int, float] = {}

    def note(progress: Progress) -> None:
        if progress.stage == "dream":
            moments.setdefault(progress.done, time.perf_counter())

    began = time.perf_counter()
    render_video(source, output, settings, overwrite=True, restart=True, on_progress=note)
    device = resolve_device(settings.render.device)
    most = _COLD_FRAMES_ON_GPU if device.type == "cuda" else _COLD_FRAMES
    last, cold = max(moments), min(done for done in moments if done >= most)  # of a quick render not all are reported
    seconds = moments[last] - moments[cold]
    allocated = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return RenderRow(
        name=case.name,
        width=case.size.width,
        height=case.size.height,
        frames_per_second=(last - cold) / seconds,
        first_frame_seconds=moments[1] - began,
        memory_mib=peak_memory() / 2**20,
        device_memory_mib=allocated,
    )


def _make_video(case: RenderCase, path: Path) -> None:
    """Encode the demo's landscape at the size of a case, again and again."""
    scale = f"loop=-1:{DEMO_FRAMES},scale={case.size.width}:{case.size.height}:flags=bicubic"
    command = [str(ffmpeg_path()), "-v", "error", "-y", "-f", "lavfi", "-i", f"{demo_graph()},{scale}"]
    command += ["-frames:v", str(case.frames), "-pix_fmt", "yuv420p", "-preset", "ultrafast", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def machine_name(device: torch.device) -> str:
    """Name the device: a GPU's name, or the CPU's and its number of cores."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"
