"""The estimator `raft`: recurrent all-pairs field transforms (Teed and Deng 2020), torchvision's small RAFT."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError
from dreamvid.networks.weights import load_state, read_checkpoint
from dreamvid.runtime.cuda import CudaGraphCache
from dreamvid.settings.size import Size

# RAFT's features are at 1/8 and its correlation pyramid halves them three times: it needs 16 cells a side.
_MULTIPLE, _SMALLEST_SIDE = 8, 128
_UPDATES = 12


@dataclass(frozen=True)
class RaftFeatures:
    """What RAFT computes of a frame alone, at 1/8 of its extended size: features and context, (1, C, h, w) each."""

    features: Tensor
    context: Tensor
    size: Size


class Raft:
    """Torchvision's small RAFT at any size; its published weights are downloaded once.

    Each frame goes through the encoders once, and both directions are one batch. On a CUDA device, encoders and updates
    compute in half precision (correlations and coordinates do not), and the updates are one CUDA graph.
    """

    def __init__(self, device: torch.device, weights: str | None) -> None:
        raft = _load(weights).eval().requires_grad_(False)
        self.fingerprint = _hash(raft)
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self._raft: Any = raft.to(device, self.dtype)  # torchvision's parts have attributes of their own
        self._flow = CudaGraphCache(self._iterate)

    def prepare(self, frame: Tensor) -> RaftFeatures:
        """Encode a frame (1, 3, H, W) in [0, 1], extended by its border to a size that RAFT takes."""
        height, width = frame.shape[2:]
        target_h = max(_SMALLEST_SIDE, -(-height // _MULTIPLE) * _MULTIPLE)
        target_w = max(_SMALLEST_SIDE, -(-width // _MULTIPLE) * _MULTIPLE)
        with torch.no_grad():
            # Its weights were trained on values in [-1, 1].
            image = F.pad(frame, (0, target_w - width, 0, target_h - height), mode="replicate") * 2 - 1
            image = image.to(self.dtype)
            features, context = self._raft.feature_encoder(image), self._raft.context_encoder(image)
        return RaftFeatures(features, context, Size(height, width))

    def estimate(self, this: RaftFeatures, previous: RaftFeatures) -> tuple[Tensor, Tensor]:
        """Estimate both directions as one batch."""
        height, width = this.size
        with torch.no_grad():
            features, context = (torch.cat(pair) for pair in zip(*map(_tensors, (this, previous)), strict=True))
            flow = self._flow(features, context)[:, :, :height, :width]
        return flow[:1], flow[1:]

    def _iterate(self, features: Tensor, context: Tensor) -> Tensor:
        """Compute the flow of a batch of two frames, each to the other one; as torchvision's RAFT does it."""
        block = self._raft.update_block
        hidden = context[:, : block.hidden_state_size].tanh()
        context = context[:, block.hidden_state_size :].relu()
        correlation = _Correlation(features.float(), self._raft.corr_block.num_levels, self._raft.corr_block.radius)
        flow = torch.zeros_like(features[:, :2], dtype=torch.float32)
        for _ in range(_UPDATES):
            near = correlation.around(flow).to(self.dtype)
            hidden, change = block(hidden, context, near, flow.to(self.dtype))
            flow = flow + change
        size = flow.shape[2] * _MULTIPLE, flow.shape[3] * _MULTIPLE
        return _MULTIPLE * F.interpolate(flow, size, mode="bilinear", align_corners=True)


class _Correlation:
    """How similar each cell of a frame is to the cells of the other one, at several scales.

    Torchvision's own copies coordinates from the CPU in every update, so the CPU would wait for the GPU.
    """

    def __init__(self, features: Tensor, levels: int, radius: int) -> None:
        count, channels, height, width = features.shape
        cells = features.flatten(2)
        similar = (cells.transpose(1, 2) @ cells.flip(0)) / channels**0.5
        self._levels = [similar.view(count * height * width, 1, height, width)]
        while len(self._levels) < levels:
            self._levels.append(F.avg_pool2d(self._levels[-1], 2))
        along = torch.arange(-radius, radius + 1, device=features.device, dtype=features.dtype)
        # The first axis of the window moves x, as in torchvision, whose weights expect it.
        self._window = torch.stack(torch.meshgrid(along, along, indexing="ij"), dim=-1)[None]
        rows, columns = (torch.arange(side, device=features.device, dtype=features.dtype) for side in (height, width))
        self._cells = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]

    def around(self, flow: Tensor) -> Tensor:
        """Look up the similarities around the ends of a flow (N, 2, h, w), in cells: (N, C, h, w)."""
        count, _, height, width = flow.shape
        ends = (self._cells + flow).permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        found = []
        for level, similar in enumerate(self._levels):
            x, y = (ends / 2**level + self._window).unbind(-1)
            grid = torch.stack(((2 * x + 1) / similar.shape[3] - 1, (2 * y + 1) / similar.shape[2] - 1), dim=-1)
            near = F.grid_sample(similar, grid, "bilinear", "zeros", align_corners=False)
            found.append(near.view(count, height, width, -1))
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2).contiguous()


def _tensors(frame: RaftFeatures) -> tuple[Tensor, Tensor]:
    return frame.features, frame.context


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
