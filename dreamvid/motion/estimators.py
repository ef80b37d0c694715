"""Optical flow estimators, all of one function type."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamvid.errors import NetworkError, SettingsError
from dreamvid.image.tensors import luma

# (this frame, previous frame), both (1, 3, H, W) in [0, 1] → backward flow (1, 2, H, W): x then y, in pixels, where in
# the previous frame each pixel of this frame was.
FlowEstimator = Callable[[Tensor, Tensor], Tensor]

# RAFT's features are at 1/8 and its correlation pyramid halves them three times: it needs 16 cells a side.
_RAFT_MULTIPLE, _RAFT_SMALLEST = 8, 128
# DIS works on patches of 8 pixels over a pyramid: below this side OpenCV refuses.
_DIS_SMALLEST = 32
# DIS takes light that changes for motion, so it is given images that show little of it: luma less its mean over
# squares of this side in pixels, over its spread there and what would be noise alone. One spread is so much on the
# scale 0 to 1, and so much of the mean is left: things that move far are found by their coarse light.
EVEN_WINDOW, EVEN_NOISE, EVEN_SPREAD, EVEN_MEAN = 61, 0.05, 0.2, 0.25


def flow_estimator(name: str, device: torch.device | str = "cpu", *, weights: str | None = None) -> FlowEstimator:
    """Make an estimator: 'dis', 'raft' (on `device`; weights=None downloads torchvision's) or 'none' (zero flow).

    Raises SettingsError for another name, NetworkError when RAFT's weights cannot be had.
    """
    if name == "dis":
        return partial(dis_flow, cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    if name == "raft":
        return partial(raft_flow, load_raft(device, weights))
    if name == "none":
        return no_flow
    raise SettingsError(f"There is no flow estimator {name!r}. Allowed: dis, raft, none.")


def no_flow(this: Tensor, previous: Tensor) -> Tensor:
    """Nothing moves: zeros (1, 2, H, W)."""
    return torch.zeros_like(this[:, :2])


def dis_flow(dis: "cv2.DISOpticalFlow", this: Tensor, previous: Tensor) -> Tensor:
    """Dense inverse search (Kroeger et al. 2016) on the CPU, whatever device the frames are on.

    Light may change between the frames, everywhere or in places.
    """
    height, width = this.shape[2:]
    lacking = max(0, _DIS_SMALLEST - height), max(0, _DIS_SMALLEST - width)
    images = [np.pad(_even(frame), ((0, lacking[0]), (0, lacking[1])), mode="edge") for frame in (this, previous)]
    flow = dis.calc(images[0], images[1], None)  # type: ignore[call-overload]
    return torch.from_numpy(flow[:height, :width]).permute(2, 0, 1)[None].to(this.device)


def _even(frame: Tensor) -> np.ndarray:
    """Luma of (1, 3, H, W) in [0, 1], brought to one contrast and almost one brightness, as uint8 (H, W)."""
    light: np.ndarray = luma(frame)[0, 0].cpu().numpy()
    window = (EVEN_WINDOW, EVEN_WINDOW)
    mean: np.ndarray = cv2.blur(light, window)
    deviation = light - mean
    spread = np.sqrt(cv2.blur(deviation * deviation, window)) + EVEN_NOISE
    even: np.ndarray = 0.5 + EVEN_SPREAD * deviation / spread + EVEN_MEAN * (mean - 0.5)
    return (255 * even).round().clip(0, 255).astype(np.uint8)


def load_raft(device: torch.device | str, weights: str | None = None) -> nn.Module:
    """Load torchvision's small RAFT (Teed and Deng 2020); `weights` 'random' makes a fixed random one."""
    from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

    if weights == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            raft: nn.Module = raft_small(weights=None)
    else:
        try:
            raft = raft_small(weights=Raft_Small_Weights.DEFAULT)
        except (OSError, RuntimeError) as error:
            raise NetworkError(
                f"RAFT's weights cannot be had ({error}). They are downloaded once, into {torch.hub.get_dir()}. "
                "Without a connection use --flow dis."
            ) from None
    return raft.eval().requires_grad_(False).to(device)


def raft_flow(raft: nn.Module, this: Tensor, previous: Tensor) -> Tensor:
    """RAFT at any size: frames are extended by their border to what it takes, the flow is cut back."""
    height, width = this.shape[2:]
    target_h = max(_RAFT_SMALLEST, -(-height // _RAFT_MULTIPLE) * _RAFT_MULTIPLE)
    target_w = max(_RAFT_SMALLEST, -(-width // _RAFT_MULTIPLE) * _RAFT_MULTIPLE)
    padding = (0, target_w - width, 0, target_h - height)
    # Its weights were trained on values in [-1, 1].
    pair = [F.pad(frame, padding, mode="replicate") * 2 - 1 for frame in (this, previous)]
    with torch.no_grad():
        flow: Tensor = raft(*pair)[-1]
    return flow[:, :, :height, :width]
