"""The carried state at a segment's end, on disk: exact, and whole or not there."""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from dreamvid.video.image import part_path, publish


def save_checkpoint(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors bit for bit as safetensors; under its name only when whole and synced. Raises OSError."""
    part = part_path(path)
    try:
        part.write_bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()}))
        publish(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Tensor] | None:
    """Read what `save_checkpoint` wrote, on the CPU; None where there is nothing that can be read."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError):
        return None
