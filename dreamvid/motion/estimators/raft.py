"""The estimator `raft`: recurrent all-pairs field transforms (Teed and Deng 2020), torchvision's small RAFT."""

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.weights import load_state, read_checkpoint

# RAFT's features are at 1/8 and its correlation pyramid halves them three times: it needs 16 cells a side.
_MULTIPLE, _SMALLEST_SIDE = 8, 128


class Raft:
    """Torchvision's small RAFT at any size; its published weights are downloaded once."""

    def __init__(self, device: torch.device, weights: str | None) -> None:
        self._raft = _load(weights).eval().requires_grad_(False).to(device)
        self.fingerprint = _hash(self._raft)

    def prepare(self, frame: Tensor) -> Tensor:
        """Return the frame as it is."""
        return frame

    def estimate(self, this: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate both directions as one batch; frames are extended by their border to a size that RAFT takes."""
        height, width = this.shape[2:]
        target_h = max(_SMALLEST_SIDE, -(-height // _MULTIPLE) * _MULTIPLE)
        target_w = max(_SMALLEST_SIDE, -(-width // _MULTIPLE) * _MULTIPLE)
        both = torch.cat((this, previous))
        # Its weights were trained on values in [-1, 1].
        both = F.pad(both, (0, target_w - width, 0, target_h - height), mode="replicate") * 2 - 1
        with torch.no_grad():
            flow: Tensor = self._raft(both, both.flip(0))[-1]
        return flow[:1, :, :height, :width], flow[1:, :, :height, :width]


PLUGIN = Raft


def _load(weights: str | None) -> nn.Module:
    from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

    with torch.random.fork_rng(devices=[]):  # the CPU's generator alone: others are not drawn from
        torch.default_generator.manual_seed(0)
        raft: nn.Module = raft_small(weights=None)
    if weights == "random":
        return raft
    if weights is not None:
        remedy = "Give a checkpoint of torchvision's raft_small."
        load_state(raft, read_checkpoint(Path(weights).expanduser()), f"The weights in {weights!r}", remedy)
        return raft
    try:
        state = Raft_Small_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # URLError, HTTPException, a wrong hash …: all mean that the file is not to be had
        raise NetworkError(
            f"The weights of RAFT cannot be downloaded ({type(error).__name__}: {error}). They are kept in "
            f"{torch.hub.get_dir()}. Without a connection use `flow=dis`, or give a file: `flow_weights=FILE`."
        ) from error
    raft.load_state_dict(state)
    return raft


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
