"""What makes two renders the same: everything that their frames depend on."""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from dreamvid.dream.objectives.binding import objective_fingerprints
from dreamvid.errors import NetworkError
from dreamvid.networks.registry import network_fingerprint
from dreamvid.settings import Settings
from dreamvid.settings.merge import setting_fields
from dreamvid.settings.schema import flag_name
from dreamvid.video.ffmpeg import ffmpeg_version
from dreamvid.video.mask import mask_fingerprint
from dreamvid.video.sink import Sink, sink_fingerprint

# Settings by which one may go on differently: where the memory was too small, a smaller tile has to be
# allowed.
_UNFINGERPRINTED = ("tile",)
_PACKAGES = ("dreamvid", "torch", "timm", "opencv-python")


def versions() -> dict[str, str]:
    """Name the programs that the frames depend on."""
    return {**{package: version(package) for package in _PACKAGES}, "ffmpeg": ffmpeg_version()}


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

    contents: fingerprints of what is read, such as "the source's content". Raises NetworkError for a weights file that
    cannot be read.
    """
    chosen = {
        flag_name(name): settings.schedules.get(name, str(getattr(getattr(settings, group), name)))
        for group, name, _ in setting_fields()
        if name not in _UNFINGERPRINTED
    }
    weights = settings.network.weights
    return {
        **chosen,
        **contents,
        "the network": network_fingerprint(settings.network.model),
        "the content of the weights": "" if weights in (None, "random") else _hash(Path(weights).expanduser()),
        "the content of the mask": "" if settings.dream.mask is None else mask_fingerprint(settings.dream.mask),
        "the content of the guides": " ".join(objective_fingerprints(settings.dream.objective)),
        "the device": str(device),
        "the encoding": sink_fingerprint(sink, bit_depth, hdr),
        **versions(),
    }


def diff_fingerprints(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what differs, as parts of a sentence."""
    said = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, "nothing"), now.get(name, "nothing")
        if old == new:
            continue
        hashed = "content" in name
        said.append(f"{name} has changed" if hashed else f"{name} was {old} and is {new} now")
    return said


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NetworkError(f"cannot read the weights {path}: {error.strerror or error}") from error
